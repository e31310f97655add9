//! JWTs of the house's own issuer: who they let in over gRPC and REST, and every way in which one is no good.

use std::{fs, sync::Arc};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use orqen::proto::v1;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::support::{
    actors::{Agent, Caller},
    issuer::{AUDIENCE, ISSUER, Issuer, KEY_ID, claims},
    server::{Settings, TestServer},
    stores::Place,
};

/// A server, and an account that tokens may speak for.
struct House {
    server: TestServer,
    account: String,
}

impl House {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let account = server.operator().account_id().await;
        Self { server, account }
    }

    /// Claims of the account with every scope, and `more` instead.
    fn claims(&self, more: Value) -> Value {
        let mut own = json!({"account": self.account, "scope": "chat keys usage"});
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims(self.server.now(), own)
    }

    /// Whoever holds a token with these claims.
    fn bearer(&self, claims: &Value) -> Agent {
        self.server.agent(&self.server.issuer().token(claims))
    }
}

/// The token is refused over both doors, as no credential at all.
async fn refused(agent: &Agent, why: &str) {
    let answer = agent.list_keys("").await;
    assert_eq!(answer.status, 401, "{why}: {answer:?}");
    answer.refused(401, "invalid_api_key");
    assert!(!format!("{answer:?}").contains(agent.secret()), "{why}: the token is shown");
    let status = agent.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_an_account_and_scopes_works_like_a_key_of_that_account() {
    let house = House::new().await;
    let agent = house.bearer(&house.claims(json!({})));
    assert_eq!(agent.list_keys("").await.success()["keys"].as_array().unwrap().len(), 1);
    let listed = agent.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.keys.len(), 1);
    let me = agent.me().await.success();
    assert_eq!(me["account"]["id"], json!(house.account));
    assert_eq!(me["key"], Value::Null);
    let issued = agent.create_key(json!({"name": "made by a token"})).await.success();
    assert!(issued["key"].as_str().unwrap().starts_with("sk-orq-"));
    agent.chat(json!({"messages": [{"role": "user", "content": "hello"}]})).await.success();
    agent.usage_summary().await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_reaches_its_own_account_only() {
    let house = House::new().await;
    let other =
        house.server.operator().create_account("other").await.success()["id"].as_str().unwrap().to_owned();
    let stranger = house.bearer(&house.claims(json!({"account": other})));
    assert_eq!(stranger.list_keys("").await.success()["keys"], json!([]));
    let key =
        house.server.operator().list_keys("").await.success()["keys"][0]["id"].as_str().unwrap().to_owned();
    stranger.key(&key).await.refused(404, "key_not_found");
    stranger.revoke_key(&key).await.refused(404, "key_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_scopes_that_it_names_are_open() {
    let house = House::new().await;
    for (scope, may) in [
        ("chat", [true, false]),
        ("keys", [false, true]),
        ("usage", [false, false]),
        ("", [false, false]),
        ("Keys KEYS chat,keys", [false, false]),
    ] {
        let agent = house.bearer(&house.claims(json!({"scope": scope})));
        let answers = [agent.rest().get("/v1/models").await, agent.list_keys("").await];
        for (answer, may) in answers.into_iter().zip(may) {
            if may {
                answer.success();
            } else {
                answer.refused(403, "insufficient_scope");
            }
        }
        let status = agent.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.map(|_| ());
        assert_eq!(status.is_ok(), may[1], "{scope:?}");
    }
    house
        .bearer(&house.claims(json!({"scope": null})))
        .list_keys("")
        .await
        .refused(403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_opens_the_operators_calls_and_nobody_else_does() {
    let house = House::new().await;
    let operator = house.bearer(&house.claims(json!({"scope": "operator", "account": null})));
    operator.rest().get("/v1/accounts").await.success();
    let listed = operator.grpc().accounts().list_accounts(v1::ListAccountsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().accounts.len(), 1);
    operator.me().await.refused(403, "insufficient_scope");
    operator.list_keys("").await.refused(403, "insufficient_scope");

    let scoped = house.bearer(&house.claims(json!({})));
    let key = house.server.agent(house.server.first_key().unwrap());
    for other in [scoped, key] {
        other.rest().get("/v1/accounts").await.refused(403, "insufficient_scope");
        let status =
            other.grpc().accounts().list_accounts(v1::ListAccountsRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_for_us_or_not_now_is_refused() {
    let house = House::new().await;
    let now = house.server.now();
    let at = |delta: TimeDelta| json!((now + delta).timestamp());
    for (why, more) in [
        ("another issuer", json!({"iss": "https://issuer.example.evil"})),
        ("an issuer that only begins like ours", json!({"iss": format!("{ISSUER}/")})),
        ("another audience", json!({"aud": "someone-else"})),
        ("audiences without ours", json!({"aud": ["a", "b"]})),
        ("expired", json!({"exp": at(TimeDelta::seconds(-6))})),
        ("not yet", json!({"nbf": at(TimeDelta::seconds(60))})),
        ("no issuer", json!({"iss": null})),
        ("no audience", json!({"aud": null})),
        ("no expiry", json!({"exp": null})),
        ("no beginning", json!({"nbf": null})),
        ("no subject", json!({"sub": null})),
        ("an expiry of the wrong type", json!({"exp": "tomorrow"})),
        ("a beginning of the wrong type", json!({"nbf": "yesterday"})),
        ("a subject of the wrong type", json!({"sub": 7})),
        ("an account that is none", json!({"account": "default"})),
        ("an account that never was", json!({"account": Uuid::now_v7().to_string()})),
        ("an account of the wrong type", json!({"account": 7})),
        ("neither account nor operator", json!({"account": null})),
    ] {
        refused(&house.bearer(&house.claims(more)), why).await;
    }
    for fine in [
        json!({"aud": ["a", AUDIENCE]}),
        json!({"exp": at(TimeDelta::seconds(-2))}),
        json!({"nbf": at(TimeDelta::seconds(3))}),
    ] {
        house.bearer(&house.claims(fine)).list_keys("").await.success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_asks_for_trust_in_another_way_is_refused() {
    let house = House::new().await;
    let claims = house.claims(json!({}));
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let issuer = house.server.issuer();
    for header in [
        json!({"alg": "EdDSA", "kid": KEY_ID}),
        json!({"alg": "EdDSA", "typ": "dpop+jwt", "kid": KEY_ID}),
        json!({"alg": "EdDSA", "typ": "", "kid": KEY_ID}),
        json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID}),
        json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID}),
        json!({"alg": "HS256", "typ": "JWT", "kid": KEY_ID}),
        json!({"alg": "none", "typ": "JWT"}),
        json!({"typ": "JWT"}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": KEY_ID, "crit": ["b64"], "b64": true}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": KEY_ID, "crit": []}),
    ] {
        refused(&house.server.agent(&issuer.sign(&header, &claims)), &header.to_string()).await;
    }
    let unsigned = json!({"alg": "none", "typ": "JWT"});
    for signature in ["", "AAAA"] {
        let token = format!("{}.{}.{signature}", part(&unsigned), part(&claims));
        refused(&house.server.agent(&token), "not signed at all").await;
    }
    // The public key is known to everyone: a verifier that takes it for a shared secret lets everyone in.
    let raw = BASE64_URL_SAFE_NO_PAD.decode(issuer.jwk()["x"].as_str().unwrap()).unwrap();
    let text = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
    let folder = tempfile::tempdir().unwrap();
    issuer.write_pem(&folder.path().join("key.pem"));
    let pem = fs::read(folder.path().join("key.pem")).unwrap();
    for secret in [raw, pem] {
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), text.as_bytes());
        let token = format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()));
        refused(&house.server.agent(&token), "the public key as a shared secret").await;
    }
    let token = issuer.sign(&json!({"alg": "EdDSA", "typ": "at+jwt"}), &claims);
    house.server.agent(&token).list_keys("").await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_changed_or_signed_by_another_is_refused() {
    let house = House::new().await;
    let claims = house.claims(json!({"scope": "chat"}));
    let token = house.server.issuer().token(&claims);
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let more = BASE64_URL_SAFE_NO_PAD.encode(house.claims(json!({"scope": "keys"})).to_string());
    for (why, token) in [
        ("other claims", format!("{header}.{more}.{signature}")),
        ("no signature", token.rsplit_once('.').unwrap().0.to_owned() + "."),
        ("another's signature", Issuer::new().token(&house.claims(json!({})))),
        ("two parts", format!("{header}.{more}")),
        ("four parts", format!("{token}.{signature}")),
        ("no base64", format!("{header}.%%%.{signature}")),
        ("no JSON", format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode("claims"))),
        ("too long", house.server.issuer().token(&house.claims(json!({"x": "a".repeat(9_000)})))),
    ] {
        refused(&house.server.agent(&token), why).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_a_jwks_file_are_told_apart_by_their_ids() {
    let (first, second) = (Arc::new(Issuer::new()), Issuer::new());
    let mut old = second.jwk();
    old["kid"] = json!("old");
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "shared"});
    let place = Place::sqlite();
    let file = place.folder().join("jwks.json");
    fs::write(&file, json!({"keys": [symmetric, first.jwk(), old]}).to_string()).unwrap();
    let settings = Settings::at(&place)
        .variable("ORQEN_AUTH__JWT__ISSUER", ISSUER)
        .variable("ORQEN_AUTH__JWT__AUDIENCE", AUDIENCE)
        .variable("ORQEN_AUTH__JWT__ALGORITHMS", "[\"EdDSA\"]")
        .variable("ORQEN_AUTH__JWT__JWKS_FILE", file.to_str().unwrap());
    let server = TestServer::start_as_configured(settings.clone(), settings, Arc::clone(&first)).await;
    let account = server.operator().account_id().await;
    let claims = claims(server.now(), json!({"account": account, "scope": "keys"}));
    let header = |kid: &str| json!({"alg": "EdDSA", "typ": "JWT", "kid": kid});

    server.agent(&first.token(&claims)).list_keys("").await.success();
    server.agent(&second.sign(&header("old"), &claims)).list_keys("").await.success();
    let nameless = json!({"alg": "EdDSA", "typ": "JWT"});
    for issuer in [&*first, &second] {
        server.agent(&issuer.sign(&nameless, &claims)).list_keys("").await.success();
    }
    refused(&server.agent(&Issuer::new().sign(&nameless, &claims)), "a key that nobody knows").await;
    for (why, token) in [
        ("an id that no key has", first.sign(&header("unknown"), &claims)),
        ("the id of another key", second.sign(&header(KEY_ID), &claims)),
        ("the id of a symmetric key", first.sign(&header("shared"), &claims)),
    ] {
        refused(&server.agent(&token), why).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_used_stop_the_start_by_name() {
    let place = Place::sqlite();
    let file = place.folder().join("keys");
    let settings = |setting: &str| {
        Settings::at(&place)
            .variable("ORQEN_AUTH__JWT__ISSUER", ISSUER)
            .variable("ORQEN_AUTH__JWT__AUDIENCE", AUDIENCE)
            .variable("ORQEN_AUTH__JWT__ALGORITHMS", "[\"EdDSA\", \"ES256\"]")
            .variable(setting, file.to_str().unwrap())
    };
    for setting in ["ORQEN_AUTH__JWT__JWKS_FILE", "ORQEN_AUTH__JWT__PUBLIC_KEY_FILE"] {
        let refusal = settings(setting).refusal().await;
        assert!(refusal.contains("auth.jwt") && refusal.contains("keys"), "{refusal}");
    }
    let symmetric = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}]}).to_string();
    for text in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        &symmetric,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        fs::write(&file, text).unwrap();
        for setting in ["ORQEN_AUTH__JWT__JWKS_FILE", "ORQEN_AUTH__JWT__PUBLIC_KEY_FILE"] {
            let refusal = settings(setting).refusal().await;
            assert!(refusal.contains("auth.jwt") && !refusal.contains("c2VjcmV0"), "{refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_issuer_no_token_is_taken() {
    let settings = Settings::at(&Place::sqlite());
    let issuer = Arc::new(Issuer::new());
    let server = TestServer::start_as_configured(settings.clone(), settings, Arc::clone(&issuer)).await;
    let key = server.agent(server.first_key().unwrap());
    let account = key.me().await.success()["account"]["id"].clone();
    let token = issuer.token(&claims(server.now(), json!({"account": account, "scope": "keys operator"})));
    refused(&server.agent(&token), "no issuer is configured").await;
    server.agent(&token).rest().get("/v1/accounts").await.refused(401, "invalid_api_key");
}
