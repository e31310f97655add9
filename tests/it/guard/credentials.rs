//! Every kind of credential: those that get in nowhere, each with the code it deserves, and those that open something.

use chrono::TimeDelta;
use http::{HeaderMap, HeaderValue, header};
use orqen::domain::secret::PlainSecret;
use serde_json::{Value, json};

use crate::{
    guard::{Needs, World},
    support::{actors::Caller, issuer::claims},
};

impl World {
    /// Each with what it is, and the code that it deserves.
    pub(super) async fn bad_credentials(&self) -> Vec<(&'static str, HeaderMap, &'static str)> {
        let expires_at = (self.server.now() + TimeDelta::hours(1)).to_rfc3339();
        let (_, expired) = self.operator.equip(json!({"name": "expired", "expires_at": expires_at})).await;
        let (_, disabled) = self.operator.equip(json!({"name": "disabled"})).await;
        let (_, revoked) = self.operator.equip(json!({"name": "revoked"})).await;
        self.operator.update_key(id(&disabled), json!({"disabled": true})).await.success();
        self.operator.revoke_key(id(&revoked)).await.success();
        self.clock.advance(TimeDelta::hours(1));

        let good = self.server.first_key().unwrap();
        let unknown = PlainSecret::generate(&mut rand::rng());
        let mut bad = vec![
            ("an expired key", bearer(secret(&expired)), "api_key_expired"),
            ("a disabled key", bearer(secret(&disabled)), "api_key_disabled"),
            ("a revoked key", bearer(secret(&revoked)), "api_key_revoked"),
            ("an unknown key", bearer(unknown.expose()), "invalid_api_key"),
            ("no credential", HeaderMap::new(), "invalid_api_key"),
            ("a key with a typo", bearer(&typo(good)), "invalid_api_key"),
            ("two credentials", both(good, good), "invalid_api_key"),
            ("a token that nobody signed", bearer("e30.e30.e30"), "invalid_api_key"),
        ];
        let malformed = [
            ("nothing", String::new()),
            ("a scheme alone", "Bearer".into()),
            ("a scheme and a space", "Bearer ".into()),
            ("another scheme", format!("Basic {good}")),
            ("no scheme", good.into()),
            ("a prefix alone", "Bearer sk-orq-".into()),
            ("a key cut short", format!("Bearer {}", &good[..70])),
            ("a key too long", format!("Bearer {good}0")),
            ("a key in upper case", format!("Bearer sk-orq-{}", good[7..].to_uppercase())),
            ("another product's key", format!("Bearer sk-{}", "a".repeat(48))),
            ("two keys in one header", format!("Bearer {good}, Bearer {good}")),
            ("letters of no alphabet", "Bearer \u{e9}\u{1f511}".into()),
        ];
        for (what, value) in malformed {
            bad.push((what, authorization(value.as_bytes()), "invalid_api_key"));
        }
        bad.push(("bytes that are no text", authorization(b"Bearer \xff\xfe"), "invalid_api_key"));
        bad
    }

    /// Each with what it is, and what it opens.
    pub(super) async fn good_credentials(&self) -> Vec<(&'static str, HeaderMap, Vec<Needs>)> {
        let now = self.server.now();
        let mine = self.operator.account_id().await;
        let token = |more: Value| bearer(&self.server.issuer().token(&claims(now, more)));
        let mut good = vec![
            (
                "a key with every scope",
                bearer(self.server.first_key().unwrap()),
                vec![Needs::Any, Needs::Chat, Needs::Keys, Needs::Usage],
            ),
            ("an operator", token(json!({"scope": "operator"})), vec![Needs::Operator]),
            (
                "an operator with an account",
                token(json!({"scope": "operator usage", "account": mine})),
                vec![Needs::Operator, Needs::Any, Needs::Usage],
            ),
            (
                "a client of the house",
                token(json!({"scope": "chat keys usage", "account": mine})),
                vec![Needs::Any, Needs::Chat, Needs::Keys, Needs::Usage],
            ),
        ];
        let (_, parent) = self.operator.equip(json!({"name": "delegating"})).await;
        for (scope, opens) in [("chat", Needs::Chat), ("keys", Needs::Keys), ("usage", Needs::Usage)] {
            let made = self.operator.delegate_key(id(&parent), json!({"scopes": [scope]})).await.success();
            good.push(("a token", bearer(made["token"].as_str().unwrap()), vec![Needs::Any, opens]));
        }
        for (scope, opens) in [("chat", Needs::Chat), ("keys", Needs::Keys), ("usage", Needs::Usage)] {
            let (_, key) = self.operator.equip(json!({"name": scope, "scopes": [scope]})).await;
            good.push((scope, bearer(secret(&key)), vec![Needs::Any, opens]));
        }
        good
    }
}

pub(super) fn id(key: &Value) -> &str {
    key["id"].as_str().unwrap()
}

fn secret(issued: &Value) -> &str {
    issued["key"].as_str().unwrap()
}

pub(super) fn bearer(credential: &str) -> HeaderMap {
    authorization(format!("Bearer {credential}").as_bytes())
}

fn authorization(value: &[u8]) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())])
}

fn both(one: &str, other: &str) -> HeaderMap {
    let mut headers = bearer(one);
    headers.append(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {other}")).unwrap());
    headers
}

/// The key with one digit changed.
fn typo(key: &str) -> String {
    let (before, digit) = key.split_at(key.len() - 1);
    format!("{before}{}", if digit == "0" { '1' } else { '0' })
}
