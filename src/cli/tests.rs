//! The command line as a user types it: what is understood, what is refused, and what the help teaches.

use clap::CommandFactory;
use secrecy::ExposeSecret;

use super::*;
use crate::{clock::Clock, domain::secret::Peppers};

/// What `orqen` prints, and whether it did its work, with these arguments and a store of its own.
struct Shell {
    directory: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn orqen(&self, arguments: &[&str]) -> Result<String, String> {
        let file = self.directory.path().join("orqen.toml");
        let store = self.directory.path().join("orqen.db");
        if !file.exists() {
            std::fs::write(&file, format!("[store]\nurl = \"sqlite://{}\"\n", store.display())).unwrap();
        }
        let line = ["orqen", "--config", file.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        let arguments = Arguments::try_parse_from(line).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        run(arguments, &Environment::default(), &mut out).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn with_default_account() -> Self {
        let shell = Self::new();
        shell.orqen(&["account", "create", "default"]).unwrap();
        shell
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_flags_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn no_argument_means_serve_and_the_file_may_be_named_anywhere() {
    let parse = |line: &[&str]| Arguments::try_parse_from(line).unwrap();
    assert!(parse(&["orqen"]).command.is_none());
    assert!(matches!(parse(&["orqen", "serve"]).command, Some(Command::Serve)));
    for line in
        [&["orqen", "--config", "f", "config", "check"], &["orqen", "config", "check", "--config", "f"]]
    {
        assert_eq!(parse(line).config, Some(PathBuf::from("f")));
    }
}

#[test]
fn a_command_that_is_not_understood_is_a_usage_error() {
    for line in [
        &["orqen", "key", "create"][..],
        &["orqen", "key", "create", "a", "--mode", "lax"],
        &["orqen", "key", "create", "a", "--expires-in", "5"],
        &["orqen", "key", "create", "a", "--expires-at", "tomorrow"],
        &["orqen", "key", "create", "a", "--expires-in", "5d", "--expires-at", "2030-01-31T00:00:00Z"],
        &["orqen", "key", "create", "a", "--allow", "x", "--allow-none"],
        &["orqen", "config", "check", "--replicas", "0"],
        &["orqen", "config", "check", "--replicas", "100001"],
        &["orqen", "config", "check", "--replicas", "3", "--memory", "2"],
        &["orqen", "config", "check", "--memory", "2Gi"],
        &["orqen", "frobnicate"],
    ] {
        assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2, "{line:?}");
    }
}

#[test]
fn a_token_of_a_key_is_made_and_holds_no_more_than_the_key() {
    let shell = Shell::with_default_account();
    let made =
        shell.orqen(&["key", "create", "ci", "--allow", "git_*", "--expires-in", "30m", "--json"]).unwrap();
    let id = json(&made)["id"].as_str().unwrap().to_owned();
    let token = shell.orqen(&["key", "token", &id]).unwrap();
    assert_eq!((token.lines().count(), token.trim().split('.').count()), (1, 3));
    let view = json(
        &shell.orqen(&["key", "token", &id, "--allow", "git_log", "--expires-in", "1h", "--json"]).unwrap(),
    );
    assert_eq!(view["allowed_tools"], serde_json::json!(["git_log"]));
    assert_eq!((&view["scopes"], &view["key_id"]), (&serde_json::json!(["chat"]), &serde_json::json!(id)));
    let until = |object: &serde_json::Value| {
        chrono::DateTime::parse_from_rfc3339(object["expires_at"].as_str().unwrap()).unwrap()
    };
    assert!(until(&view) <= until(&json(&made)), "it ends with the key");
    let refused = shell.orqen(&["key", "token", &id, "--allow", "rm"]).unwrap_err();
    assert!(refused.contains("allowed_tools"), "{refused}");
    for lifetime in ["2h", "1ms"] {
        assert!(
            shell.orqen(&["key", "token", &id, "--expires-in", lifetime]).unwrap_err().contains("1s to 1h")
        );
    }
    shell.orqen(&["key", "revoke", &id]).unwrap();
    assert!(shell.orqen(&["key", "token", &id]).unwrap_err().contains("revoked"));
}

#[test]
fn a_key_is_made_listed_and_revoked() {
    let shell = Shell::with_default_account();
    let made = shell.orqen(&[
        "key",
        "create",
        " ci ",
        "--deny",
        "github_delete_*",
        "--allow",
        "github_*",
        "--mode",
        "observe",
        "--scope",
        "chat",
        "--expires-in",
        "30d",
        "--json",
    ]);
    let made = json(&made.unwrap());
    assert_eq!(
        (&made["name"], &made["created_by"], &made["tool_mode"]),
        (&"ci".into(), &"cli".into(), &"observe".into())
    );
    assert_eq!(made["denied_tools"], serde_json::json!(["github_delete_*"]));
    assert_eq!(made["scopes"], serde_json::json!(["chat"]));
    assert_eq!(made["limits"]["rate_limit_rpm"], serde_json::json!({"value": 60, "source": "policy"}));
    assert!(made["last_used_at"].is_null() && made["expires_at"].is_string());
    let secret = made["key"].as_str().unwrap().to_owned();
    crate::domain::secret::PlainSecret::parse(&secret).unwrap();

    let (id, table) = (made["id"].as_str().unwrap(), shell.orqen(&["key", "list"]).unwrap());
    assert!(table.contains(id) && table.contains("observe: 1 allowed, 1 denied") && !table.contains(&secret));
    let listed = shell.orqen(&["key", "list", "--json"]).unwrap();
    assert!(json(&listed).get("key").is_none() && !listed.contains(&secret));

    assert!(shell.orqen(&["key", "revoke", id]).unwrap().contains("is revoked"));
    assert!(shell.orqen(&["key", "revoke", id]).unwrap().contains("was revoked before"));
    assert_eq!(shell.orqen(&["key", "list", "--json"]).unwrap(), "");
    let listed = shell.orqen(&["key", "list", "--json", "--include-revoked"]).unwrap();
    assert_eq!(json(&listed)["status"], "revoked");
}

#[test]
fn a_key_is_changed_in_what_is_named_and_in_nothing_else() {
    let shell = Shell::with_default_account();
    let create =
        ["key", "create", "ci", "--deny", "rm", "--daily-token-budget", "7", "--expires-in", "30d", "--json"];
    let before = json(&shell.orqen(&create).unwrap());
    let id = before["id"].as_str().unwrap();
    assert_eq!(before["limits"]["daily_token_budget"], serde_json::json!({"value": 7, "source": "key"}));
    let update =
        |line: &[&str]| json(&shell.orqen(&[&["key", "update", id, "--json"], line].concat()).unwrap());
    let mut expected = before.clone();
    expected.as_object_mut().unwrap().remove("key");
    assert_eq!(update(&[]), expected);
    for (revision, (line, member, value)) in (2_i64..).zip([
        (&["--name", " new "][..], "name", serde_json::json!("new")),
        (&["--never-expires"], "expires_at", serde_json::json!(null)),
        (&["--disable"], "status", serde_json::json!("disabled")),
        (&["--enable"], "status", serde_json::json!("active")),
        (&["--scope", "chat"], "scopes", serde_json::json!(["chat"])),
        (&["--mode", "observe"], "tool_mode", serde_json::json!("observe")),
        (&["--allow", "a", "--allow", "b*"], "allowed_tools", serde_json::json!(["a", "b*"])),
        (&["--allow-none"], "allowed_tools", serde_json::json!([])),
        (&["--allow-any"], "allowed_tools", serde_json::json!(null)),
        (&["--deny-none"], "denied_tools", serde_json::json!(null)),
    ]) {
        expected[member] = value;
        expected["revision"] = revision.into();
        assert_eq!(update(line), expected, "{line:?}");
    }
    let limits = &update(&["--rate-limit-rpm", "5", "--daily-token-budget", "policy"])["limits"];
    assert_eq!(limits["rate_limit_rpm"], serde_json::json!({"value": 5, "source": "key"}));
    assert_eq!(limits["daily_token_budget"], serde_json::json!({"value": null, "source": "policy"}));
    assert!(shell.orqen(&["key", "update", id]).unwrap().contains("new"));

    for wrong in [
        &["--rate-limit-rpm", "0"][..],
        &["--allow", "a", "--allow-any"],
        &["--enable", "--disable"],
        &["--never-expires", "--expires-in", "5d"],
    ] {
        assert!(shell.orqen(&[&["key", "update", id], wrong].concat()).is_err(), "{wrong:?}");
    }
    shell.orqen(&["key", "revoke", id]).unwrap();
    assert!(shell.orqen(&["key", "update", id, "--name", "x"]).unwrap_err().contains("for good"));
}

#[test]
fn many_keys_are_revoked_by_what_they_have_in_common() {
    let shell = Shell::with_default_account();
    shell.orqen(&["account", "create", "team"]).unwrap();
    for account in ["default", "default", "team"] {
        shell.orqen(&["key", "create", "ci", "--account", account]).unwrap();
    }
    let revoke = |line: &[&str]| shell.orqen(&[&["key", "revoke"], line].concat());
    assert_eq!(revoke(&["--created-by", "jwt:ann"]).unwrap(), "0 keys are revoked\n");
    assert_eq!(revoke(&["--created-before", "2001-01-31T00:00:00Z"]).unwrap(), "0 keys are revoked\n");
    let out = revoke(&["--created-by", "cli"]).unwrap();
    assert!(out.ends_with("2 keys are revoked\n") && out.lines().count() == 3, "{out}");
    assert!(revoke(&["--account", "team", "--all"]).unwrap().ends_with("1 key is revoked\n"));
    let id = "00000000-0000-7000-8000-000000000000";
    for wrong in [
        &[][..],
        &["--account", "team"],
        &[id, "--all"],
        &[id, "--account", "team"],
        &["--all", "--created-by", "cli"],
        &["--created-before", "yesterday"],
    ] {
        let line = [&["orqen", "key", "revoke"], wrong].concat();
        assert_eq!(Arguments::try_parse_from(line).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}

#[test]
fn without_json_standard_output_is_the_secret_alone() {
    let shell = Shell::with_default_account();
    let out = shell.orqen(&["key", "create", "ci"]).unwrap();
    crate::domain::secret::PlainSecret::parse(out.strip_suffix('\n').unwrap()).unwrap();
    let key = json(&shell.orqen(&["key", "list", "--json"]).unwrap());
    assert_eq!(key["scopes"], serde_json::json!(["chat", "keys", "usage"]));
    assert!(key["allowed_tools"].is_null() && key["denied_tools"].is_null() && key["expires_at"].is_null());
}

#[test]
fn an_allowlist_without_an_entry_is_kept_apart_from_none() {
    let shell = Shell::with_default_account();
    let key = json(&shell.orqen(&["key", "create", "ci", "--allow-none", "--json"]).unwrap());
    assert_eq!(key["allowed_tools"], serde_json::json!([]));
}

#[test]
fn what_cannot_be_done_is_said_with_the_way_out() {
    let shell = Shell::new();
    let refused = |line: &[&str], words: &str| {
        let said = shell.orqen(line).unwrap_err();
        assert!(said.contains(words), "{line:?}: {said}");
    };
    refused(&["key", "create", "ci"], "`orqen account create NAME` makes one");
    refused(&["key", "list", "--account", "nobody"], "there is no account \"nobody\"");
    shell.orqen(&["account", "create", "default"]).unwrap();
    refused(&["account", "create", "default"], "choose another name");
    refused(&["account", "create", " "], "must not be empty");
    refused(&["key", "create", ""], "must not be empty");
    refused(&["key", "create", "ci", "--expires-at", "2001-01-31T00:00:00Z"], "a time to come");
    refused(&["key", "revoke", "00000000-0000-7000-8000-000000000000"], "`orqen key list` shows them");
    let said = shell.orqen(&["key", "revoke", "sk-orq-0123"]).unwrap_err();
    assert!(said.contains("is a UUID") && !said.contains("sk-orq-0123"), "{said}");
}

#[test]
fn an_account_is_named_by_its_name_or_its_id() {
    let shell = Shell::new();
    let id = shell.orqen(&["account", "create", "team a"]).unwrap();
    assert!(shell.orqen(&["account", "list"]).unwrap().contains("team a"));
    for account in ["team a", id.trim()] {
        shell.orqen(&["key", "create", "ci", "--account", account]).unwrap();
    }
    assert_eq!(shell.orqen(&["key", "list", "--json", "--account", "team a"]).unwrap().lines().count(), 2);
}

#[test]
fn more_keys_than_the_policy_grants_are_refused() {
    let shell = Shell::new();
    shell.orqen(&["account", "list"]).unwrap();
    let file = shell.directory.path().join("orqen.toml");
    let text = std::fs::read_to_string(&file).unwrap() + "[policy]\nmax_keys = 1\n";
    std::fs::write(&file, text).unwrap();
    shell.orqen(&["account", "create", "default"]).unwrap();
    shell.orqen(&["key", "create", "one"]).unwrap();
    assert!(shell.orqen(&["key", "create", "two"]).unwrap_err().contains("revoke one"));
}

#[test]
fn a_policy_is_shown_and_changed_and_only_a_change_is_a_new_revision() {
    let shell = Shell::with_default_account();
    let policy = |line: &[&str]| {
        json(&shell.orqen(&[&["account", "policy", "default", "--json"], line].concat()).unwrap())
    };
    let before = policy(&[]);
    assert_eq!((&before["revision"], &before["requests_per_minute"]), (&1.into(), &60.into()));
    let after =
        policy(&["--requests-per-minute", "120", "--account-daily-token-budget", "0", "--prune-mode", "off"]);
    for (member, expected) in [
        ("revision", serde_json::json!(2)),
        ("requests_per_minute", 120.into()),
        ("account_daily_token_budget", 0.into()),
        ("prune_mode", "off".into()),
        ("max_keys", 1_000.into()),
    ] {
        assert_eq!(after[member], expected, "{member}");
    }
    assert_eq!(policy(&["--requests-per-minute", "120"]), after, "nothing changed");
    let unlimited =
        ["--requests-per-minute", "unlimited", "--prune-mode", "default", "--max-keys", "unlimited"];
    let unlimited = policy(&unlimited);
    let cleared = ["requests_per_minute", "prune_mode", "max_keys"];
    assert!(cleared.iter().all(|member| unlimited[member].is_null()), "{unlimited}");
    assert_eq!(unlimited["revision"], 3);

    let shown = shell.orqen(&["account", "policy"]).unwrap();
    assert!(shown.starts_with("default (") && shown.contains("\nrevision 3, changed "), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("saved tokens a day")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[4..], ["unlimited", "0"]);
    assert!(shell.orqen(&["account", "policy", "nobody"]).unwrap_err().contains("there is no account"));
}

#[test]
fn a_policy_takes_every_field_within_its_bounds() {
    let shell = Shell::with_default_account();
    let policy = json(&shell.orqen(&["account", "policy", "--json"]).unwrap());
    let fields = policy.as_object().unwrap().keys();
    for field in fields.filter(|field| !["revision", "updated_at", "prune_mode"].contains(&field.as_str())) {
        let option = format!("--{}", field.replace('_', "-"));
        let changed = json(&shell.orqen(&["account", "policy", "--json", &option, "7"]).unwrap());
        assert_eq!(changed[field], 7, "{field}");
        for wrong in ["-1", "1000000000001", "many", "1.5", ""] {
            let line = ["orqen", "account", "policy", &format!("{option}={wrong}")];
            let refused = Arguments::try_parse_from(line).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{option} {wrong}");
        }
    }
    let refused =
        Arguments::try_parse_from(["orqen", "account", "policy", "--prune-mode", "most"]).unwrap_err();
    assert!(refused.to_string().contains("safe, balanced or aggressive"), "{refused}");
}

#[test]
fn the_configuration_is_checked_shown_and_explained() {
    let shell = Shell::new();
    assert_eq!(shell.orqen(&["config", "check"]).unwrap(), "ok\n");
    assert!(shell.orqen(&["config", "show"]).unwrap().contains("[server]\n"));
    std::fs::write(shell.directory.path().join("orqen.toml"), "[server]\nlisten = \"x\"\n[demo]\nx = 1")
        .unwrap();
    let said = shell.orqen(&["config", "check"]).unwrap_err();
    assert!(said.contains("server.listen") && said.contains("demo.x"), "{said}");
    assert_eq!(shell.orqen(&["config", "reference"]).unwrap(), crate::config::REFERENCE);
}

#[test]
fn what_a_start_would_refuse_is_found_by_the_check_all_at_once() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let shell = Shell::new();
    let gone = shell.directory.path().join("gone");
    let gone = gone.display();
    let text = format!(
        "[server]\ntls_cert = \"{gone}.crt\"\ntls_key = \"{gone}.key\"\n\
         [auth]\npepper_file = \"{gone}.pepper\"\n\
         [auth.jwt]\nissuer = \"i\"\naudience = \"a\"\nalgorithms = [\"EdDSA\"]\njwks_file = \"{gone}.jwks\"\n\
         [[upstreams]]\nname = \"u\"\nbase_url = \"http://127.0.0.1:9/v1\"\napi_key_env = \"GONE_API_KEY\"\nmodels = [\"m\"]\n"
    );
    std::fs::write(shell.directory.path().join("orqen.toml"), text).unwrap();
    let said = shell.orqen(&["config", "check"]).unwrap_err();
    for word in [".crt", ".pepper", ".jwks", "GONE_API_KEY"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let parameters = "[store]\nurl = \"sqlite://orqen.db?cache=shared\"\n";
    std::fs::write(shell.directory.path().join("orqen.toml"), parameters).unwrap();
    assert!(shell.orqen(&["config", "check"]).unwrap_err().contains("parameters"));
    std::fs::write(shell.directory.path().join("orqen.toml"), "[store]\nurl = \"postgres://h/d\"\n").unwrap();
    assert!(shell.orqen(&["config", "check"]).unwrap_err().contains("auth.pepper_file"));
}

/// What a cluster may be served by, but for its secrets.
const CLUSTER: &str = "\
[server]\nlisten = \"0.0.0.0:8080\"\nadmin_listen = \"0.0.0.0:9090\"\ndrain_delay = \"10s\"\n\
[store]\nurl = \"postgres://orqen:hunter2@db/orqen\"\nbootstrap = false\n\
[redis]\nurl = \"redis://redis/0\"\n\
[limits]\nfailed_auth_per_minute = \"unlimited\"\n";

#[test]
fn a_cluster_is_checked_for_what_no_replica_can_know() {
    let shell = Shell::new();
    let file = shell.directory.path().join("orqen.toml");
    let drawn = || Peppers::generate(&mut rand::rng()).expose_secret().to_owned();
    let secrets = format!("[auth]\npeppers = [\"{}\"]\nsigning_keys = [\"{}\"]\n", drawn(), drawn());
    std::fs::write(&file, format!("{CLUSTER}{secrets}")).unwrap();
    let check = ["config", "check", "--replicas", "3", "--memory", "2Gi"];
    assert_eq!(shell.orqen(&check).unwrap(), "ok\n", "nothing is found where nothing is wrong");

    std::fs::write(&file, "[server]\ndrain_delay = \"0s\"\n[limits]\nbody_memory = 4294967296\n").unwrap();
    assert_eq!(shell.orqen(&["config", "check"]).unwrap(), "ok\n", "one process may be served by it");
    let said = shell.orqen(&check).unwrap_err();
    for field in ["store.url: sqlite://", "redis.url: ", "server.drain_delay (", "limits.body_memory ("] {
        assert!(said.contains(&format!("\n  {field}")), "{field}: {said}");
    }
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn what_may_be_meant_is_a_warning_and_no_failure() {
    let shell = Shell::new();
    let file = shell.directory.path().join("orqen.toml");
    std::fs::write(&file, "").unwrap();
    let said = shell.orqen(&["config", "check", "--replicas", "1", "--memory", "64Gi"]).unwrap();
    let (warnings, rest) = said.split_at(said.rfind("ok\n").unwrap());
    assert_eq!(rest, "ok\n");
    assert!(warnings.lines().count() > 2, "{said}");
    assert!(warnings.lines().all(|line| line.starts_with("warning: ")), "{said}");
}

#[test]
fn secrets_of_a_cluster_are_drawn_and_not_typed() {
    let shell = Shell::new();
    let file = shell.directory.path().join("orqen.toml");
    let check = |peppers: &str, keys: &str| {
        let secrets = format!("[auth]\npeppers = [\"{peppers}\"]\nsigning_keys = [\"{keys}\"]\n");
        std::fs::write(&file, format!("{CLUSTER}{secrets}")).unwrap();
        shell.orqen(&["config", "check", "--replicas", "2", "--memory", "2Gi"])
    };
    let drawn = Peppers::generate(&mut rand::rng()).expose_secret().to_owned();
    let typed = format!("1:{}", "0f".repeat(32));
    let said = check(&typed, &drawn).unwrap_err();
    assert!(said.contains("auth.peppers: version 1") && !said.contains("signing_keys"), "{said}");
    let said = check(&drawn, &typed).unwrap_err();
    assert!(said.contains("auth.signing_keys: version 1") && !said.contains("peppers:"), "{said}");
    let said = check(&drawn, &drawn).unwrap_err();
    assert!(said.contains("is a pepper too"), "{said}");
    assert!(!said.contains(&drawn[2..]), "a secret is never repeated");

    std::fs::write(&file, CLUSTER).unwrap();
    let said = shell.orqen(&["config", "check", "--replicas", "2"]).unwrap_err();
    for missing in ["auth.pepper_file", "auth.signing_key_file"] {
        assert!(said.contains(missing), "both are told at once: {said}");
    }
}

#[test]
fn the_check_fetches_no_keys() {
    let shell = Shell::new();
    let issuer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    issuer.set_nonblocking(true).unwrap();
    let text = format!(
        "[auth.jwt]\nissuer = \"i\"\naudience = \"a\"\nalgorithms = [\"EdDSA\"]\njwks_hosts = [\"127.0.0.1\"]\n\
         jwks_url = \"http://{}/jwks\"\n",
        issuer.local_addr().unwrap()
    );
    std::fs::write(shell.directory.path().join("orqen.toml"), &text).unwrap();
    assert_eq!(shell.orqen(&["config", "check"]).unwrap(), "ok\n");
    assert!(issuer.accept().is_err(), "nobody has come");
    let elsewhere = text.replace("[\"127.0.0.1\"]", "[\"issuer.example\"]");
    std::fs::write(shell.directory.path().join("orqen.toml"), elsewhere).unwrap();
    let said = shell.orqen(&["config", "check"]).unwrap_err();
    assert!(said.contains("auth.jwt.jwks_url") && said.contains("`jwks_hosts`"), "{said}");
}

#[test]
fn usage_shows_the_month_and_every_day() {
    let shell = Shell::with_default_account();
    let shown = shell.orqen(&["usage", "--days", "3"]).unwrap();
    let month = SystemClock.now().format("%B %Y").to_string();
    assert!(shown.starts_with(&format!("default, {month} (UTC)\n")), "{shown}");
    assert!(shown.contains("0 complete, 0 client, 0 upstream, 0 error"), "{shown}");
    assert_eq!(shown.lines().skip_while(|line| *line != "requests by day").count(), 4, "{shown}");
    let told = json(&shell.orqen(&["usage", "--json"]).unwrap());
    assert_eq!((&told["account"], told["days"].as_array().unwrap().len()), (&"default".into(), 14));
    assert_eq!(told["usage"]["requests"]["total"], 0);
    assert_eq!(told["days"][13]["usage"], told["usage"]);
    for days in ["0", "367", "x"] {
        let refused = Arguments::try_parse_from(["orqen", "usage", "--days", days]).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{days}");
    }
    assert!(shell.orqen(&["usage", "--account", "nobody"]).unwrap_err().contains("there is no account"));
}

#[test]
fn a_key_is_rotated_and_the_secret_before_lives_for_the_overlap() {
    let shell = Shell::with_default_account();
    let made = json(&shell.orqen(&["key", "create", "ci", "--deny", "rm", "--json"]).unwrap());
    let id = made["id"].as_str().unwrap();
    let rotated = json(&shell.orqen(&["key", "rotate", id, "--overlap", "1h", "--json"]).unwrap());
    assert_eq!((&rotated["id"], &rotated["denied_tools"]), (&made["id"], &made["denied_tools"]));
    assert_ne!(rotated["key"], made["key"]);
    assert_eq!((&rotated["revision"], rotated["rotated_at"].is_string()), (&2.into(), true));
    let secrets = rotated["generations"].as_array().unwrap();
    assert_eq!(secrets.len(), 2);
    assert_eq!(
        (&secrets[0]["key_prefix"], &secrets[0]["expires_at"]),
        (&rotated["key_prefix"], &json("null"))
    );
    assert!(secrets[1]["key_prefix"] == made["key_prefix"] && secrets[1]["expires_at"].is_string());

    let text = shell.orqen(&["key", "rotate", id]).unwrap();
    crate::domain::secret::PlainSecret::parse(text.trim_end()).unwrap();
    let listed = json(&shell.orqen(&["key", "list", "--json"]).unwrap());
    assert_eq!(listed["generations"].as_array().unwrap().len(), 1);
    let long = shell.orqen(&["key", "rotate", id, "--overlap", "8d"]).unwrap_err();
    assert!(long.contains("7 days"), "{long}");
    let nobody = "018f0000-0000-7000-8000-000000000000";
    assert!(shell.orqen(&["key", "rotate", nobody]).unwrap_err().contains("no key"));
    shell.orqen(&["key", "revoke", id]).unwrap();
    assert!(shell.orqen(&["key", "rotate", id]).unwrap_err().contains("revoked"));
}

#[test]
fn the_trail_shows_what_was_done_at_the_desk() {
    let shell = Shell::with_default_account();
    let key = json(&shell.orqen(&["key", "create", "ci", "--json"]).unwrap());
    let id = key["id"].as_str().unwrap();
    shell.orqen(&["key", "update", id, "--deny", "rm"]).unwrap();
    shell.orqen(&["key", "token", id]).unwrap();
    shell.orqen(&["key", "rotate", id]).unwrap();
    shell.orqen(&["key", "revoke", id]).unwrap();
    let told = shell.orqen(&["audit", "--json"]).unwrap();
    let events: Vec<_> = told.lines().map(json).collect();
    let actions: Vec<_> = events.iter().rev().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["create_account", "create_key", "update_key", "delegate_key", "rotate_key", "revoke_key"]
    );
    assert!(events.iter().all(|event| event["actor"] == "cli" && event["request_id"].is_null()));
    let denied = &events[3]["changes"][0];
    assert_eq!((&denied["field"], &denied["after"]), (&"denied_tools".into(), &serde_json::json!(["rm"])));
    let table = shell.orqen(&["audit", "--key", id, "--limit", "2"]).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("revoke_key") && table.contains("generations"), "{table}");
    let secret = key["key"].as_str().unwrap();
    assert!(!told.contains(&secret[16..]) && !table.contains(&secret[16..]));
}
