//! What it costs to know a caller: a key check from the cache, beside the digest that it cannot do without.
//!
//! `cargo bench --bench key_check`. The store is a SQLite file in a temporary folder; after the first look-up it is
//! not asked again, which the bench asserts by polling each check exactly once.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use futures_util::FutureExt;
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

fn main() {
    divan::main();
}

/// An authenticator that has seen one key, and that key.
struct Warm {
    authenticator: Authenticator,
    peppers: Peppers,
    secret: PlainSecret,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Warm {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("[store]\nurl = \"sqlite://{}\"", folder.path().join("bench.db").display());
        let config = Config::from_toml(&url, &Environment::default()).unwrap().config;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let peppers = Peppers::parse([Peppers::generate(&mut rand::rng()).expose_secret()]).unwrap();
        let secret = PlainSecret::generate(&mut rand::rng());
        let authenticator = runtime.block_on(async {
            let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
            let (pepper_version, digest) = peppers.digest(&secret);
            let account_id = AccountId(Uuid::now_v7());
            let key = NewKey {
                id: KeyId(Uuid::now_v7()),
                account_id,
                name: "bench".into(),
                scopes: Scopes::all(),
                toollist: Toollist::unbound(),
                tool_mode: ToolMode::Filter,
                own_limits: OwnLimits::default(),
                by: Actor::cli(),
                expires_at: None,
                prefix: secret.shown_prefix().into(),
                digest,
                pepper_version,
            };
            store.bootstrap((account_id, "bench", config.policy.values()), key).await.unwrap().unwrap();
            let parts = Parts {
                store,
                peppers: peppers.clone(),
                tokens: {
                    let key = SigningKeys::generate(&mut rand::rng());
                    DelegatedTokens::new(&SigningKeys::parse([key.expose_secret()]).unwrap())
                },
                jwt: None,
                clock: Arc::new(SystemClock),
                on_used: Box::new(|key, at| {
                    black_box((key, at));
                }),
                failures: None,
            };
            let authenticator = Authenticator::new(parts, &config.auth, &config.store);
            authenticator.authenticate(Some(bearer(&secret).as_bytes()), None).await.unwrap();
            authenticator
        });
        Self { authenticator, peppers, secret, _folder: folder, _runtime: runtime }
    }
}

fn bearer(secret: &PlainSecret) -> String {
    format!("Bearer {}", secret.expose())
}

#[divan::bench]
fn known_key(bencher: Bencher<'_, '_>) {
    let warm = Warm::new();
    let header = bearer(&warm.secret);
    bencher.bench_local(|| {
        warm.authenticator
            .authenticate(black_box(Some(header.as_bytes())), None)
            .now_or_never()
            .expect("a cached key is checked without waiting")
            .unwrap()
    });
}

#[divan::bench]
fn digest_alone(bencher: Bencher<'_, '_>) {
    let warm = Warm::new();
    bencher.bench_local(|| warm.peppers.digest(black_box(&warm.secret)));
}

#[divan::bench]
fn typo(bencher: Bencher<'_, '_>) {
    let warm = Warm::new();
    let header = bearer(&warm.secret).replace("sk-orq-", "sk-orq-0")[..78].to_owned();
    bencher.bench_local(|| {
        warm.authenticator
            .authenticate(black_box(Some(header.as_bytes())), None)
            .now_or_never()
            .unwrap()
            .unwrap_err()
    });
}
