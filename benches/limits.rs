//! What limits cost a request in process: admitted, and what it held given back.
//!
//! `cargo bench --bench limits`. The bound is 2 µs of processor time a request; every call is polled exactly once, so
//! that the bench also says that nothing is waited for. The clock is read outside: the chat path has read it anyway.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use divan::{Bencher, black_box};
use futures_util::FutureExt;
use orqen::{
    domain::key::{AccountId, KeyId},
    limits::{Ask, RateLimiter, Rules},
};
use uuid::Uuid;

fn main() {
    divan::main();
}

/// Every limit there is, none of them reached.
const WIDE: Rules = Rules {
    requests_per_minute: Some(60_000_000),
    concurrent_requests: Some(1_000_000),
    daily_token_budget: Some(1_000_000),
    weekly_token_budget: Some(1_000_000),
};

fn limiter() -> RateLimiter {
    RateLimiter::in_process(|_, _| std::future::ready(Ok(0)))
}

fn noon() -> DateTime<Utc> {
    "2026-06-17T12:00:00Z".parse().unwrap()
}

fn ask(account: AccountId, key_rules: Rules, account_rules: Rules) -> Ask {
    Ask { account, key: Some(KeyId(Uuid::now_v7())), key_rules, account_rules, now: noon() }
}

/// Lets the limiter see every key once: the first sight of a budget asks the store, within a time that wants a timer.
fn seen(limiter: &RateLimiter, asks: &[Ask]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for ask in asks {
        drop(runtime.block_on(limiter.admit(ask)).unwrap());
    }
}

fn admitted(limiter: &RateLimiter, ask: &Ask) {
    drop(black_box(limiter.admit(ask).now_or_never().expect("nothing is waited for").unwrap()));
}

/// A key under the limits of a new account.
#[divan::bench]
fn one_key_requests_a_minute(bencher: Bencher<'_, '_>) {
    let limiter = limiter();
    let rules = Rules { requests_per_minute: WIDE.requests_per_minute, ..Rules::UNLIMITED };
    let mut ask = ask(AccountId(Uuid::now_v7()), rules, Rules::UNLIMITED);
    bencher.bench_local(|| {
        ask.now += TimeDelta::microseconds(1);
        admitted(&limiter, &ask);
    });
}

#[divan::bench]
fn one_key_every_limit_of_key_and_account(bencher: Bencher<'_, '_>) {
    let limiter = limiter();
    let mut ask = ask(AccountId(Uuid::now_v7()), WIDE, WIDE);
    seen(&limiter, &[ask]);
    bencher.bench_local(|| {
        ask.now += TimeDelta::microseconds(1);
        admitted(&limiter, &ask);
    });
}

#[divan::bench]
fn refused(bencher: Bencher<'_, '_>) {
    let limiter = limiter();
    let ask = ask(AccountId(Uuid::now_v7()), Rules { requests_per_minute: Some(0), ..WIDE }, WIDE);
    bencher.bench_local(|| black_box(limiter.admit(&ask).now_or_never().unwrap().unwrap_err()));
}

/// 50,000 keys in turn: none of them is in a near cache.
#[divan::bench]
fn many_keys(bencher: Bencher<'_, '_>) {
    let limiter = limiter();
    let mut asks: Vec<_> =
        (0..50_000).map(|_| ask(AccountId(Uuid::now_v7()), WIDE, Rules::UNLIMITED)).collect();
    seen(&limiter, &asks);
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 1) % asks.len();
        asks[turn].now += TimeDelta::microseconds(1);
        admitted(&limiter, &asks[turn]);
    });
}

/// A key for each of eight threads, in accounts of their own: they share nothing but the shards.
#[divan::bench(threads = 8)]
fn eight_threads_with_keys_of_their_own(bencher: Bencher<'_, '_>) {
    let limiter = limiter();
    let asks: Vec<_> = (0..8).map(|_| ask(AccountId(Uuid::now_v7()), WIDE, Rules::UNLIMITED)).collect();
    seen(&limiter, &asks);
    let next = AtomicUsize::new(0);
    contended(bencher, &limiter, move || asks[next.fetch_add(1, Ordering::Relaxed) % 8]);
}

/// One key for all eight: the worst there is.
#[divan::bench(threads = 8)]
fn eight_threads_with_one_key(bencher: Bencher<'_, '_>) {
    let limiter = limiter();
    let ask = ask(AccountId(Uuid::now_v7()), WIDE, WIDE);
    seen(&limiter, &[ask]);
    contended(bencher, &limiter, move || ask);
}

fn contended(bencher: Bencher<'_, '_>, limiter: &RateLimiter, ask: impl Fn() -> Ask + Sync) {
    let ticks = AtomicUsize::new(0);
    bencher
        .with_inputs(|| {
            let tick = i64::try_from(ticks.fetch_add(1, Ordering::Relaxed)).unwrap();
            Ask { now: noon() + TimeDelta::microseconds(tick), ..ask() }
        })
        .bench_refs(|ask| admitted(limiter, ask));
}
