//! The issuer's keys by URL: how new ones are learnt, how old ones end, and what an issuer that is away means for tokens
//! and for everybody else.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::future::join_all;
use orqen::{
    clock::{Clock, ManualClock, SystemClock},
    proto::v1,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{
    actors::{Agent, Caller},
    issuer::{AUDIENCE, ISSUER, Issuer, KEY_ID, claims},
    rest::Answer,
    server::{Settings, TestServer},
    stores::Place,
    upstream::ScriptedUpstream,
};

/// A server whose issuer has its keys at a URL.
struct House {
    server: TestServer,
    site: ScriptedUpstream,
    clock: Arc<ManualClock>,
    account: String,
}

impl House {
    /// The issuer's keys are these; `None`: there is nothing at the URL.
    async fn new(keys: Option<&str>) -> Self {
        let site = ScriptedUpstream::start().await;
        if let Some(keys) = keys {
            site.lists(keys);
        }
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let settings = settings(&format!("{}/jwks", site.base_url()), "[\"127.0.0.1\"]").clock(&clock);
        let server =
            TestServer::start_as_configured(settings.clone(), settings, Arc::new(Issuer::new())).await;
        let account = server.operator().account_id().await;
        Self { server, site, clock, account }
    }

    /// What a token of `issuer` that names this key gets.
    async fn answer(&self, issuer: &Issuer, kid: Option<&str>) -> Answer {
        self.bearer(issuer, kid).list_keys("").await
    }

    /// Whoever holds a token of `issuer` that names this key.
    fn bearer(&self, issuer: &Issuer, kid: Option<&str>) -> Agent {
        let claims = claims(self.server.now(), json!({"account": self.account, "scope": "chat keys usage"}));
        let mut header = json!({"alg": "EdDSA", "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        self.server.agent(&issuer.sign(&header, &claims))
    }

    /// Sets the clock on, as if nothing had happened meanwhile.
    fn later(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// Keys go on whatever becomes of the issuer, and so do their tokens.
    async fn keys_work(&self) {
        let agent = self.server.agent(self.server.first_key().unwrap());
        agent.list_keys("").await.success();
        let key = agent.me().await.success()["key"]["id"].as_str().unwrap().to_owned();
        let token = agent.delegate_key(&key, json!({"expires_in_seconds": 60})).await.success();
        self.server.agent(token["token"].as_str().unwrap()).rest().get("/v1/models").await.success();
    }

    /// The site was asked so often, or is soon.
    async fn until_asked(&self, times: usize) {
        for _ in 0..1000 {
            if self.site.connections() >= times {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.site.connections(), times);
    }
}

fn settings(url: &str, hosts: &str) -> Settings {
    Settings::at(&Place::sqlite())
        .variable("ORQEN_AUTH__JWT__ISSUER", ISSUER)
        .variable("ORQEN_AUTH__JWT__AUDIENCE", AUDIENCE)
        .variable("ORQEN_AUTH__JWT__ALGORITHMS", "[\"EdDSA\"]")
        .variable("ORQEN_AUTH__JWT__JWKS_URL", url)
        .variable("ORQEN_AUTH__JWT__JWKS_HOSTS", hosts)
}

/// A JWKS with these keys.
fn set(keys: &[(&Issuer, &str)]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(issuer, kid)| {
            let mut key = issuer.jwk();
            key["kid"] = json!(kid);
            key
        })
        .collect();
    json!({"keys": keys}).to_string()
}

/// The issuer is away: told as such, with a time to come back.
#[track_caller]
fn away(answer: &Answer) {
    answer.refused(503, "store_unavailable");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_learnt_from_the_first_token_that_names_it() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let house = House::new(Some(&set(&[(&old, KEY_ID)]))).await;
    for kid in [Some(KEY_ID), None] {
        house.answer(&old, kid).await.success();
    }
    house.site.lists(&set(&[(&old, KEY_ID), (&new, "test-2")]));
    house.answer(&new, Some("test-2")).await.refused(401, "invalid_api_key");
    assert_eq!(house.site.connections(), 1, "within the cool-down");
    house.later(TimeDelta::seconds(30));
    house.answer(&new, Some("test-2")).await.success();
    house.answer(&old, Some(KEY_ID)).await.success();
    let listed = house.bearer(&new, Some("test-2"));
    listed.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap();
    for (issuer, kid) in [(&old, "test-2"), (&new, KEY_ID)] {
        house.answer(issuer, Some(kid)).await.refused(401, "invalid_api_key");
    }
    assert_eq!(house.site.connections(), 2);
    let metrics = house.server.anonymous().rest().get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body);
    assert!(text.contains("orqen_jwks_fetches_total{result=\"ok\"} 2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_keys_make_one_fetch_in_a_cool_down() {
    let (issuer, forger) = (Issuer::new(), Issuer::new());
    let house = House::new(Some(&set(&[(&issuer, KEY_ID)]))).await;
    house.answer(&issuer, Some(KEY_ID)).await.success();
    for asked in [1, 2] {
        let names: Vec<String> = (0..40).map(|number| format!("made-up-{number}")).collect();
        let storm = join_all(names.iter().map(|kid| house.answer(&forger, Some(kid))));
        let (refused, good) = tokio::join!(storm, house.answer(&issuer, Some(KEY_ID)));
        good.success();
        for answer in refused {
            answer.refused(401, "invalid_api_key");
        }
        assert_eq!(house.site.connections(), asked);
        house.keys_work().await;
        house.later(TimeDelta::seconds(31));
    }
    // What no key could check makes none at all.
    let claims = claims(house.server.now(), json!({"scope": "operator"}));
    for header in [json!({"alg": "ES256", "typ": "JWT", "kid": "x"}), json!({"alg": "EdDSA", "kid": "x"})] {
        house.server.agent(&forger.sign(&header, &claims)).me().await.refused(401, "invalid_api_key");
    }
    house.answer(&forger, Some(KEY_ID)).await.refused(401, "invalid_api_key");
    house.answer(&forger, None).await.refused(401, "invalid_api_key");
    assert_eq!(house.site.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_key_ends_without_anybody_asking() {
    let (withdrawn, other) = (Issuer::new(), Issuer::new());
    let house = House::new(Some(&set(&[(&withdrawn, KEY_ID), (&other, "test-2")]))).await;
    house.answer(&withdrawn, Some(KEY_ID)).await.success();
    house.site.lists(&set(&[(&other, "test-2")]));
    house.later(TimeDelta::minutes(10));
    house.until_asked(2).await;
    // The answer to the last fetch may still be on its way.
    for _ in 0..1000 {
        if house.answer(&withdrawn, None).await.status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.answer(&withdrawn, Some(KEY_ID)).await.refused(401, "invalid_api_key");
    house.answer(&other, Some("test-2")).await.success();
    assert_eq!(house.site.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_without_its_issuer_and_takes_tokens_once_it_is_back() {
    let issuer = Issuer::new();
    let house = House::new(None).await;
    for kid in [Some(KEY_ID), None] {
        away(&house.answer(&issuer, kid).await);
    }
    let bearer = house.bearer(&issuer, Some(KEY_ID));
    let status = bearer.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    house.keys_work().await;
    house.site.lists(&set(&[(&issuer, KEY_ID)]));
    away(&house.answer(&issuer, Some(KEY_ID)).await);
    house.later(TimeDelta::seconds(30));
    house.answer(&issuer, Some(KEY_ID)).await.success();
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_answers_nonsense_is_done_without_for_a_day() {
    let issuer = Issuer::new();
    let many: Vec<(&Issuer, &str)> = vec![(&issuer, "many"); 101];
    let house = House::new(Some(&set(&[(&issuer, KEY_ID)]))).await;
    house.answer(&issuer, Some(KEY_ID)).await.success();
    let large = set(&[(&issuer, "large")]) + &" ".repeat(1024 * 1024);
    for (kid, nonsense) in
        [("html", "<!doctype html><title>Log in</title>"), ("many", &set(&many)), ("large", &large)]
    {
        house.site.lists(nonsense);
        house.later(TimeDelta::seconds(30));
        away(&house.answer(&issuer, Some(kid)).await);
        house.answer(&issuer, Some(KEY_ID)).await.success();
    }
    house.later(TimeDelta::hours(24));
    away(&house.answer(&issuer, Some(KEY_ID)).await);
    house.keys_work().await;
    house.site.lists(&set(&[(&issuer, KEY_ID)]));
    house.later(TimeDelta::seconds(30));
    house.answer(&issuer, Some(KEY_ID)).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_no_other_host() {
    let site = ScriptedUpstream::start().await;
    for (url, hosts) in [
        (site.base_url(), ""),
        (site.base_url(), "[\"issuer.example\"]"),
        (site.base_url().replace("127.0.0.1", "user:hunter2@127.0.0.1"), "[\"127.0.0.1\"]"),
    ] {
        let refusal = settings(&url, hosts).refusal().await;
        assert!(refusal.contains("auth.jwt.jwks_url") && !refusal.contains("hunter2"), "{refusal}");
    }
    assert_eq!(site.connections(), 0);
}
