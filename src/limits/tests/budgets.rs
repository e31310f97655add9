//! Saved tokens by day and week.

use std::time::Duration;

use super::*;

/// A Sunday, the last day of its week, of its month and of its year.
const NEW_YEARS_EVE: &str = "2028-12-31T23:59:00Z";

impl Agent {
    fn saves(&self, limiter: &RateLimiter, clock: &dyn Clock, tokens: u64) {
        limiter.saved(self.account, self.key, clock.now(), tokens);
    }

    async fn is_spent(&self, limiter: &RateLimiter, clock: &dyn Clock) -> bool {
        spent(&self.goes(limiter, clock).await.unwrap())
    }
}

#[tokio::test]
async fn a_spent_budget_says_whose_it_is_and_when_it_begins_anew() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(a_day(100));
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 99);
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 1);
    let subject = Subject::Key(agent.key.unwrap());
    let resets_at = at("2026-06-18T00:00:00Z");
    let day = Budget::Spent { period: Period::Day, subject, limit: 100, resets_at };
    assert_eq!(agent.goes(&limiter, &clock).await.unwrap().budget, day);
    let weekly = Rules { weekly_token_budget: Some(50), ..a_day(100) };
    let resets_at = at("2026-06-22T00:00:00Z");
    let week = Budget::Spent { period: Period::Week, subject, limit: 50, resets_at };
    assert_eq!(agent.with(weekly).goes(&limiter, &clock).await.unwrap().budget, week, "it lasts longer");
}

#[tokio::test]
async fn a_budget_of_nothing_is_spent_from_the_start() {
    let (limiter, clock) = (nothing_saved(), clock());
    assert!(Agent::new(a_day(0)).is_spent(&limiter, &clock).await);
}

#[tokio::test]
async fn keys_spend_their_accounts_budget_together() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(a_day(100)).within(a_day(150));
    let sibling = agent.sibling();
    for agent in [agent, sibling] {
        assert!(!agent.is_spent(&limiter, &clock).await);
        agent.saves(&limiter, &clock, 80);
    }
    let budget = agent.goes(&limiter, &clock).await.unwrap().budget;
    assert!(matches!(budget, Budget::Spent { subject: Subject::Account, limit: 150, .. }));
}

#[tokio::test]
async fn a_changed_budget_is_held_against_what_was_saved_before() {
    let (limiter, clock) = (nothing_saved(), clock());
    let agent = Agent::new(a_day(100));
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 60);
    assert!(agent.with(a_day(50)).is_spent(&limiter, &clock).await);
    assert!(!agent.is_spent(&limiter, &clock).await);
    assert!(!agent.with(a_day(61)).is_spent(&limiter, &clock).await);
}

#[tokio::test]
async fn a_budget_that_is_set_within_the_day_counts_the_whole_day() {
    let asked = Asked::default();
    let (limiter, clock) = (asked.limiter(500), clock());
    let agent = Agent::new(per_minute(60));
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 500);
    assert_eq!(asked.times(), 0, "without a budget nothing is read");
    assert!(agent.with(a_day(500)).is_spent(&limiter, &clock).await);
}

#[tokio::test]
async fn day_and_week_begin_anew_and_what_is_late_counts_where_it_belongs() {
    let (limiter, clock) = (nothing_saved(), ManualClock::at(at("2026-12-31T23:59:00Z")));
    let agent = Agent::new(Rules { weekly_token_budget: Some(150), ..a_day(100) });
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 90);
    let old_year = clock.now();
    clock.advance(minutes(2));
    assert!(!agent.is_spent(&limiter, &clock).await, "a new day in the same week");
    limiter.saved(agent.account, agent.key, old_year, 60);
    assert!(agent.with(a_day(1)).goes(&limiter, &clock).await.unwrap().budget == Budget::Left);
    assert!(agent.is_spent(&limiter, &clock).await, "it counts for the week");
}

