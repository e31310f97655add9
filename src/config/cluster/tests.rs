//! Every rule of a cluster: what is an error, what a warning, and that what is shipped has neither.

use super::*;
use crate::config::Environment;

/// The fields that are errors, and those that are warnings, of a configuration for so many replicas.
fn found(text: &str, replicas: u32, memory: Option<u64>) -> (Vec<String>, Vec<String>) {
    let loaded = Config::from_toml(text, &Environment::default()).unwrap();
    let findings = Cluster { replicas, memory }.findings(&loaded);
    let fields = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.field).collect();
    (fields(findings.errors), fields(findings.warnings))
}

/// What several replicas may be served by.
const CLUSTER: &str = "\
[server]\nlisten = \"0.0.0.0:8080\"\nadmin_listen = \"0.0.0.0:9090\"\ndrain_delay = \"10s\"\n\
[store]\nurl = \"postgres://orqen:hunter2@db/orqen\"\nbootstrap = false\n\
[redis]\nurl = \"redis://redis/0\"\n\
[limits]\nfailed_auth_per_minute = 6000\n";

#[test]
fn a_cluster_has_nothing_that_replicas_cannot_share() {
    assert_eq!(found(CLUSTER, 3, Some(2 << 30)), (vec![], vec![]));
    let (errors, warnings) = found("", 3, None);
    assert_eq!(errors, ["store.url", "redis.url"]);
    let open = ["store.bootstrap", "server.drain_delay", "server.listen", "server.admin_listen"];
    assert_eq!(warnings, [&open[..], &["limits.failed_auth_per_minute"]].concat());
    let (errors, _) = found("", 1, None);
    assert!(errors.is_empty(), "one replica shares nothing: {errors:?}");
}

#[test]
fn every_rule_of_a_cluster_is_kept() {
    for (was, is, field, is_error) in [
        ("@db/", "@localhost/", "store.url", false),
        ("//redis/", "//[::1]:6379/", "redis.url", false),
        ("\"10s\"", "\"0s\"", "server.drain_delay", true),
        ("\"10s\"", "\"4999ms\"", "server.drain_delay", false),
        ("[store]", "drain_deadline = \"0s\"\n[store]", "server.drain_deadline", true),
        ("[store]", "[store]\nstale_for = \"0s\"", "store.stale_for", true),
        ("[store]", "[store]\nstale_for = \"9s\"\npoll_every = \"1s\"", "store.stale_for", true),
        ("[store]", "[store]\nstale_for = \"9001ms\"\npoll_every = \"1s\"", "store.stale_for", false),
        ("[store]", "[store]\nstale_for = \"1h\"", "store.stale_for", false),
        ("[store]", "[store]\nmax_connections = 32", "store.max_connections", false),
        ("bootstrap = false", "bootstrap = true", "store.bootstrap", false),
        ("failed_auth_per_minute = 6000", "", "limits.failed_auth_per_minute", false),
    ] {
        let text = CLUSTER.replace(was, is);
        let (errors, warnings) = found(&text, 3, None);
        let (told, others) = if is_error { (errors, warnings) } else { (warnings, errors) };
        assert_eq!((told, others), (vec![field.to_owned()], vec![]), "{text}");
    }
    assert_eq!(
        found(&CLUSTER.replace("[store]", "[store]\nmax_connections = 31"), 3, None),
        (vec![], vec![])
    );
    // So many are too many connections in any case, at two each.
    let (polls, crowd) = (
        CLUSTER.replace("[store]", "[store]\npoll_every = \"10ms\"\nmax_connections = 1"),
        "store.max_connections",
    );
    assert_eq!(found(&polls, 50, None), (vec![], vec![crowd.to_owned()]));
    assert_eq!(found(&polls, 51, None), (vec![], vec!["store.poll_every".to_owned(), crowd.to_owned()]));
}

#[test]
fn what_a_cluster_may_hold_fits_its_memory() {
    let most = |text: &str, memory: u64| found(&format!("{CLUSTER}{text}"), 3, Some(memory << 20));
    let field = |field: &str| vec![field.to_owned()];
    assert_eq!(most("", 1280), (vec![], field("limits.body_memory")), "1,095 of 1,280");
    assert_eq!(most("", 1024), (field("limits.body_memory"), vec![]));
    assert_eq!(most("[auth]\ncache_keys = 10000000\n", 4096), (field("auth.cache_keys"), vec![]));
    assert_eq!(most("[pruning]\ncache_bytes = 17179869184\n", 8192), (field("pruning.cache_bytes"), vec![]));
    let loaded = Config::from_toml(CLUSTER, &Environment::default()).unwrap();
    let findings = Cluster { replicas: 3, memory: Some(1024 << 20) }.findings(&loaded);
    let message = &findings.errors[0].message;
    assert!(
        message.contains("of 1024 MiB of memory") && message.contains("limits.body_memory 512 MiB"),
        "{message}"
    );
}

#[test]
fn the_configurations_that_are_shipped_are_fit_for_a_cluster() {
    let addresses = Environment::from_iter([
        ("ORQEN_STORE__URL", "postgres://orqen:hunter2@postgres/orqen"),
        ("ORQEN_REDIS__URL", "redis://redis/0"),
    ]);
    for (text, replicas) in [
        (include_str!("../../../deploy/kubernetes/base/orqen.toml"), 12),
        (include_str!("../../../deploy/compose/orqen.toml"), 2),
    ] {
        let loaded = Config::from_toml(text, &addresses).unwrap();
        let findings = Cluster { replicas, memory: Some(1536 << 20) }.findings(&loaded);
        assert!(findings.errors.is_empty() && findings.warnings.is_empty(), "{findings:?}");
    }
}
