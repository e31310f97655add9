//! Every rule of the configuration: what is read from where, what is refused, and in which words.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::*;

fn env<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    Environment::from_iter(variables)
}

fn defaults() -> Config {
    Config::from_toml("", &Environment::default()).unwrap().config
}

fn problems(text: &str, env: &Environment) -> Vec<Problem> {
    match Config::from_toml(text, env) {
        Err(ConfigError::Invalid { problems }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

/// Asserts that `text` has one problem, of `field`, whose message holds `words`.
fn refuses(text: &str, field: &str, words: &str) {
    let found = problems(text, &Environment::default());
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    assert_eq!(found[0].field, field, "{text}");
    assert!(found[0].message.contains(words), "{text}: {}", found[0].message);
}

const UPSTREAM: &str = "[[upstreams]]\nname = \"a\"\nbase_url = \"https://a.example/v1\"\n";
const JWT: &str = "[auth.jwt]\nissuer = \"i\"\naudience = \"a\"\nalgorithms = [\"EdDSA\"]\n";

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = defaults();
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.store.url.expose(), "sqlite://orqen.db");
    assert_eq!(config.store.stale_for, Duration::from_secs(60));
    assert!(config.store.bootstrap && config.demo.enabled && config.pruning.enabled);
    assert_eq!(config.policy.requests_per_minute, Some(60));
    assert_eq!(config.policy.concurrent_requests, None);
    assert_eq!(config.policy.values().max_keys, Some(1000));
    assert_eq!((config.limits.chat_body, config.limits.account_body), (32 << 20, 1 << 20));
    assert_eq!(config.limits.json_depth, 128);
    assert!(config.upstreams.is_empty() && config.redis.is_none() && config.auth.jwt.is_none());
    assert!(config.pruning.embeddings.is_none());
}

#[test]
fn the_example_of_the_contract_parses_as_it_stands() {
    let text = r#"
[server]
listen = "127.0.0.1:8080"
[store]
url = "sqlite://orqen.db"            # or postgres://user:password@host/db
[[upstreams]]
name = "openai"
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"       # or api_key_file; left out: no credential is sent
models = ["gpt-*", "o*"]
[policy]                             # what a new account starts with
requests_per_minute = 60
[pruning]
enabled = true
[redis]
url = "redis://127.0.0.1/0"          # left out: limits are per process
"#;
    let config = Config::from_toml(text, &Environment::default()).unwrap().config;
    let openai = &config.upstreams[0];
    assert_eq!((openai.name.as_str(), openai.models.len()), ("openai", 2));
    assert_eq!(openai.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.redis.unwrap().url.expose(), "redis://127.0.0.1/0");
}

/// The names that a struct has by serde, found by letting it list them.
fn names_of<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    let table = toml::Table::from_iter([("\u{1}".to_owned(), toml::Value::Integer(0))]);
    let error = T::deserialize(toml::Value::Table(table)).unwrap_err().message().to_owned();
    error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_reference_shows_every_field_and_no_other() {
    let shown = |path: &str| -> BTreeSet<String> {
        let table = path.split('.').fold(&*reference::FIELDS, |table, name| match &table[name] {
            toml::Value::Array(list) => list[0].as_table().unwrap(),
            inner => inner.as_table().unwrap(),
        });
        table.keys().cloned().collect()
    };
    assert_eq!(reference::FIELDS.keys().cloned().collect::<BTreeSet<_>>(), names_of::<Config>());
    assert_eq!(shown("server"), names_of::<Server>());
    assert_eq!(shown("store"), names_of::<Store>());
    assert_eq!(shown("auth"), names_of::<Auth>());
    assert_eq!(shown("auth.jwt"), names_of::<Jwt>());
    assert_eq!(shown("upstreams"), names_of::<Upstream>());
    assert_eq!(shown("policy"), names_of::<Policy>());
    assert_eq!(shown("pruning"), names_of::<Pruning>());
    assert_eq!(shown("pruning.embeddings"), names_of::<Embeddings>());
    assert_eq!(shown("limits"), names_of::<Limits>());
    assert_eq!(shown("log"), names_of::<Log>());
    assert_eq!(shown("otel"), names_of::<Otel>());
    assert_eq!(shown("usage"), names_of::<Usage>());
    // With a single field serde words its error in another way.
    assert_eq!(shown("redis").len() + shown("demo").len(), 2);
    Config::deserialize(toml::Value::Table(reference::FIELDS.clone()))
        .expect("every example has its field's shape");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\ndrain_delay = \"2s\"";
    let env = env([
        ("ORQEN_SERVER__LISTEN", "127.0.0.1:2"),
        ("ORQEN_SERVER__CORS_ORIGINS", r#"["https://app.example"]"#),
        ("ORQEN_PRUNING__LEARNING_SHARE", "0.125"),
        ("ORQEN_STORE__BOOTSTRAP", "false"),
        ("ORQEN_STORE__MAX_CONNECTIONS", "3"),
        ("ORQEN_POLICY__REQUESTS_PER_MINUTE", "unlimited"),
        ("ORQEN_POLICY__CONCURRENT_REQUESTS", "7"),
        ("ORQEN_REDIS__URL", "redis://h/0"),
        ("ORQEN_AUTH__JWT__ISSUER", ""),
        ("ORQEN_KEY", "sk-orq-not-configuration"),
        ("PATH", "/bin"),
    ]);
    let Loaded { config, origins } = Config::from_toml(text, &env).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.server.drain_delay, Duration::from_secs(2));
    assert_eq!(config.server.cors_origins, ["https://app.example"]);
    assert_eq!((config.store.bootstrap, config.store.max_connections), (false, 3));
    assert_eq!((config.policy.requests_per_minute, config.policy.concurrent_requests), (None, Some(7)));
    assert!(config.redis.is_some());
    assert_eq!(*origins.of("server.listen"), Origin::Variable("ORQEN_SERVER__LISTEN".into()));
    assert_eq!(config.pruning.learning_share, 0.125);
    assert_eq!(*origins.of("server.drain_delay"), Origin::File(PathBuf::from("orqen.toml")));
    assert_eq!(*origins.of("server.drain_deadline"), Origin::Default);
}

#[test]
fn peppers_and_an_issuer_may_come_from_the_environment() {
    let pepper = format!(r#"["1:{}"]"#, "ab".repeat(32));
    let env = env([
        ("ORQEN_AUTH__PEPPERS", pepper.as_str()),
        ("ORQEN_AUTH__JWT__ISSUER", "https://issuer.example"),
        ("ORQEN_AUTH__JWT__AUDIENCE", "orqen"),
        ("ORQEN_AUTH__JWT__ALGORITHMS", r#"["ES256", "RS256"]"#),
        ("ORQEN_AUTH__JWT__JWKS_FILE", "/etc/jwks.json"),
    ]);
    let auth = Config::from_toml("", &env).unwrap().config.auth;
    assert_eq!(auth.peppers.len(), 1);
    assert_eq!(auth.jwt.unwrap().algorithms, [JwtAlgorithm::Es256, JwtAlgorithm::Rs256]);
}

#[test]
fn an_unknown_name_is_refused_with_the_one_that_was_meant() {
    refuses("[server]\nlissten = \"127.0.0.1:1\"", "server.lissten", "did you mean `listen`?");
    refuses("[sever]\nlisten = \"127.0.0.1:1\"", "sever", "is no section; did you mean `server`?");
    refuses("listen = \"127.0.0.1:1\"", "listen", "did you mean `server.listen`?");
    refuses("[server]\nchat_body = 5", "server.chat_body", "did you mean `limits.chat_body`?");
    refuses("[demo]\nxyzzy = 5", "demo.xyzzy", "known are `enabled`");
    refuses(
        &format!("{UPSTREAM}api_key = \"sk-secret\""),
        "upstreams[0].api_key",
        "did you mean `api_key_env`?",
    );
    refuses(
        &format!("{JWT}jwks_file = \"f\"\nalgorithm = 5"),
        "auth.jwt.algorithm",
        "did you mean `algorithms`?",
    );
}

#[test]
fn an_unknown_variable_is_refused_by_its_name() {
    for (name, words) in [
        ("ORQEN_SERVER__LISSTEN", "did you mean ORQEN_SERVER__LISTEN?"),
        ("ORQEN_SERVER", ""),
        ("ORQEN_XYZZY__PLUGH", "is no field"),
        ("ORQEN_UPSTREAMS__0__NAME", "`[[upstreams]]`"),
        ("ORQEN_AUTH__JWT", "is no field"),
        ("ORQEN_SERVER__", "is no field"),
        ("ORQEN__SERVER__LISTEN", "is no field; did you mean ORQEN_SERVER__LISTEN?"),
    ] {
        let env = env([(name, "1")]);
        if words.is_empty() {
            assert!(Config::from_toml("", &env).is_ok(), "{name}");
            continue;
        }
        let found = problems("", &env);
        assert_eq!(found[0].field, name);
        assert!(found[0].message.contains(words), "{name}: {}", found[0].message);
    }
}

#[test]
fn every_bound_is_kept() {
    for (text, field, words) in [
        (
            "[server]\nlisten = \"localhost:8080\"",
            "server.listen",
            "write it like `listen = \"127.0.0.1:8080\"`",
        ),
        ("[server]\nlisten = 8080", "server.listen", "8080 does not fit"),
        ("[server]\nadmin_listen = \"127.0.0.1:8080\"", "server.admin_listen", "a port of its own"),
        ("[server]\nadmin_listen = \"0.0.0.0:8080\"", "server.admin_listen", "a port of its own"),
        ("[server]\ntls_cert = \"a\"", "server.tls_key", "beside `tls_cert`"),
        ("[server]\ntls_key = \"a\"", "server.tls_cert", "beside `tls_key`"),
        (
            "[server]\ncors_origins = [\"*\", \"https://a.example/\"]",
            "server.cors_origins[1]",
            "https://a.example/",
        ),
        ("[server]\ncors_origins = [\"https://A.example\"]", "server.cors_origins[0]", "lower case"),
        ("[server]\ncors_origins = [\"app.example\"]", "server.cors_origins[0]", "is no origin"),
        ("[server]\ncors_origins = \"*\"", "server.cors_origins", "expected a sequence"),
        ("[server]\ndrain_delay = 5", "server.drain_delay", "write it like `drain_delay = \"1s\"`"),
        ("[server]\ndrain_delay = \"5\"", "server.drain_delay", "a whole number and a unit"),
        ("[store]\nurl = \"mysql://h/d\"", "store.url", "`sqlite://FILE` and `postgres://"),
        ("[store]\nurl = \"orqen.db\"", "store.url", "are supported"),
        ("[store]\nurl = \"sqlite://\"", "store.url", "are supported"),
        ("[store]\nurl = \"sqlite::memory:\"", "store.url", "are supported"),
        ("[store]\nurl = \"sqlite://:memory:\"", "store.url", "name a file"),
        ("[store]\nbootstrap = \"no\"", "store.bootstrap", "expected a boolean"),
        ("[store]\npoll_every = \"2s\"", "store.poll_every", "give \"10ms\" to \"1s\""),
        ("[store]\nstale_for = \"2d\"", "store.stale_for", "to \"1d\""),
        ("[store]\nmax_connections = 0", "store.max_connections", "give 1 to 1000"),
        ("[store]\nmax_connections = -1", "store.max_connections", "-1 does not fit"),
        ("[usage]\nrecords = \"no\"", "usage.records", "expected a boolean"),
        ("[usage]\nretention = \"1h\"", "usage.retention", "give \"1d\" to \"365d\""),
        ("[auth]\npeppers = [\"1:ab\"]", "auth.peppers", "hexadecimal digits"),
        ("[auth]\nsigning_keys = [\"1:ab\"]", "auth.signing_keys", "hexadecimal digits"),
        ("[auth]\ncache_keys = 0", "auth.cache_keys", "give 1 to 10000000"),
        ("[policy]\nrequests_per_minute = 0", "policy.requests_per_minute", "write \"unlimited\""),
        (
            "[policy]\nrequests_per_minute = \"many\"",
            "policy.requests_per_minute",
            "whole number or \"unlimited\"",
        ),
        (
            "[policy]\nrequests_per_minute = 1.5",
            "policy.requests_per_minute",
            "whole number or \"unlimited\"",
        ),
        ("[policy]\nconcurrent_requests = -1", "policy.concurrent_requests", "give 1 to 1000000000000"),
        ("[policy]\ndaily_token_budget = -1", "policy.daily_token_budget", "give 0 to 1000000000000"),
        ("[policy]\nweekly_token_budget = -1", "policy.weekly_token_budget", "give 0 to 1000000000000"),
        ("[policy]\ntool_window = 0", "policy.tool_window", "leave it out"),
        (
            "[policy]\nrequests_per_minute = 1000000000001",
            "policy.requests_per_minute",
            "give 1 to 1000000000000",
        ),
        ("[policy]\ntool_window = 1001", "policy.tool_window", "give 1 to 1000"),
        ("[policy]\nmax_keys = 0", "policy.max_keys", "give 1 to 1000000000000"),
        ("[pruning]\nenabled = 1", "pruning.enabled", "expected a boolean"),
        ("[limits]\nchat_body = 10", "limits.chat_body", "give 1024 to 1073741824"),
        ("[limits]\naccount_body = 2000000000", "limits.account_body", "out of bounds"),
        ("[limits]\njson_depth = 513", "limits.json_depth", "give 1 to 512"),
        ("[limits]\nbody_timeout = \"0s\"", "limits.body_timeout", "out of bounds"),
        ("[redis]\nurl = \"http://h\"", "redis.url", "redis://HOST/0"),
        ("[redis]", "redis.url", "is missing: write it like `url = \"redis://127.0.0.1/0\"`"),
        ("[log]\nlevel = \"inof\"", "log.level", "is no log filter"),
        ("[log]\nlevel = \"orqen=loud\"", "log.level", "is no log filter"),
        ("[log]\nformat = \"xml\"", "log.format", "`auto`, `human`, `json`"),
        ("server = 3", "server", "write `[server]`"),
        ("upstreams = 3", "upstreams", "two brackets"),
        ("[upstreams]\nname = \"a\"", "upstreams", "two brackets"),
        ("[auth]\njwt = true", "auth.jwt", "write `[auth.jwt]`"),
    ] {
        refuses(text, field, words);
    }
}

#[test]
fn every_rule_of_an_upstream_is_kept() {
    for (lines, field, words) in [
        ("api_key_env = \"sk-proj-hunter2\"", "api_key_env", "its name here"),
        ("api_key_env = \"\"", "api_key_env", "is no name"),
        ("api_key_env = \"A\"\napi_key_file = \"b\"", "api_key_file", "keep one of the two"),
        ("models = [\"gpt-4o\", \"\"]", "models[1]", "is no model"),
        ("models = \"gpt-4o\"", "models", "expected a sequence"),
        ("tool_members = { tools = \"x\" }", "tool_members.tools", "take it out"),
        ("tool_members = { x = \"\" }", "tool_members.x", "neither may be empty"),
        ("tool_members = { x = 5 }", "tool_members", "does not fit"),
        ("forward_headers = [\"Authorization\"]", "forward_headers[0]", "never goes to a provider"),
        ("forward_headers = [\"a b\"]", "forward_headers[0]", "no name of a header"),
        ("connect_timeout = \"0s\"", "connect_timeout", "out of bounds"),
        ("first_byte_timeout = \"2d\"", "first_byte_timeout", "out of bounds"),
        ("idle_timeout = \"soon\"", "idle_timeout", "a whole number and a unit"),
    ] {
        refuses(&format!("{UPSTREAM}{lines}"), &format!("upstreams[0].{field}"), words);
    }
    for name in ["", "Openai", "a b", "ä", "123456789012345678901234567890123", "orqen"] {
        let text = format!("[[upstreams]]\nname = \"{name}\"\nbase_url = \"https://a.example\"");
        assert_eq!(problems(&text, &Environment::default())[0].field, "upstreams[0].name", "{name}");
    }
    for url in
        ["", "a.example/v1", "ftp://a.example", "https://", "https://u:p@a.example", "https://a.example?k=v"]
    {
        let text = format!("[[upstreams]]\nname = \"a\"\nbase_url = \"{url}\"");
        assert_eq!(problems(&text, &Environment::default())[0].field, "upstreams[0].base_url", "{url}");
    }
    refuses(&format!("{UPSTREAM}{UPSTREAM}"), "upstreams[1].name", "upstreams[0].name too");
    refuses("[[upstreams]]\nname = \"a\"", "upstreams[0].base_url", "is missing");
    let empty = problems("[[upstreams]]", &Environment::default());
    assert_eq!(empty.len(), 2, "both needed fields are told: {empty:?}");
}

#[test]
fn spans_go_to_an_address_and_nowhere_by_default() {
    let load = |text: &str| Config::from_toml(text, &Environment::default()).unwrap().config;
    assert!(load("").otel.is_none());
    let otel = load("[otel]\nendpoint = \"http://collector:4318/\"").otel.unwrap();
    assert_eq!((otel.service_name.as_str(), otel.timeout), ("orqen", Duration::from_secs(10)));
    assert_eq!(otel.traces().unwrap(), "http://collector:4318/v1/traces");
    for endpoint in
        ["", "collector:4318", "grpc://collector", "http://collector?key=hunter2", "http://u:hunter2@h"]
    {
        let text = format!("[otel]\nendpoint = {endpoint:?}");
        refuses(&text, "otel.endpoint", "http://127.0.0.1:4318");
        let told = Config::from_toml(&text, &Environment::default()).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
    let with = |more: &str| format!("[otel]\nendpoint = \"http://h\"\n{more}");
    refuses(&with("service_name = \" \""), "otel.service_name", "is empty");
    refuses(&with("timeout = \"61s\""), "otel.timeout", "out of bounds");
}

#[test]
fn embeddings_are_of_an_upstream_that_is_there() {
    let with =
        |more: &str| format!("{UPSTREAM}[pruning.embeddings]\nmodel = \"m\"\nupstream = \"a\"\n{more}");
    let config = Config::from_toml(&with(""), &Environment::default()).unwrap().config;
    let embeddings = config.pruning.embeddings.unwrap();
    assert_eq!((embeddings.timeout, embeddings.dimensions), (Duration::from_millis(150), None));
    let unknown = with("").replace("upstream = \"a\"", "upstream = \"b\"");
    refuses(&unknown, "pruning.embeddings.upstream", "there are `a`");
    refuses(&unknown.replace(UPSTREAM, ""), "pruning.embeddings.upstream", "[[upstreams]]");
    refuses(&with("timeout = \"6s\""), "pruning.embeddings.timeout", "\"1ms\" to \"5s\"");
    refuses(&with("dimensions = 0"), "pruning.embeddings.dimensions", "1 to 8192");
    refuses(&with("cache_bytes = 1"), "pruning.embeddings.cache_bytes", "out of bounds");
    refuses(&with("").replace("\"m\"", "\" \""), "pruning.embeddings.model", "is empty");
    refuses(&with("url = \"x\""), "pruning.embeddings.url", "is no field");
}

#[test]
fn keys_come_by_url_only_from_a_host_that_is_meant() {
    let by_issuer = JWT.replace("\"i\"", "\"https://Issuer.example/realm\"");
    let loads = |text: &str| {
        let jwt = Config::from_toml(text, &Environment::default()).unwrap().config.auth.jwt.unwrap();
        jwt.jwks_address().unwrap().to_string()
    };
    let url = |url: &str| format!("jwks_url = \"{url}\"\n");
    let at = url("https://issuer.example:8443/jwks?p=x");
    assert_eq!(loads(&format!("{by_issuer}{at}")), "https://issuer.example:8443/jwks?p=x");
    for (host, address) in [
        ("keys.example", "https://Keys.example/jwks"),
        ("127.0.0.1", "http://127.0.0.1:9/jwks"),
        ("localhost", "http://localhost:9/jwks"),
        ("::1", "http://[::1]:9/jwks"),
        ("[::1]", "http://[::1]:9/jwks"),
    ] {
        loads(&format!("{JWT}jwks_hosts = [\"{host}\"]\n{}", url(address)));
    }
    for (jwt, lines, field, words) in [
        (
            JWT,
            at.clone(),
            "jwks_url",
            "`issuer` is no URL that says its host: if keys may come from there, write `jwks_hosts = [\"issuer.example\"]`",
        ),
        (
            &by_issuer,
            url("https://evil.example/jwks"),
            "jwks_url",
            "not at the host of `issuer`, \"issuer.example\"",
        ),
        (
            &by_issuer,
            url("https://issuer.example.evil/jwks"),
            "jwks_url",
            "write `jwks_hosts = [\"issuer.example.evil\"]`",
        ),
        (&by_issuer, format!("jwks_hosts = [\"a.example\"]\n{at}"), "jwks_url", "not in `jwks_hosts`"),
        (&by_issuer, url("http://issuer.example/jwks"), "jwks_url", "write `https`"),
        (&by_issuer, url("http://127.0.0.1.evil/jwks"), "jwks_url", "write `https`"),
        (&by_issuer, url("http://127.0.0.1/jwks"), "jwks_url", "write `jwks_hosts = [\"127.0.0.1\"]`"),
        (&by_issuer, url("ftp://issuer.example/jwks"), "jwks_url", "is no https URL"),
        (&by_issuer, url("issuer.example/jwks"), "jwks_url", "is no URL"),
        (&by_issuer, url("/etc/jwks.json"), "jwks_url", "has no host"),
        (&by_issuer, url("https://issuer.example/jwks#keys"), "jwks_url", "fragment"),
        (&by_issuer, url("https://u:hunter2@issuer.example/"), "jwks_url", "has an `@`"),
        (&by_issuer, url("https://evil.example/?key=hunter2"), "jwks_url", "evil.example"),
        (&by_issuer, url("https://evil.example/ ?key=hunter2"), "jwks_url", "key=***"),
        (&by_issuer, format!("{at}jwks_file = \"a\""), "jwks_file", "beside `jwks_url`: keep one of the two"),
        (&by_issuer, format!("{at}public_key_file = \"a\""), "public_key_file", "beside `jwks_url`"),
        (&by_issuer, "jwks_file = \"a\"\njwks_hosts = [\"a\"]".into(), "jwks_hosts", "without `jwks_url`"),
        (
            &by_issuer,
            format!("{at}jwks_hosts = [\"issuer.example\", \"https://a\"]"),
            "jwks_hosts[1]",
            "is no host",
        ),
        (
            &by_issuer,
            format!("{at}jwks_hosts = [\"issuer.example\", \"a:443\"]"),
            "jwks_hosts[1]",
            "is no host",
        ),
    ] {
        let text = format!("{jwt}{lines}");
        refuses(&text, &format!("auth.jwt.{field}"), words);
        assert!(!format!("{:?}", problems(&text, &Environment::default())).contains("hunter2"), "{text}");
    }
}

#[test]
fn an_issuer_needs_one_source_of_keys_and_an_algorithm() {
    refuses(JWT, "auth.jwt.jwks_file", "is missing: name it, `jwks_url` or `public_key_file`");
    refuses(
        &format!("{JWT}jwks_file = \"a\"\npublic_key_file = \"b\""),
        "auth.jwt.public_key_file",
        "one of the two",
    );
    let with = |algorithms: &str| JWT.replace("[\"EdDSA\"]", algorithms) + "jwks_file = \"a\"";
    refuses(&with("[]"), "auth.jwt.algorithms", "at least one");
    refuses(&with("[\"HS256\"]"), "auth.jwt.algorithms", "`EdDSA`, `ES256`, `RS256`");
    refuses(&with("[\"ES256\"]").replace("\"i\"", "\" \""), "auth.jwt.issuer", "must not be empty");
    let pepper = "1:".to_owned() + &"ab".repeat(32);
    refuses(
        &format!("[auth]\npepper_file = \"f\"\npeppers = [\"{pepper}\"]"),
        "auth.pepper_file",
        "keep one of the two",
    );
    refuses(
        &format!("[auth]\nsigning_key_file = \"f\"\nsigning_keys = [\"{pepper}\"]"),
        "auth.signing_key_file",
        "keep one of the two",
    );
}

#[test]
fn all_problems_are_told_at_once_each_with_its_origin() {
    let text = "[server]\nlisten = \"x\"\nlissten = 1\n[limits]\njson_depth = 0\n[policy]\nmax_keys = 0";
    let env = env([
        ("ORQEN_STORE__URL", "mysql://h"),
        ("ORQEN_LOG__FORMATT", "json"),
        ("ORQEN_STORE__BOOTSTRAP", "x"),
    ]);
    let text = Config::from_toml(text, &env).unwrap_err().to_string();
    for line in [
        "the configuration has 6 problems:",
        "ORQEN_LOG__FORMATT: is no field; did you mean ORQEN_LOG__FORMAT?",
        "server.listen (orqen.toml): \"x\" does not fit",
        "server.lissten (orqen.toml): is no field",
        "store.bootstrap (ORQEN_STORE__BOOTSTRAP): \"x\" does not fit (expected a boolean): write it like \
         `ORQEN_STORE__BOOTSTRAP='true'`",
        "limits.json_depth (orqen.toml): 0 is out of bounds",
        "policy.max_keys (orqen.toml): 0 is out of bounds",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    assert_eq!(text.lines().count(), 7, "six problems and a heading: {text}");
}

#[test]
fn a_broken_file_is_told_by_line_and_never_quoted() {
    let error =
        Config::from_toml("[store]\nurl = \"postgres://u:hunter2@h", &Environment::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("orqen.toml, line 2, column"), "{text}");
    assert!(!format!("{text}{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_named_file_must_be_there_and_be_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.toml");
    let load = || Config::load(Some(&path), &Environment::default());
    assert!(load().unwrap_err().to_string().contains("other.toml cannot be read"));
    std::fs::write(&path, b"[server]\nlisten = \"\xff\"").unwrap();
    assert!(matches!(load(), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, "[server]\nlisten = \"127.0.0.1:9\"").unwrap();
    let loaded = load().unwrap();
    assert_eq!(loaded.config.server.listen.port(), 9);
    assert_eq!(*loaded.origins.of("server.listen"), Origin::File(path.clone()));
}

#[test]
fn no_secret_is_shown_anywhere() {
    let pepper = format!("3:{}", "c0ffee11".repeat(8));
    let text = format!(
        "[store]\nurl = \"postgres://orqen:hunter2@db/orqen\"\n[redis]\nurl = \"redis://:hunter2@cache/0\"\n\
         [auth]\npeppers = [\"{pepper}\"]\nsigning_keys = [\"{pepper}\"]"
    );
    let env = env([("OPENAI_API_KEY", "sk-hunter2")]);
    let loaded = Config::from_toml(&text, &env).unwrap();
    let shown = format!("{}{loaded:?}{env:?}", loaded.show());
    assert!(!shown.contains("hunter2") && !shown.contains("c0ffee11"), "{shown}");
    assert!(shown.contains("postgres://orqen:***@db/orqen"));

    for text in [
        "[store]\nurl = [\"hunter2\"]",
        "[store]\nurl = \"mysql://u:hunter2@h/d\"",
        "[store]\nurl = \"u:hunter2@h/d\"",
        "[auth]\npeppers = \"hunter2\"",
        "[auth]\npeppers = [\"hunter2\"]",
        "[auth]\nsigning_keys = [\"hunter2\"]",
        "[redis]\nurl = \"http://u:hunter2@h\"",
        "[store]\npassword = \"hunter2\"",
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://u:hunter2@a.example\"",
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://a.example?key=hunter2\"",
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://a.example\"\napi_key_env = \"sk-hunter2\"",
        "[[upstreams]]\nname = \"a\"\nbase_url = \"https://a.example\"\napi_key = \"sk-hunter2\"",
    ] {
        let error = Config::from_toml(text, &Environment::default()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let env = self::env([("ORQEN_AUTH__PEPPERS", "hunter2"), ("ORQEN_STORE__PASSWORD", "hunter2")]);
    let error = Config::from_toml("", &env).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[test]
fn show_gives_every_value_with_its_origin_and_is_read_back() {
    let text = format!("{UPSTREAM}{JWT}jwks_file = \"a\"\n[policy]\nmax_keys = \"unlimited\"");
    let env = env([("ORQEN_SERVER__LISTEN", "127.0.0.1:0")]);
    let shown = Config::from_toml(&text, &env).unwrap().show();
    let lines: BTreeSet<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "listen = \"127.0.0.1:0\" # ORQEN_SERVER__LISTEN",
        "# admin_listen is not set",
        "max_keys = \"unlimited\" # orqen.toml",
        "concurrent_requests = \"unlimited\" # default",
        "name = \"a\" # orqen.toml",
        "connect_timeout = \"5s\" # default",
        "[auth.jwt]",
        "algorithms = [\"EdDSA\"] # orqen.toml",
        "# [redis] is not set",
        "drain_delay = \"1s\" # default",
    ] {
        assert!(lines.contains(line), "{line}\nis not in\n{shown}");
    }
    let again = Config::from_toml(&shown, &Environment::default()).unwrap().config;
    assert_eq!(again.policy.max_keys, None);
    assert_eq!(again.upstreams.len(), 1);
}

#[test]
fn an_origin_is_found_for_what_stands_in_a_list() {
    let found = problems(&format!("{UPSTREAM}models = [\"\"]"), &Environment::default());
    assert_eq!(found[0].origin, Some(Origin::File(PathBuf::from("orqen.toml"))));
}