#[tokio::test]
async fn a_week_ends_on_sunday_also_when_it_is_new_years_eve() {
    let (limiter, clock) = (nothing_saved(), ManualClock::at(at(NEW_YEARS_EVE)));
    let agent = Agent::new(Rules { weekly_token_budget: Some(10), ..Rules::UNLIMITED });
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 10);
    assert!(agent.is_spent(&limiter, &clock).await);
    clock.advance(minutes(1));
    assert!(!agent.is_spent(&limiter, &clock).await);
}

#[tokio::test]
async fn when_the_clock_steps_back_into_yesterday_the_store_is_asked_for_it() {
    let asked = Asked::default();
    let (limiter, clock) = (asked.limiter(7), ManualClock::at(at("2026-06-18T00:01:00Z")));
    let agent = Agent::new(a_day(8));
    assert!(!agent.is_spent(&limiter, &clock).await);
    agent.saves(&limiter, &clock, 1);
    assert!(agent.is_spent(&limiter, &clock).await);
    clock.advance(minutes(-2));
    assert!(!agent.is_spent(&limiter, &clock).await);
    assert_eq!(asked.times(), 2);
    let (limiter, clock) = (asked.limiter(7), ManualClock::at(at("2026-06-18T00:00:00Z")));
    assert!(!agent.is_spent(&limiter, &clock).await);
    clock.advance(TimeDelta::milliseconds(-3));
    assert!(!agent.is_spent(&limiter, &clock).await);
    assert_eq!(
        asked.times(),
        3,
        "requests that overtake each other at midnight are no clock that stepped back"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_is_asked_once_however_many_come_first() {
    let asked = Asked::default();
    let calls = asked.store(40);
    let limiter = RateLimiter::in_process(move |id, days| {
        assert_eq!(days.from, days.to);
        let answer = calls(id, days);
        async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            answer.await
        }
    });
    let clock = Arc::new(clock());
    let agent = Agent::new(a_day(40));
    let first: Vec<_> = (0..200)
        .map(|_| {
            let (limiter, clock) = (limiter.clone(), clock.clone());
            spawn(async move { agent.is_spent(&limiter, &*clock).await })
        })
        .collect();
    for first in first {
        assert!(first.await.unwrap(), "all wait for what the store says");
    }
    assert_eq!(asked.times(), 1);
    clock.advance(TimeDelta::days(1));
    assert!(!agent.is_spent(&limiter, &*clock).await, "the next day began under our eyes, at nothing");
    assert_eq!(asked.times(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_or_silent_is_waited_for_once_and_asked_again_later() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let limiter = RateLimiter::in_process(move |_, _| {
        let time = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            match time {
                0 => std::future::pending().await,
                1 => Err("the store is away".into()),
                _ => Ok(100),
            }
        }
    });
    let clock = clock();
    let agent = Agent::new(a_day(100));
    let took = |began: tokio::time::Instant| began.elapsed().as_millis();

    let began = tokio::time::Instant::now();
    assert!(!agent.is_spent(&limiter, &clock).await);
    assert_eq!(took(began), 250);
    agent.saves(&limiter, &clock, 10);
    for _ in 0..100 {
        assert!(!agent.is_spent(&limiter, &clock).await);
    }
    assert_eq!((took(began), asked.load(Ordering::SeqCst)), (250, 1), "nobody else waits");

    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(!agent.is_spent(&limiter, &clock).await);
    assert!(!agent.is_spent(&limiter, &clock).await);
    assert_eq!((asked.load(Ordering::SeqCst), limiter.stats().seeds_failed), (2, 2));

    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(agent.is_spent(&limiter, &clock).await);
    assert!(agent.is_spent(&limiter, &clock).await);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_leaves_while_the_store_is_asked_gives_the_slot_back() {
    let limiter = RateLimiter::in_process(|_, _| std::future::pending());
    let clock = clock();
    let agent = Agent::new(Rules { concurrent_requests: Some(1), ..a_day(1) });
    let left = tokio::time::timeout(Duration::from_millis(5), agent.goes(&limiter, &clock)).await;
    assert!(left.is_err());
    assert!(agent.with(at_once(1)).goes(&limiter, &clock).await.is_ok());
}
