//! The first start makes an account, a key and a pepper; what it must not do, it refuses with the way out.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use crate::support::{
    actors::Caller,
    server::{Settings, TestServer},
    stores::{Place, on_every_store, on_postgres},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_gives_one_key_and_the_second_none() {
    on_every_store(async |place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let secret = server.first_key().unwrap().to_owned();
        let made = server.operator().list_keys("").await.success();
        assert_eq!(made["keys"].as_array().unwrap().len(), 1);
        assert_eq!(made["keys"][0]["created_by"], "bootstrap");

        let server = server.restart().await;
        assert_eq!(server.first_key(), None);
        let me = server.agent(&secret).me().await.success();
        assert_eq!((&me["account"]["name"], &me["key"]["name"]), (&json!("default"), &json!("default")));
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bootstrap_nothing_is_made() {
    let settings = Settings::at(&Place::sqlite()).toml("[store]\nbootstrap = false");
    let server = TestServer::start(settings).await;
    assert_eq!(server.first_key(), None);
    let token = server.issuer().operator(server.now());
    let accounts = server.anonymous().rest().bearer(&token).get("/v1/accounts").await.success();
    assert_eq!(accounts, json!({"accounts": [], "next_page_token": ""}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_configuration_is_what_the_first_account_starts_with() {
    let settings = Settings::at(&Place::sqlite())
        .with_delivered_limits()
        .toml("[policy]\nrequests_per_minute = 7\nmax_keys = \"unlimited\"");
    let server = TestServer::start(settings).await;
    let policy = server.operator().me().await.success()["account"]["policy"].clone();
    assert_eq!((&policy["requests_per_minute"], &policy["max_keys"]), (&json!(7), &json!(null)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pepper_is_beside_the_file_for_its_owner_alone_and_missed_when_it_is_gone() {
    let place = Place::sqlite();
    let settings = Settings::at(&place);
    let server = TestServer::start(settings.clone()).await;
    let secret = server.first_key().unwrap().to_owned();
    let pepper = place.folder().join("orqen.db.pepper");
    assert_eq!(fs::metadata(&pepper).unwrap().permissions().mode() & 0o777, 0o600);
    server.stop().await;

    let aside = place.folder().join("aside");
    fs::rename(&pepper, &aside).unwrap();
    let refusal = settings.refusal().await;
    assert!(refusal.contains("the store has keys, but the pepper"), "{refusal}");
    assert!(refusal.contains("orqen.db.pepper") && refusal.contains("auth.pepper_file"), "{refusal}");
    assert!(!pepper.exists(), "no other pepper is made in its place");

    let path = aside.to_str().unwrap();
    let server = TestServer::start(settings.variable("ORQEN_AUTH__PEPPER_FILE", path)).await;
    server.agent(&secret).me().await.success();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_holds_neither_secret_nor_pepper() {
    let place = Place::sqlite();
    let server = TestServer::start(Settings::at(&place)).await;
    let secret = server.first_key().unwrap().to_owned();
    server.agent(&secret).me().await.success();
    server.stop().await;
    let pepper = fs::read_to_string(place.folder().join("orqen.db.pepper")).unwrap();
    let pepper = pepper.trim().split_once(':').unwrap().1.to_owned();
    for file in fs::read_dir(place.folder()).unwrap().map(|entry| entry.unwrap().path()) {
        let holds = |text: &str| {
            let bytes = fs::read(&file).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        // Past the prefix that is shown.
        assert!(!holds(&secret[15..]), "{}", file.display());
        assert_eq!(holds(&pepper), file.ends_with("orqen.db.pepper"), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_a_pepper_is_refused_with_the_way_out() {
    on_postgres(async |place| {
        let refusal = Settings::at(&place).variable("ORQEN_AUTH__PEPPERS", "").refusal().await;
        assert!(refusal.contains("on PostgreSQL the pepper must be given"), "{refusal}");
        assert!(
            refusal.contains("openssl rand -hex 32") && refusal.contains("auth.pepper_file"),
            "{refusal}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_for_tokens_is_beside_the_file_for_its_owner_alone_and_can_be_replaced() {
    let place = Place::sqlite();
    let settings = Settings::at(&place);
    let server = TestServer::start(settings.clone()).await;
    let secret = server.first_key().unwrap().to_owned();
    let path = place.folder().join("orqen.db.signing-key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = server.agent(&secret).me().await.success()["key"]["id"].as_str().unwrap().to_owned();
    let made = server.agent(&secret).delegate_key(&key, json!({})).await.success();
    let token = made["token"].as_str().unwrap().to_owned();
    server.stop().await;

    let old = fs::read_to_string(&path).unwrap();
    let new = format!("# the new one\n2:{}\n", "0b".repeat(32));
    for (file, works) in [(format!("{old}{new}"), true), (new, false)] {
        let given = place.folder().join("given");
        fs::write(&given, file).unwrap();
        let given = settings.clone().variable("ORQEN_AUTH__SIGNING_KEY_FILE", given.to_str().unwrap());
        let server = TestServer::start(given).await;
        assert_eq!(server.agent(&token).me().await.status == 200, works);
        let made = server.agent(&secret).delegate_key(&key, json!({})).await.success();
        server.agent(made["token"].as_str().unwrap()).me().await.success();
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_a_key_for_tokens_is_refused_with_the_way_out() {
    on_postgres(async |place| {
        let refusal = Settings::at(&place).variable("ORQEN_AUTH__SIGNING_KEYS", "").refusal().await;
        assert!(
            refusal.contains("on PostgreSQL the key that tokens are signed with must be given"),
            "{refusal}"
        );
        assert!(refusal.contains("auth.signing_key_file"), "{refusal}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_supported_is_refused_by_a_sentence_that_says_what_is() {
    for url in ["mysql://root:hunter2@127.0.0.1/orqen", "orqen.db"] {
        let settings = Settings::at(&Place::sqlite()).variable("ORQEN_STORE__URL", url);
        let refusal = settings.refusal().await;
        assert!(refusal.contains("sqlite://") && refusal.contains("postgres://"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_make_one_key_between_them() {
    on_every_store(async |place| {
        let starts = (0..4).map(|_| TestServer::start(Settings::at(&place)));
        let servers = futures_util::future::join_all(starts).await;
        let secrets: Vec<&str> = servers.iter().filter_map(TestServer::first_key).collect();
        let [secret] = secrets.as_slice() else { panic!("{} first keys", secrets.len()) };
        for server in &servers {
            let keys = server.agent(secret).list_keys("").await.success();
            assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        }
        for server in servers {
            server.stop().await;
        }
    })
    .await;
}
