//! What is kept, and what is forgotten.

use super::{ledger::Hold, ledgers::Ledgers, *};

#[tokio::test]
async fn a_million_keys_leave_no_more_than_the_bound() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(per_minute(600));
    let mut most = 0;
    for i in 0..1_000_000 {
        clock.advance(TimeDelta::microseconds(10));
        let agent = Agent { key: Some(KeyId(Uuid::from_u128(i))), ..agent };
        drop(agent.goes(&limiter, &clock).await.unwrap());
        if i % 50_000 == 0 {
            most = most.max(limiter.stats().subjects);
        }
    }
    assert!(most <= 65_536 + 64, "{most}");
}

#[tokio::test]
async fn who_has_no_limit_leaves_nothing() {
    let (limiter, clock) = (nothing_saved(), clock());
    let permit = Agent::new(Rules::UNLIMITED).goes(&limiter, &clock).await.unwrap();
    assert_eq!((permit.requests, permit.budget), (None, Budget::Left));
    assert_eq!(limiter.stats().subjects, 0);
}

#[test]
fn what_is_in_use_is_never_forgotten() {
    let ledgers = Ledgers::keeping(64);
    let id = |account: u128| SubjectId::whole(AccountId(Uuid::from_u128(account << 6)));
    let now = at(NOON).timestamp_micros();
    let fill = |from: u128| (from..from + 10).for_each(|i| drop(ledgers.of(id(i), now)));

    let [running, limited, saving, held] = [1, 2, 3, 4].map(|i| ledgers.of(id(i), now));
    running.lock().running = 1;
    limited.lock().arrival = now + 1;
    saving.lock().budgets_at(now);
    drop((running, limited, saving));
    fill(100);
    for i in 1..=4 {
        assert!(ledgers.known(id(i)).is_some(), "{i}");
    }
    assert!(ledgers.len() <= 2 * 5, "{}", ledgers.len());

    ledgers.known(id(1)).unwrap().release(Hold::Slot);
    drop(held);
    let later = now + 3_600_000_000;
    for i in 200..220 {
        ledgers.of(id(i), later);
    }
    for i in 1..=4 {
        assert!(ledgers.known(id(i)).is_none(), "{i}");
    }
}

#[test]
fn what_a_fast_clock_left_behind_is_forgotten_too() {
    let now = at(NOON).timestamp_micros();
    let ledger = ledger::Ledger::new(SubjectId::whole(AccountId(Uuid::now_v7())));
    ledger.lock().arrival = now + 86_400_000_000;
    ledger.lock().budgets_at(now + 86_400_000_000);
    assert!(ledger.lock().is_idle(now));
}
