//! Which upstream a name leads to, and what of the configuration is refused.

use super::{super::Catalog, catalog, environment, settings};
use crate::config;

fn with_models(name: &str, models: &[&str]) -> config::Upstream {
    let mut settings = settings(name, "http://127.0.0.1:9/v1");
    settings.models = models.iter().map(|&model| model.to_owned()).collect();
    settings
}

fn routed(catalog: &Catalog, model: &str) -> (String, Option<String>) {
    let route = catalog.resolve(Some(model)).unwrap_or_else(|error| panic!("{model}: {error}"));
    (route.upstream.name().to_owned(), route.model)
}

fn refusal(change: impl FnOnce(&mut config::Upstream)) -> String {
    let mut settings = settings("openai", "http://127.0.0.1:9/v1");
    change(&mut settings);
    Catalog::new(&[settings], &config::Demo { enabled: true }, &environment).unwrap_err().to_string()
}

#[test]
fn a_name_leads_by_prefix_then_literally_then_by_pattern() {
    let catalog = catalog(&[
        with_models("wide", &["gpt-*", "meta-llama/*"]),
        with_models("exact", &["gpt-4o", "gpt-5*"]),
        with_models("prefixed", &[]),
    ]);
    for (model, upstream, rewritten) in [
        ("gpt-4o", "exact", None),
        ("gpt-5", "wide", None),
        ("exact/gpt-5", "exact", Some("gpt-5")),
        ("wide/gpt-4o", "wide", Some("gpt-4o")),
        ("meta-llama/Llama-3", "wide", None),
        ("wide/meta-llama/Llama-3", "wide", Some("meta-llama/Llama-3")),
        ("prefixed/any/thing", "prefixed", Some("any/thing")),
        ("orqen/demo", "orqen", None),
    ] {
        assert_eq!(routed(&catalog, model), (upstream.into(), rewritten.map(str::to_owned)), "{model}");
    }
}

#[test]
fn a_name_that_leads_nowhere_says_what_there_is() {
    let catalog = catalog(&[with_models("wide", &["gpt-*"]), with_models("open", &[])]);
    // The prefix is decisive and the list a boundary: `wide/claude` does not fall through to a pattern.
    for model in ["claude", "wide/claude", "open/", "orqen/other", "orqen", "GPT-4o", "x/gpt-4o"] {
        let error = catalog.resolve(Some(model)).unwrap_err();
        assert!(!error.missing);
        for part in [model, "gpt-*", "open/*", "orqen/demo"] {
            assert!(error.message.contains(part), "{error}");
        }
    }
}

#[test]
fn messages_stay_short_whatever_is_asked_or_configured() {
    let many: Vec<String> = (0..5_000).map(|n| format!("model-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let catalog = catalog(&[with_models("big", &many)]);
    let error = catalog.resolve(Some(&"x\u{1b}".repeat(100_000))).unwrap_err();
    assert!(error.message.len() < 1_500 && !error.message.contains('\u{1b}'), "{error}");
}

#[test]
fn without_a_model_the_demo_answers_while_nothing_else_is_configured() {
    let alone = catalog(&[]);
    for model in [None, Some("")] {
        let route = alone.resolve(model).unwrap();
        assert_eq!((route.upstream.name(), route.model.as_deref()), ("orqen", Some("orqen/demo")));
    }
    assert!(alone.resolve(Some("gpt-4o")).unwrap_err().message.contains("orqen/demo"));

    let error = catalog(&[with_models("wide", &["gpt-*"])]).resolve(None).unwrap_err();
    assert!(
        error.missing && error.message.contains("`model` is needed") && error.message.contains("gpt-*"),
        "{error}"
    );
}

#[test]
fn a_demo_that_is_off_is_nowhere() {
    let catalog = Catalog::new(&[], &config::Demo { enabled: false }, &environment).unwrap();
    for model in [None, Some("orqen/demo")] {
        let message = catalog.resolve(model).unwrap_err().message;
        assert!(message.contains("no upstream is configured"), "{message}");
    }
}

#[test]
fn a_wrong_value_is_refused_by_upstream_and_field() {
    type Change = Box<dyn FnOnce(&mut config::Upstream)>;
    let cases: [(&str, Change); 12] = [
        ("name", Box::new(|s| s.name = "Open AI".into())),
        ("name", Box::new(|s| s.name = String::new())),
        ("name", Box::new(|s| s.name = "orqen".into())),
        ("base_url", Box::new(|s| s.base_url = "api.openai.com/v1".into())),
        ("base_url", Box::new(|s| s.base_url = "ftp://api.openai.com/v1".into())),
        ("base_url", Box::new(|s| s.base_url = "http://h/v1?key=1".into())),
        ("base_url", Box::new(|s| s.base_url = "http://h/v1#x".into())),
        ("base_url", Box::new(|s| s.base_url = "http://h/v1/chat/completions".into())),
        ("models", Box::new(|s| s.models = vec![String::new()])),
        ("forward_headers", Box::new(|s| s.forward_headers = Some(vec!["Cookie".into()]))),
        ("tool_members", Box::new(|s| s.tool_members = [("x".into(), String::new())].into())),
        ("idle_timeout", Box::new(|s| s.idle_timeout = std::time::Duration::ZERO)),
    ];
    for (field, change) in cases {
        let text = refusal(change);
        assert!(text.starts_with("upstream \"") && text.contains(&format!("`{field}`")), "{text}");
    }
    let twice = [with_models("same", &[]), with_models("same", &[])];
    let error = Catalog::new(&twice, &config::Demo { enabled: true }, &environment).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[test]
fn a_password_in_an_address_does_not_come_back_in_the_message() {
    for address in ["http://user:hunter2@h/v1", "https:user:hunter2@h", "http://u:hunter2@h?x"] {
        let text = refusal(|settings| settings.base_url = address.into());
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_credential_that_cannot_be_had_says_where_it_was_looked_for() {
    let text = refusal(|settings| settings.api_key_env = Some("NOT_THERE".into()));
    assert!(text.contains("\"openai\"") && text.contains("NOT_THERE") && text.contains("set it"), "{text}");
    let text = refusal(|settings| settings.api_key_file = Some("/no/such/file".into()));
    assert!(text.contains("/no/such/file") && text.contains("api_key_file"), "{text}");
    let text = refusal(|settings| {
        settings.api_key_env = Some("PROVIDER_KEY".into());
        settings.api_key_file = Some("/no/such/file".into());
    });
    assert!(text.contains("keep one"), "{text}");
}

#[test]
fn a_credential_file_is_read_and_trimmed_and_must_not_be_empty() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    for (text, taken) in [("sk-1\n", true), ("  \n", false), ("two words", false), ("sk-1\nsk-2", false)] {
        std::fs::write(&path, text).unwrap();
        let mut settings = settings("openai", "http://127.0.0.1:9");
        settings.api_key_file = Some(path.clone());
        let built = Catalog::new(&[settings], &config::Demo { enabled: true }, &environment);
        assert_eq!(built.is_ok(), taken, "{text:?}");
    }
}

#[test]
fn tool_members_of_the_configuration_are_the_upstreams() {
    let mut settings = settings("openai", "http://127.0.0.1:9");
    settings.tool_members = [("code_options".to_owned(), "code_interpreter".to_owned())].into();
    let upstream = catalog(&[settings]).resolve(Some("openai/x")).unwrap().upstream;
    assert_eq!(upstream.tool_members()[0].member, "code_options");
    assert_eq!(upstream.tool_members()[0].tool, "code_interpreter");
}
