//! What a key takes in memory once it is known, with and without tool lists: resident bytes a key, and keys a MiB.
//!
//! `cargo bench --bench cached_keys`, with `-- 100000` for more keys than 20,000. Each is made in a SQLite file in a temporary
//! folder and then authenticates once, as its agent's first request does; the cache has room for all. Memory does not
//! depend on how fast the code is, so that a debug build (`--profile dev`) says the same of it.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::sync::Arc;

use orqen::{
    auth::{Authenticator, DelegatedTokens, Parts},
    clock::SystemClock,
    config::{Config, Environment},
    domain::{
        audit::Actor,
        key::{AccountId, KeyId, Scopes, ToolMode},
        limits::OwnLimits,
        secret::{Peppers, PlainSecret},
        signing::SigningKeys,
        toollist::Toollist,
    },
    store::{NewKey, Store},
};
use secrecy::ExposeSecret;
use uuid::Uuid;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keys where nothing else is said.
const KEYS: usize = 20_000;
/// Keys that are known before the first look at the memory, so that what is made once is not counted: the pages that SQLite
/// keeps of what it read, 2 MB a connection, are full by then.
const FIRST: usize = 5_000;
const ALLOWED: [&str; 4] = ["get_*", "list_*", "search", "github_create_issue"];
const DENIED: [&str; 2] = ["get_secret*", "*_delete_*"];

fn main() {
    let keys = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(KEYS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let lists = Toollist::new(Some(owned(&ALLOWED)), Some(owned(&DENIED))).unwrap();
    // Kept to the end: what the first gave back would be taken by the second, and look like nothing.
    let mut kept = Vec::new();
    for toollist in [Toollist::unbound(), lists] {
        kept.push(runtime.block_on(Box::pin(measure(keys, &toollist))));
    }
}

async fn measure(keys: usize, toollist: &Toollist) -> (Authenticator, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[store]\nurl = \"sqlite://{}\"\nmax_connections = 1\n[auth]\ncache_keys = 10000000\n[policy]\nmax_keys = \"unlimited\"\n",
        folder.path().join("bench.db").display()
    );
    let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
    let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
    let peppers = Peppers::parse([Peppers::generate(&mut rand::rng()).expose_secret()]).unwrap();
    let account = AccountId(Uuid::now_v7());
    let secrets: Vec<_> = (0..FIRST + keys).map(|_| PlainSecret::generate(&mut rand::rng())).collect();
    let first = new_key(account, &peppers, (&secrets[0], toollist));
    store.bootstrap((account, "bench", config.policy.values()), first).await.unwrap().unwrap();
    for secret in &secrets[1..] {
        store.keys().create(new_key(account, &peppers, (secret, toollist))).await.unwrap();
    }

    let signing = SigningKeys::generate(&mut rand::rng());
    let parts = Parts {
        store,
        peppers,
        tokens: DelegatedTokens::new(&SigningKeys::parse([signing.expose_secret()]).unwrap()),
        jwt: None,
        clock: Arc::new(SystemClock),
        on_used: Box::new(|_, _| {}),
        failures: None,
    };
    let authenticator = Authenticator::new(parts, &config.auth, &config.store);
    let know = async |secrets: &[PlainSecret]| {
        for secret in secrets {
            let header = format!("Bearer {}", secret.expose());
            authenticator.authenticate(Some(header.as_bytes()), None).await.unwrap();
        }
    };
    know(&secrets[..FIRST]).await;
    let before = resident_kib();
    know(&secrets[FIRST..]).await;
    let each = (resident_kib().saturating_sub(before) * 1024) as f64 / keys as f64;
    let patterns = if toollist.is_unbound() { 0 } else { ALLOWED.len() + DENIED.len() };
    println!(
        "{keys} keys, {patterns} patterns each: {each:.0} bytes a key, {:.0} keys a MiB",
        1_048_576.0 / each
    );
    (authenticator, folder)
}

fn new_key(
    account_id: AccountId,
    peppers: &Peppers,
    (secret, toollist): (&PlainSecret, &Toollist),
) -> NewKey {
    let (pepper_version, digest) = peppers.digest(secret);
    NewKey {
        id: KeyId(Uuid::now_v7()),
        account_id,
        name: "an agent of some team".into(),
        scopes: Scopes::all(),
        toollist: toollist.clone(),
        tool_mode: ToolMode::Filter,
        own_limits: OwnLimits::default(),
        by: Actor::cli(),
        expires_at: None,
        prefix: secret.shown_prefix().into(),
        digest,
        pepper_version,
    }
}

fn owned(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
