//! Requests a minute and requests at the same time, in this process.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use super::*;
use crate::clock::SystemClock;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_at_once_exactly_the_limit_passes() {
    let (limiter, clock) = (nothing_saved(), Arc::new(clock()));
    let agent = Agent::new(per_minute(100));
    assert_eq!(all_at_once(std::slice::from_ref(&limiter), agent, clock.clone(), 1_000).await, 100);
    clock.advance(TimeDelta::milliseconds(600 * 7));
    assert_eq!(
        all_at_once(std::slice::from_ref(&limiter), agent, clock.clone(), 1_000).await,
        7,
        "what refilled"
    );
    clock.advance(minutes(1));
    assert_eq!(all_at_once(&[limiter], agent, clock, 1_000).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn by_the_machines_clock_the_limit_and_what_refilled_pass() {
    let limiter = nothing_saved();
    let agent = Agent::new(per_minute(6_000));
    let began = SystemClock.now();
    let passed = all_at_once(&[limiter], agent, Arc::new(SystemClock), 20_000).await;
    let refilled = (SystemClock.now() - began).num_milliseconds() / 10 + 1;
    assert!((6_000..=6_000 + usize::try_from(refilled).unwrap()).contains(&passed), "{passed}, {refilled}");
}

#[tokio::test]
async fn figures_are_those_that_headers_need() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(60));
    let permit = agent.goes(&limiter, &clock).await.unwrap();
    let figures = |remaining, reset| Requests { limit: 60, remaining, reset: Duration::from_secs(reset) };
    assert_eq!(permit.requests, Some(figures(59, 1)));
    assert_eq!(agent.passes(&limiter, &clock, 100).await, 59);
    let refusal = agent.goes(&limiter, &clock).await.unwrap_err();
    let expected = Refusal {
        exceeded: Exceeded::Requests,
        subject: Subject::Key(agent.key.unwrap()),
        limit: 60,
        retry_after: Duration::from_secs(1),
        requests: Some(figures(0, 60)),
    };
    assert_eq!(refusal, expected);
    clock.advance(TimeDelta::microseconds(999_999));
    assert_eq!(agent.goes(&limiter, &clock).await.unwrap_err().retry_after, Duration::from_micros(1));
    clock.advance(TimeDelta::microseconds(1));
    assert_eq!(agent.goes(&limiter, &clock).await.unwrap().requests, Some(figures(0, 60)));
}

#[tokio::test]
async fn the_tighter_of_key_and_account_is_told() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(10)).within(per_minute(100));
    assert_eq!(agent.goes(&limiter, &clock).await.unwrap().requests.unwrap().remaining, 9);
    let sibling = agent.sibling().with(Rules::UNLIMITED);
    assert_eq!(sibling.passes(&limiter, &clock, 95).await, 95);
    let permit = agent.goes(&limiter, &clock).await.unwrap();
    assert_eq!(permit.requests.map(|it| (it.limit, it.remaining)), Some((100, 3)));
}

#[tokio::test]
async fn a_refused_request_takes_nothing_from_any_limit() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(10)).within(Rules { concurrent_requests: Some(1), ..per_minute(3) });
    let running = agent.goes(&limiter, &clock).await.unwrap();
    for _ in 0..50 {
        let refusal = agent.goes(&limiter, &clock).await.unwrap_err();
        assert_eq!((refusal.exceeded, refusal.subject), (Exceeded::Concurrent, Subject::Account));
        assert_eq!(refusal.requests.map(|it| it.remaining), Some(2), "the tightest figures, untouched");
    }
    drop(running);
    assert_eq!(agent.passes(&limiter, &clock, 50).await, 2, "the account had two left");
    let wide = agent.within(Rules::UNLIMITED);
    assert_eq!(wide.passes(&limiter, &clock, 50).await, 7, "the key paid for three");
}

#[tokio::test]
async fn who_waits_as_told_is_let_in_though_two_limits_were_reached() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(60)).within(per_minute(6));
    assert_eq!(agent.passes(&limiter, &clock, 6).await, 6);
    let alone = agent.within(Rules::UNLIMITED);
    assert_eq!(alone.passes(&limiter, &clock, 60).await, 54);
    let refusal = agent.goes(&limiter, &clock).await.unwrap_err();
    assert_eq!((refusal.subject, refusal.retry_after), (Subject::Account, Duration::from_secs(10)));
    clock.advance(TimeDelta::from_std(refusal.retry_after).unwrap());
    assert!(agent.goes(&limiter, &clock).await.is_ok());
}

