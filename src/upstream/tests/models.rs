//! The list of models: where it comes from, how often providers are asked, and how long it may take.

use std::time::{Duration, Instant};

use super::{
    super::{Catalog, ModelInfo},
    catalog,
    provider::{Provider, Reply, answer, json},
    settings,
};
use crate::config;

const LIST: &str = r#"{"object":"list","data":[
    {"id":"gpt-4o","created":17,"owned_by":"system"},{"id":"whisper-1","created":"odd"},{"id":"gpt-3","object":"model"}]}"#;

fn listing(provider: &Provider, name: &str, models: &[&str]) -> config::Upstream {
    let mut settings = settings(name, &provider.base_url());
    settings.models = models.iter().map(|&model| model.to_owned()).collect();
    settings
}

async fn ids(catalog: &Catalog) -> Vec<String> {
    catalog.models().await.into_iter().map(|model| model.id).collect()
}

#[tokio::test]
async fn literal_names_the_providers_lists_and_the_demo_come_sorted() {
    let provider = Provider::start([json(LIST)]).await;
    let bare = Provider::start([json(r#"[{"id":"llama"},{"id":"bad\n"},{"id":""}]"#)]).await;
    let silent = Provider::start([]).await;
    let catalog = catalog(&[
        listing(&provider, "openai", &["gpt-*", "o1"]),
        listing(&bare, "open", &[]),
        listing(&silent, "fixed", &["o1", "zephyr"]),
    ]);
    let model =
        |id: &str, created, owned_by: &str| ModelInfo { id: id.into(), created, owned_by: owned_by.into() };
    let expected = [
        model("fixed/o1", 0, "fixed"),
        model("gpt-3", 0, "openai"),
        model("gpt-4o", 17, "openai"),
        model("o1", 0, "openai"),
        model("open/llama", 0, "open"),
        model("orqen/demo", 0, "orqen"),
        model("zephyr", 0, "fixed"),
    ];
    let models = catalog.models().await;
    assert_eq!(models, expected);
    for model in models {
        assert_eq!(catalog.resolve(Some(&model.id)).unwrap().upstream.name(), model.owned_by, "{}", model.id);
    }
    assert_eq!(provider.received()[0].line, "GET /v1/models HTTP/1.1");
    assert!(silent.received().is_empty(), "literal names need no asking");
}

#[tokio::test]
async fn a_list_is_fetched_once_however_many_ask() {
    let provider = Provider::start([json(LIST)]).await;
    let catalog = catalog(&[listing(&provider, "openai", &["gpt-*"])]);
    let all = futures_util::future::join_all((0..20).map(|_| ids(&catalog))).await;
    assert!(all.iter().all(|ids| ids == &["gpt-3", "gpt-4o", "orqen/demo"]), "{all:?}");
    assert_eq!(ids(&catalog).await.len(), 3);
    assert_eq!(provider.received().len(), 1);
}

#[tokio::test]
async fn a_provider_that_fails_is_left_alone_and_the_literal_names_stay() {
    for reply in [
        answer("500 Oops", "", "{}"),
        answer("302 Found", "location: http://x/\r\n", ""),
        json("<html>"),
        json(&format!("[{}]", " ".repeat(5 * 1024 * 1024))),
        Reply::HangUp(String::new()),
    ] {
        let provider = Provider::start([reply, json(LIST)]).await;
        let catalog = catalog(&[listing(&provider, "openai", &["gpt-*", "o1"])]);
        assert_eq!(ids(&catalog).await, ["o1", "orqen/demo"]);
        assert_eq!(ids(&catalog).await, ["o1", "orqen/demo"]);
        assert_eq!(provider.received().len(), 1);
    }
}

#[tokio::test]
async fn silent_providers_together_cost_two_seconds_at_most() {
    let silent = Provider::start([Reply::Hold(String::new()), Reply::Hold(String::new())]).await;
    let catalog = catalog(&[listing(&silent, "one", &["a*"]), listing(&silent, "two", &["b*"])]);
    let began = Instant::now();
    assert_eq!(ids(&catalog).await, ["orqen/demo"]);
    assert!(began.elapsed() < Duration::from_millis(3_900), "{:?}", began.elapsed());
    let began = Instant::now();
    ids(&catalog).await;
    assert!(began.elapsed() < Duration::from_millis(1_900), "the second is not made to wait");
}

#[tokio::test]
async fn a_huge_list_is_cut() {
    let many: Vec<String> = (0..12_000).map(|n| format!("{{\"id\":\"m{n}\"}}")).collect();
    let provider = Provider::start([json(&format!("[{}]", many.join(",")))]).await;
    assert_eq!(ids(&catalog(&[listing(&provider, "openai", &["m*"])])).await.len(), 10_001);
}
