//! Tokens that nobody issued, beside those of `jwt`: keys that the token itself brings, ids that lead elsewhere, claims
//! that say more than they may.

use serde_json::{Value, json};

use crate::support::{
    actors::Caller,
    issuer::{Issuer, claims},
    server::TestServer,
};

/// Who signs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signer {
    /// The house's issuer: nothing but the header is wrong.
    House,
    /// Somebody else; `@` in the header is that key.
    Stranger,
}
use Signer::{House, Stranger};

pub(super) const HEADERS: &[(&str, Signer)] = &[
    (r#"{"alg":"EdDSA","typ":"JWT","jwk":@}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":"house","jwk":@}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","jku":"https://evil.example/jwks.json"}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","x5u":"https://evil.example/cert.pem"}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","x5c":["MIIB"]}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":"../../../../dev/null"}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":"/dev/null"}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":"' OR 1=1 --"}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":"x | sleep 9"}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":""}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":null}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":["house"]}"#, Stranger),
    (r#"{"alg":"EdDSA","typ":"JWT","kid":{"house":1}}"#, Stranger),
    (r#"{"alg":"nOnE","typ":"JWT"}"#, House),
    (r#"{"alg":"None","typ":"JWT"}"#, House),
    (r#"{"alg":"","typ":"JWT"}"#, House),
    (r#"{"alg":null,"typ":"JWT"}"#, House),
    (r#"{"alg":["EdDSA"],"typ":"JWT"}"#, House),
    (r#"{"alg":"eddsa","typ":"JWT"}"#, House),
    (r#"{"alg":"Ed25519ph","typ":"JWT"}"#, House),
    (r#"{"alg":"HS512","typ":"JWT"}"#, House),
    (r#"{"alg":"PS256","typ":"JWT"}"#, House),
    (r#"{"alg":"EdDSA","typ":"JWE"}"#, House),
    (r#"{"alg":"EdDSA","typ":"logout+jwt"}"#, House),
    (r#"{"alg":"EdDSA","typ":"secevent+jwt"}"#, House),
    (r#"{"alg":"EdDSA","typ":["JWT"]}"#, House),
    (r#"{"alg":"EdDSA","typ":"JWT","crit":["exp"]}"#, House),
];

/// Claims beside those of a caller who may only chat, by which it would have more.
pub(super) const CLAIMS: &[&str] = &[
    r#"{"scope":["chat","keys","operator"]}"#,
    r#"{"scope":{"keys":true,"operator":true}}"#,
    r#"{"scope":"chat,keys,operator"}"#,
    r#"{"scope":"chat\u0000keys\u0000operator"}"#,
    r#"{"scope":"KEYS OPERATOR"}"#,
    r#"{"scope":"keys* operator*"}"#,
    r#"{"scope":"*"}"#,
    r#"{"scp":"keys operator"}"#,
    r#"{"scopes":["keys","operator"]}"#,
    r#"{"roles":["operator"],"role":"operator"}"#,
    r#"{"operator":true,"admin":true}"#,
    r#"{"sub":"operator"}"#,
    r#"{"Scope":"keys operator"}"#,
    r#"{"act":{"sub":"operator","scope":"keys operator"}}"#,
    r#"{"account":"*","scope":"keys"}"#,
    r#"{"account":["a"],"scope":"keys"}"#,
    r#"{"exp":"99999999999","scope":"keys operator"}"#,
    r#"{"exp":-1,"scope":"keys operator"}"#,
    r#"{"nbf":99999999999,"scope":"keys operator"}"#,
    r#"{"aud":{"orqen":1},"scope":"keys operator"}"#,
    r#"{"aud":"orqen ","scope":"keys operator"}"#,
    r#"{"aud":"ORQEN","scope":"keys operator"}"#,
    r#"{"iss":["https://issuer.example"],"scope":"keys operator"}"#,
    r#"{"iss":"HTTPS://ISSUER.EXAMPLE","scope":"keys operator"}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_header_makes_a_token_good_that_the_house_did_not_sign_so() {
    let server = TestServer::new().await;
    let account = server.operator().account_id().await;
    let all = claims(server.now(), json!({"account": account, "scope": "chat keys usage operator"}));
    let stranger = Issuer::new();
    for (header, signer) in HEADERS {
        let header: Value = serde_json::from_str(&header.replace('@', &stranger.jwk().to_string())).unwrap();
        let issuer = match signer {
            House => server.issuer(),
            Stranger => &stranger,
        };
        let agent = server.agent(&issuer.sign(&header, &all));
        for path in ["/v1/keys", "/v1/accounts", "/v1/models"] {
            agent.rest().get(path).await.refused(401, "invalid_api_key");
        }
        let status =
            agent.grpc().keys().list_keys(orqen::proto::v1::ListKeysRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{header}");
    }
    let good = server.issuer().token(&all);
    server.agent(&good).rest().get("/v1/accounts").await.success();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_claim_gives_more_than_its_scope() {
    let server = TestServer::new().await;
    let account = server.operator().account_id().await;
    for claim in CLAIMS {
        let mut more = json!({"account": account, "scope": "chat"});
        let claim: Value = serde_json::from_str(claim).unwrap();
        more.as_object_mut().unwrap().extend(claim.as_object().unwrap().clone());
        let agent = server.agent(&server.issuer().token(&claims(server.now(), more)));
        for path in ["/v1/keys", "/v1/accounts"] {
            let status = agent.rest().get(path).await.status.as_u16();
            assert!(matches!(status, 401 | 403), "{claim} opens {path}: {status}");
        }
        agent.create_key(json!({"name": "mine"})).await.json()["error"]["code"].as_str().unwrap();
    }
    server.stop().await;
}