#[tokio::test]
async fn slots_come_back_however_a_request_ends() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(at_once(1)).within(at_once(1));
    for _ in 0..3 {
        drop(agent.goes(&limiter, &clock).await.unwrap());
        let panicking = AssertUnwindSafe(async {
            let _permit = agent.goes(&limiter, &clock).await.unwrap();
            assert!(agent.goes(&limiter, &clock).await.is_err());
            panic!("in the middle of a request");
        });
        assert!(panicking.catch_unwind().await.is_err());
        let hanging = async {
            let _permit = agent.goes(&limiter, &clock).await.unwrap();
            std::future::pending::<()>().await;
        };
        assert!(hanging.now_or_never().is_none());
    }
    assert!(agent.goes(&limiter, &clock).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_streams_cancelled_at_random_leave_no_slot_taken() {
    let (limiter, clock) = (nothing_saved(), Arc::new(clock()));
    let agent = Agent::new(at_once(100)).within(at_once(120));
    let streams: Vec<_> = (0..10_000)
        .map(|i| {
            let (limiter, clock) = (limiter.clone(), clock.clone());
            spawn(async move {
                let Ok(_permit) = agent.goes(&limiter, &*clock).await else { return };
                for _ in 0..i % 17 {
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for (i, stream) in streams.iter().enumerate() {
        stream.abort();
        if i % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for stream in streams {
        let _ = stream.await;
    }
    assert_eq!(all_at_once(&[limiter], agent, clock, 1_000).await, 100);
}

#[tokio::test]
async fn a_clock_that_steps_back_holds_nobody_up_for_longer_than_a_minute() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(60));
    assert_eq!(agent.passes(&limiter, &clock, 100).await, 60);
    clock.advance(TimeDelta::days(-1));
    assert_eq!(agent.goes(&limiter, &clock).await.unwrap_err().retry_after, Duration::from_secs(1));
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(agent.passes(&limiter, &clock, 100).await, 1);
    clock.advance(minutes(1));
    assert_eq!(agent.passes(&limiter, &clock, 100).await, 60);
}

#[tokio::test]
async fn a_changed_limit_holds_at_once_and_what_was_used_stays_used() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(100));
    assert_eq!(agent.passes(&limiter, &clock, 50).await, 50);
    let lower = agent.with(per_minute(10));
    assert_eq!(lower.passes(&limiter, &clock, 50).await, 5, "half of it was used");
    let higher = agent.with(per_minute(1_000));
    assert_eq!(higher.passes(&limiter, &clock, 50).await, 0, "all of it was");
    assert_eq!(agent.with(per_minute(0)).passes(&limiter, &clock, 1).await, 0);
    assert_eq!(agent.passes(&limiter, &clock, 50).await, 0, "a limit of nothing refills nothing");
    clock.advance(minutes(1));
    assert_eq!(agent.with(per_minute(0)).passes(&limiter, &clock, 1).await, 0);
    assert_eq!(agent.with(at_once(0)).passes(&limiter, &clock, 1).await, 0);
    assert_eq!(higher.passes(&limiter, &clock, 2_000).await, 1_000);
}

#[tokio::test]
async fn a_lowered_number_of_slots_waits_for_the_running() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(at_once(3));
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(agent.goes(&limiter, &clock).await.unwrap());
    }
    let lower = agent.with(at_once(1));
    for left in [2, 1] {
        running.pop();
        assert_eq!(lower.goes(&limiter, &clock).await.unwrap_err().limit, 1, "{left} still run");
    }
    running.pop();
    assert!(lower.goes(&limiter, &clock).await.is_ok());
}

#[tokio::test]
async fn callers_without_a_key_count_together_and_apart_from_keys() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(2));
    let token = Agent { key: None, ..agent };
    assert_eq!(token.passes(&limiter, &clock, 5).await, 2);
    assert_eq!(token.goes(&limiter, &clock).await.unwrap_err().subject, Subject::NoKey);
    assert_eq!(agent.passes(&limiter, &clock, 5).await, 2);
    assert_eq!(agent.sibling().passes(&limiter, &clock, 5).await, 2);
}

#[test]
fn in_process_nothing_is_waited_for() {
    let (limiter, clock) = (nothing_saved(), clock());
    let rules = Rules { concurrent_requests: Some(1), ..per_minute(1) };
    let agent = Agent::new(rules).within(rules);
    let permit = agent.goes(&limiter, &clock).now_or_never().expect("it is ready at the first poll");
    assert!(permit.is_ok());
}

#[tokio::test]
async fn a_peek_tells_where_limits_stand_and_takes_nothing() {
    let (limiter, clock) = (nothing_saved(), clock());
    let key_rules = Rules { daily_token_budget: Some(10), ..per_minute(60) };
    let agent = Agent::new(key_rules).within(at_once(2));
    let fresh = limiter.peek(&agent.ask(clock.now())).await;
    assert_eq!(fresh[0].requests, Some(Requests { limit: 60, remaining: 60, reset: Duration::ZERO }));
    assert_eq!(
        fresh[1],
        Standing { concurrent: Some(Concurrency { limit: 2, running: 0 }), ..Standing::default() }
    );

    let permit = agent.goes(&limiter, &clock).await.unwrap();
    limiter.saved(agent.account, agent.key, clock.now(), 13);
    let resets_at = at("2026-06-18T00:00:00Z");
    for _ in 0..100 {
        let [key, whole] = limiter.peek(&agent.ask(clock.now())).await;
        assert_eq!(key.requests, Some(Requests { limit: 60, remaining: 59, reset: Duration::from_secs(1) }));
        assert_eq!(key.requests.unwrap().used(), 1);
        assert_eq!(key.day, Some(Spending { limit: 10, spent: 13, resets_at }));
        assert_eq!((key.concurrent, key.week), (None, None));
        assert_eq!(whole.concurrent, Some(Concurrency { limit: 2, running: 1 }));
    }
    drop(permit);
    clock.advance(minutes(1));
    let [key, whole] = limiter.peek(&agent.ask(clock.now())).await;
    assert_eq!((key.requests.unwrap().used(), whole.concurrent.unwrap().running), (0, 0));
    let beyond = Agent::new(per_minute(i64::MAX));
    assert_eq!(limiter.peek(&beyond.ask(clock.now())).await[0].requests.unwrap().used(), 0);
}
