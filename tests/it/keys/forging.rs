//! Tokens that this server did not sign, or not so: none of them opens anything.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    keys::id,
    support::{
        actors::Caller,
        issuer::{AUDIENCE, ISSUER, Issuer, KEY_ID},
        server::{Settings, TestServer},
        stores::Place,
    },
};

const SEED: [u8; 32] = [7; 32];

fn header() -> Value {
    json!({"typ": "orqen-delegated+jwt", "alg": "EdDSA", "kid": "1"})
}

/// What it is told to have, and `more` instead; `null` takes out.
fn with(mut all: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    all
}

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn refused(server: &TestServer, token: &str, why: &str) {
    let agent = server.agent(token);
    let answer = agent.me().await;
    assert_eq!(answer.status, 401, "{why}: {answer:?}");
    answer.refused(401, "invalid_api_key");
    assert!(!format!("{answer:?}").contains(token), "{why}: the token is shown");
    let listed = agent.grpc().keys().list_keys(orqen::proto::v1::ListKeysRequest::default()).await;
    assert_eq!(listed.unwrap_err().code(), tonic::Code::Unauthenticated, "{why}");
}

/// A server whose signing key is known, and the claims of a good token.
async fn known() -> (TestServer, Issuer, Value) {
    let keys = format!("[\"1:{}\", \"0:{}\"]", "07".repeat(32), "08".repeat(32));
    let settings = Settings::at(&Place::sqlite()).variable("ORQEN_AUTH__SIGNING_KEYS", &keys);
    let server = TestServer::start(settings).await;
    let (agent, key) = server.operator().equip(json!({"name": "agent"})).await;
    let made = agent.delegate_key(id(&key), json!({})).await.success();
    let claims = made["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    (server, Issuer::of(&SEED), claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_as_ours_opens_nothing() {
    let (server, signer, claims) = known().await;
    let good = signer.sign(&header(), &claims);
    server.agent(&good).me().await.success();
    for more in [
        json!({"typ": null}),
        json!({"typ": "JWT"}),
        json!({"typ": "at+jwt"}),
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"kid": null}),
        json!({"kid": "0"}),
        json!({"kid": "2"}),
        json!({"crit": ["b64"], "b64": true}),
    ] {
        refused(&server, &signer.sign(&with(header(), more.clone()), &claims), &more.to_string()).await;
    }
    refused(&server, &Issuer::new().sign(&header(), &claims), "another's signature").await;
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let wider = part(&with(claims.clone(), json!({"scope": "chat keys"})));
    refused(&server, &format!("{head}.{wider}.{signature}"), "other claims").await;
    refused(&server, &format!("{head}.{body}."), "no signature").await;
    refused(&server, &format!("{}.{body}.", part(&with(header(), json!({"alg": "none"})))), "unsigned").await;
    // The public key is known to everyone.
    let public = BASE64_URL_SAFE_NO_PAD.decode(signer.jwk()["x"].as_str().unwrap()).unwrap();
    let text = format!("{}.{body}", part(&with(header(), json!({"alg": "HS256"}))));
    for secret in [&public[..], &SEED] {
        let forged = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        let forged = format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(forged.as_ref()));
        refused(&server, &forged, "a shared secret").await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lacks_a_claim_or_has_another_opens_nothing() {
    let (server, signer, claims) = known().await;
    let now = server.now().timestamp();
    let mut bad = vec![
        json!({"iss": ISSUER}),
        json!({"aud": AUDIENCE}),
        json!({"exp": now}),
        json!({"exp": "tomorrow"}),
        json!({"nbf": now + 60}),
        json!({"sub": Uuid::now_v7().to_string()}),
        json!({"sub": "default"}),
        json!({"generation": 2}),
        json!({"denied_tools": [""]}),
        // A later version may restrict a token by it.
        json!({"models": ["gpt-4o"]}),
    ];
    let required =
        ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "generation", "scope", "tool_mode", "link"];
    bad.extend(required.map(|claim| json!({claim: null})));
    for more in bad {
        refused(&server, &signer.sign(&header(), &with(claims.clone(), more.clone())), &more.to_string())
            .await;
    }
    // A list of its own narrows nothing but what the signature covers: signed, it is taken.
    let narrow = with(claims.clone(), json!({"allowed_tools": ["a"], "nbf": now + 3}));
    server.agent(&signer.sign(&header(), &narrow)).me().await.success();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_houses_issuer_is_none_of_ours_nor_the_other_way_round() {
    let (server, signer, claims) = known().await;
    let account = server.operator().account_id().await;
    let house =
        crate::support::issuer::claims(server.now(), json!({"account": account, "scope": "chat keys"}));
    let issuer = server.issuer();
    server.agent(&issuer.token(&house)).me().await.success();
    let theirs = json!({"alg": "EdDSA", "typ": "JWT", "kid": KEY_ID});
    for (why, token) in [
        ("theirs, called ours", issuer.sign(&header(), &house)),
        ("our claims, signed by theirs", issuer.sign(&header(), &claims)),
        ("our claims, as one of theirs", issuer.sign(&theirs, &claims)),
        ("ours, called theirs", signer.sign(&theirs, &claims)),
        ("their claims, signed by ours", signer.sign(&header(), &house)),
        ("their claims by our key, as one of theirs", signer.sign(&theirs, &house)),
    ] {
        refused(&server, &token, why).await;
    }
    server.stop().await;
}
