//! Limits that replicas share, on a real Redis. Every test has an account of its own, so that they do not meet.

use std::time::Duration;

use redis::AsyncCommands;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    proxy::{Proxy, Way},
    *,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::SecretUrl,
};

/// Names the account that a replica in a process of its own is to ask for.
const ACCOUNT: &str = "ORQEN_TEST_REPLICA_OF";

/// Patient, for a machine that is busy with other tests.
const PATIENT: Timing = Timing {
    answer: Duration::from_secs(10),
    background: Duration::from_secs(10),
    lease: Duration::from_secs(60),
    longest_pause: Duration::from_millis(100),
};

/// A process with its limiter.
struct Replica {
    limiter: RateLimiter,
    upkeep: JoinHandle<()>,
    stop: CancellationToken,
}

impl Replica {
    async fn on(url: &str, timing: Timing) -> Self {
        Self::with_store(url, timing, |_, _| std::future::ready(Ok(0))).await
    }

    async fn with_store<S>(url: &str, timing: Timing, store: S) -> Self
    where
        S: Fn(SubjectId, Days) -> std::future::Ready<Result<i64, SeedError>> + Send + Sync + 'static,
    {
        let (limiter, mut upkeep) =
            RateLimiter::shared(&SecretUrl::new(url), (timing, Arc::new(SystemClock)), store).unwrap();
        upkeep.connect().await;
        let stop = CancellationToken::new();
        let upkeep = spawn(upkeep.run(stop.clone()));
        Self { limiter, upkeep, stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.upkeep.await.unwrap();
    }

    fn crash(self) {
        self.upkeep.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "says whether there is a Redis to test with")]
fn redis_url() -> Option<String> {
    let url = std::env::var("ORQEN_TEST_REDIS_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        println!("skipped: ORQEN_TEST_REDIS_URL is not set");
    }
    url
}

async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// The names that an account has in Redis.
async fn names(url: &str, agent: Agent) -> Vec<String> {
    connection(url).await.keys(format!("orqen:limits:1:{{{}}}:*", agent.account.0.simple())).await.unwrap()
}

async fn leases(url: &str, agent: Agent) -> u64 {
    let mut connection = connection(url).await;
    let mut leases = 0;
    for name in names(url, agent).await.iter().filter(|name| name.ends_with(":leases")) {
        leases += connection.zcard::<_, u64>(name).await.unwrap();
    }
    leases
}

/// Waits until `holds`, for ten seconds at most.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A proxy in front of the Redis at `url`, and the URL through it.
async fn proxied(url: &str) -> (Proxy, String) {
    let (server, database) = url.strip_prefix("redis://").unwrap().split_once('/').unwrap();
    let proxy = Proxy::to(server.to_owned()).await;
    let through = format!("redis://{}/{database}", proxy.address);
    (proxy, through)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_let_through_one_limit() {
    let Some(url) = redis_url() else { return };
    let (one, two) = (Replica::on(&url, PATIENT).await, Replica::on(&url, PATIENT).await);
    let limiters = [one.limiter.clone(), two.limiter.clone()];
    let agent = Agent::new(per_minute(100));
    let began = Instant::now();
    let passed = all_at_once(&limiters, agent, Arc::new(SystemClock), 1_000).await;
    let refilled = usize::try_from(began.elapsed().as_millis() / 600).unwrap() + 1;
    assert!((100..=100 + refilled).contains(&passed), "{passed}, {refilled}");

    let slots = Agent::new(at_once(100)).within(at_once(100));
    assert_eq!(all_at_once(&limiters, slots, Arc::new(SystemClock), 1_000).await, 100);
    assert_eq!(one.limiter.stats().counted_apart + two.limiter.stats().counted_apart, 0);
    one.stop().await;
    two.stop().await;
    assert_eq!(leases(&url, slots).await, 0, "what is given back at the stop is given back");
    for name in names(&url, agent).await {
        let life: i64 = connection(&url).await.pttl(&name).await.unwrap();
        assert!((1..=61_000).contains(&life), "{name} stays for {life} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_let_through_one_limit() {
    let Some(url) = redis_url() else { return };
    let agent = Agent::new(per_minute(100));
    let began = Instant::now();
    let processes = [0, 1].map(|_| {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "limits::tests::shared::a_replica", "--ignored", "--nocapture"])
            .env("ORQEN_TEST_REDIS_URL", &url)
            .env(ACCOUNT, format!("{} {}", agent.account, agent.key.unwrap()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())
    });
    let mut passed = 0;
    for process in processes {
        let output = String::from_utf8(process.await.unwrap().stdout).unwrap();
        let line = output.lines().find_map(|line| line.split("passed: ").nth(1));
        passed += line.unwrap_or_else(|| panic!("{output}")).parse::<u128>().unwrap();
    }
    let refilled = began.elapsed().as_millis() / 600 + 1;
    assert!((100..=100 + refilled).contains(&passed), "{passed}, {refilled}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by `two_processes_let_through_one_limit`"]
#[expect(clippy::disallowed_methods, reason = "is told by its parent whose limit it shares")]
async fn a_replica() {
    let (Some(url), Ok(account)) = (redis_url(), std::env::var(ACCOUNT)) else { return };
    let (account, key) = account.split_once(' ').unwrap();
    let agent = Agent {
        account: AccountId(account.parse().unwrap()),
        key: Some(KeyId(key.parse().unwrap())),
        ..Agent::new(per_minute(100))
    };
    let replica = Replica::on(&url, PATIENT).await;
    let limiters = [replica.limiter.clone()];
    println!("passed: {}", all_at_once(&limiters, agent, Arc::new(SystemClock), 500).await);
}

#[tokio::test]
async fn a_refused_request_takes_nothing_from_any_shared_limit() {
    let Some(url) = redis_url() else { return };
    let replica = Replica::on(&url, PATIENT).await;
    let (limiter, clock) = (&replica.limiter, SystemClock);
    let agent = Agent::new(per_minute(10)).within(Rules { concurrent_requests: Some(1), ..per_minute(3) });
    let running = agent.goes(limiter, &clock).await.unwrap();
    assert_eq!(running.requests.map(|it| (it.limit, it.remaining)), Some((3, 2)));
    for _ in 0..50 {
        let refusal = agent.goes(limiter, &clock).await.unwrap_err();
        assert_eq!((refusal.exceeded, refusal.subject), (Exceeded::Concurrent, Subject::Account));
    }
    drop(running);
    eventually("the slot is given back", async || leases(&url, agent).await == 0).await;
    let mut passed = 0;
    for _ in 0..2 {
        passed += usize::from(agent.goes(limiter, &clock).await.is_ok());
        eventually("the slot is given back", async || leases(&url, agent).await == 0).await;
    }
    assert_eq!(passed, 2);
    let refusal = agent.goes(limiter, &clock).await.unwrap_err();
    assert_eq!((refusal.exceeded, refusal.subject), (Exceeded::Requests, Subject::Account));
    assert!(refusal.retry_after > Duration::from_secs(15) && refusal.retry_after <= Duration::from_secs(20));
    assert_eq!(agent.within(Rules::UNLIMITED).passes(limiter, &clock, 50).await, 7, "the key paid for three");
    assert_eq!(limiter.stats().counted_apart, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_shared_streams_cancelled_at_random_leave_no_slot_taken() {
    let Some(url) = redis_url() else { return };
    let replica = Replica::on(&url, PATIENT).await;
    let agent = Agent::new(at_once(200)).within(at_once(250));
    for round in 0..10 {
        let streams: Vec<_> = (0..1_000)
            .map(|i| {
                let limiter = replica.limiter.clone();
                spawn(async move {
                    let Ok(_permit) = agent.goes(&limiter, &SystemClock).await else { return };
                    for _ in 0..i % 13 {
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for (i, stream) in streams.iter().enumerate() {
            if i % (round + 2) == 0 {
                tokio::task::yield_now().await;
            }
            stream.abort();
        }
        for stream in streams {
            let _ = stream.await;
        }
    }
    eventually("no slot is taken", async || leases(&url, agent).await == 0).await;
    assert_eq!(replica.limiter.stats().releases_lost, 0);
    let limiters = [replica.limiter.clone()];
    assert_eq!(all_at_once(&limiters, agent, Arc::new(SystemClock), 500).await, 200);
}

#[tokio::test]
async fn the_slots_of_a_crashed_replica_come_back_and_those_of_long_streams_stay() {
    let Some(url) = redis_url() else { return };
    let timing = Timing { lease: Duration::from_millis(900), ..PATIENT };
    let (one, two) = (Replica::on(&url, timing).await, Replica::on(&url, timing).await);
    let agent = Agent::new(at_once(1));
    let stream = agent.goes(&one.limiter, &SystemClock).await.unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        let refusal = agent.goes(&two.limiter, &SystemClock).await.unwrap_err();
        assert_eq!(refusal.exceeded, Exceeded::Concurrent, "the stream still runs");
        sleep(Duration::from_millis(50)).await;
    }
    one.crash();
    std::mem::forget(stream);
    assert!(agent.goes(&two.limiter, &SystemClock).await.is_err());
    eventually("the slot is back", async || agent.goes(&two.limiter, &SystemClock).await.is_ok()).await;
}

#[tokio::test]
async fn replicas_spend_one_budget_and_ask_the_store_once() {
    let Some(url) = redis_url() else { return };
    let asked = Asked::default();
    let one = Replica::with_store(&url, PATIENT, asked.store(50)).await;
    let two = Replica::with_store(&url, PATIENT, asked.store(50)).await;
    let clock = clock();
    let agent = Agent::new(a_day(100)).within(Rules { weekly_token_budget: Some(1_000), ..a_day(1_000) });
    assert!(!spent(&agent.goes(&one.limiter, &clock).await.unwrap()));
    assert_eq!(asked.times(), 3, "one for each budget");
    eventually("the sums are there", async || names(&url, agent).await.len() == 3).await;

    one.limiter.saved(agent.account, agent.key, clock.now(), 49);
    assert!(!spent(&agent.goes(&one.limiter, &clock).await.unwrap()));
    one.limiter.saved(agent.account, agent.key, clock.now(), 1);
    assert!(spent(&agent.goes(&one.limiter, &clock).await.unwrap()), "here it holds at once");
    eventually("the other replica knows", async || spent(&agent.goes(&two.limiter, &clock).await.unwrap()))
        .await;
    assert_eq!(asked.times(), 3);
    assert!(
        !spent(&agent.with(a_day(101)).goes(&two.limiter, &clock).await.unwrap()),
        "and no more than that"
    );
}

#[tokio::test]
async fn a_look_at_the_limits_sees_what_other_replicas_took_and_takes_nothing() {
    let Some(url) = redis_url() else { return };
    let (one, two) = (Replica::on(&url, PATIENT).await, Replica::on(&url, PATIENT).await);
    let clock = clock();
    let rules = Rules { requests_per_minute: Some(10), concurrent_requests: Some(5), ..a_day(100) };
    let agent = Agent::new(rules).within(Rules { concurrent_requests: Some(9), ..Rules::UNLIMITED });
    let look = async |limiter: &RateLimiter| limiter.peek(&agent.ask(clock.now())).await;
    let untouched = look(&two.limiter).await;
    assert_eq!((untouched[0].requests.unwrap().used(), untouched[0].day.unwrap().spent), (0, 0));

    let _running = [agent.goes(&one.limiter, &clock).await, agent.goes(&one.limiter, &clock).await];
    one.limiter.saved(agent.account, agent.key, clock.now(), 40);
    eventually("what was saved is known", async || {
        let [key, whole] = look(&two.limiter).await;
        assert_eq!((key.requests.unwrap().used(), key.concurrent.unwrap().running), (2, 2));
        assert_eq!(whole.concurrent.unwrap().running, 2);
        key.day.unwrap().spent == 40
    })
    .await;
    for _ in 0..50 {
        look(&two.limiter).await;
    }
    // By the server's clock: a request flows back in six seconds.
    let requests = look(&one.limiter).await[0].requests.unwrap();
    assert!((1..=2).contains(&requests.used()), "{requests:?}");
    assert_eq!(leases(&url, agent).await, 4, "two of the key, two of the account");
    assert_eq!(two.limiter.stats().counted_apart, 0);
}

#[tokio::test]
async fn a_look_at_the_limits_waits_for_a_stalled_redis_once_and_then_tells_what_is_known_here() {
    let Some(url) = redis_url() else { return };
    let (proxy, through) = proxied(&url).await;
    let timing = Timing { answer: Duration::from_millis(500), longest_pause: PATIENT.lease, ..PATIENT };
    let replica = Replica::on(&through, timing).await;
    let agent = Agent::new(Rules { concurrent_requests: Some(5), ..per_minute(10) });
    let _running = agent.goes(&replica.limiter, &SystemClock).await.unwrap();
    proxy.turn(Way::Stalled);
    let began = Instant::now();
    for _ in 0..10 {
        let [key, _] = replica.limiter.peek(&agent.ask(SystemClock.now())).await;
        assert_eq!((key.requests.unwrap().used(), key.concurrent.unwrap().running), (1, 1));
    }
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    assert!(replica.limiter.stats().away);
}

#[tokio::test]
async fn without_redis_each_counts_for_itself_and_later_it_is_shared() {
    let Some(url) = redis_url() else { return };
    let (proxy, through) = proxied(&url).await;
    proxy.turn(Way::Cut);
    let timing = Timing { background: Duration::from_millis(300), ..PATIENT };
    let replica = Replica::on(&through, timing).await;
    let agent = Agent::new(Rules { concurrent_requests: Some(5), ..per_minute(4) });
    let stats = replica.limiter.stats();
    assert!(stats.away && stats.outages == 1);
    let permit = agent.goes(&replica.limiter, &SystemClock).await.unwrap();
    assert_eq!(agent.passes(&replica.limiter, &SystemClock, 10).await, 3);
    assert_eq!(replica.limiter.stats().counted_apart, 11);

    proxy.turn(Way::Open);
    eventually("Redis is back", async || !replica.limiter.stats().away).await;
    assert_eq!(leases(&url, agent).await, 1, "what runs is known there before anybody is counted");
    assert_eq!(
        agent.passes(&replica.limiter, &SystemClock, 10).await,
        0,
        "what was counted apart is held against the shared limit"
    );
    drop(permit);
    eventually("the slot is given back", async || leases(&url, agent).await == 0).await;
    assert_eq!(replica.limiter.stats().outages, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_redis_costs_one_short_wait_and_no_second_bucket() {
    let Some(url) = redis_url() else { return };
    let (proxy, through) = proxied(&url).await;
    let timing = Timing {
        answer: Duration::from_millis(500),
        background: Duration::from_millis(600),
        ..Timing::default()
    };
    let replica = Replica::on(&through, timing).await;
    let agent = Agent::new(Rules { concurrent_requests: Some(100), ..per_minute(20) });
    let running = agent.goes(&replica.limiter, &SystemClock).await.unwrap();
    assert_eq!(agent.passes(&replica.limiter, &SystemClock, 9).await, 9);

    proxy.turn(Way::Stalled);
    let began = Instant::now();
    let passed = all_at_once(std::slice::from_ref(&replica.limiter), agent, Arc::new(SystemClock), 200).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1_500), "all waited together, once: {took:?}");
    assert!((10..=11).contains(&passed), "the bucket goes on where Redis left it: {passed}");
    let began = Instant::now();
    for _ in 0..100 {
        let _ = agent.goes(&replica.limiter, &SystemClock).await;
    }
    assert!(began.elapsed() < Duration::from_millis(200), "nobody asks a Redis that is away");
    let stats = replica.limiter.stats();
    assert!(stats.away && stats.outages == 1 && stats.counted_apart >= 300, "{stats:?}");

    drop(running);
    proxy.turn(Way::Open);
    eventually("Redis is back", async || !replica.limiter.stats().away).await;
    eventually("slots were given back", async || leases(&url, agent).await == 0).await;
    assert!(agent.passes(&replica.limiter, &SystemClock, 100).await <= 2, "no burst");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_redis_is_given_up_as_fast_as_a_dead_one_and_not_asked_until_it_is_fast_again() {
    let Some(url) = redis_url() else { return };
    let (proxy, through) = proxied(&url).await;
    let timing = Timing { answer: Duration::from_millis(300), ..Timing::default() };
    let replica = Replica::on(&through, timing).await;
    let agent = Agent::new(per_minute(60_000));
    assert!(agent.goes(&replica.limiter, &SystemClock).await.is_ok());
    // Its answers come, each too late: connecting works, asking works, and nobody may wait for it.
    proxy.turn(Way::Slow(Duration::from_millis(400)));
    let began = Instant::now();
    assert!(agent.goes(&replica.limiter, &SystemClock).await.is_ok());
    assert!(began.elapsed() < Duration::from_millis(600), "{:?}", began.elapsed());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(agent.goes(&replica.limiter, &SystemClock).await.is_ok());
        assert!(asked.elapsed() < Duration::from_millis(200), "somebody waited: {:?}", asked.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    let stats = replica.limiter.stats();
    assert!(stats.away && stats.outages == 1, "{stats:?}");
    proxy.turn(Way::Open);
    eventually("Redis is back", async || !replica.limiter.stats().away).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_restarted_empty_gives_nobody_a_fresh_bucket() {
    let Some(url) = redis_url() else { return };
    let (proxy, through) = proxied(&url).await;
    let timing = Timing { background: Duration::from_millis(500), ..PATIENT };
    let (one, two) = (Replica::on(&through, timing).await, Replica::on(&through, timing).await);
    let (agent, bystander) = (Agent::new(per_minute(20)), Agent::new(per_minute(1_000)));
    let began = Instant::now();
    assert_eq!(agent.passes(&one.limiter, &SystemClock, 16).await, 16);
    proxy.turn(Way::Cut);
    connection(&url).await.del::<_, ()>(names(&url, agent).await).await.unwrap();
    // Whoever finds out is another key; what this one took, the replica tells by itself.
    for replica in [&one, &two] {
        eventually("Redis is away", async || {
            drop(bystander.goes(&replica.limiter, &SystemClock).await.unwrap());
            replica.limiter.stats().away
        })
        .await;
    }
    proxy.turn(Way::Open);
    for replica in [&one, &two] {
        eventually("Redis is back", async || !replica.limiter.stats().away).await;
    }
    // The replica that knows nothing of the key is asked first.
    let passed = agent.passes(&two.limiter, &SystemClock, 30).await
        + agent.passes(&one.limiter, &SystemClock, 30).await;
    let refilled = usize::try_from(began.elapsed().as_millis() / 3_000).unwrap() + 1;
    assert!((4..=4 + refilled).contains(&passed), "{passed} after {refilled}");
}

#[tokio::test]
async fn what_was_saved_while_redis_was_away_is_told_afterwards() {
    let Some(url) = redis_url() else { return };
    let (proxy, through) = proxied(&url).await;
    let timing = Timing { background: Duration::from_millis(300), ..PATIENT };
    let (one, two) = (Replica::on(&through, timing).await, Replica::on(&url, PATIENT).await);
    let clock = clock();
    let agent = Agent::new(a_day(100));
    assert!(!spent(&agent.goes(&one.limiter, &clock).await.unwrap()));
    eventually("the sum is there", async || names(&url, agent).await.len() == 1).await;
    proxy.turn(Way::Cut);
    eventually("Redis is away", async || {
        assert!(!spent(&agent.goes(&one.limiter, &clock).await.unwrap()));
        one.limiter.stats().away
    })
    .await;
    one.limiter.saved(agent.account, agent.key, clock.now(), 100);
    assert!(spent(&agent.goes(&one.limiter, &clock).await.unwrap()));
    assert!(!spent(&agent.goes(&two.limiter, &clock).await.unwrap()));
    proxy.turn(Way::Open);
    eventually("the other replica knows", async || spent(&agent.goes(&two.limiter, &clock).await.unwrap()))
        .await;
}

#[tokio::test]
async fn a_redis_that_has_lost_everything_is_told_again() {
    let Some(url) = redis_url() else { return };
    let asked = Asked::default();
    let replica = Replica::with_store(&url, PATIENT, asked.store(100)).await;
    let (agent, clock) = (Agent::new(a_day(100)), clock());
    assert!(spent(&agent.goes(&replica.limiter, &clock).await.unwrap()));
    eventually("the sum is there", async || names(&url, agent).await.len() == 1).await;
    let mut connection = connection(&url).await;
    connection.del::<_, ()>(names(&url, agent).await).await.unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.unwrap();
    assert!(spent(&agent.goes(&replica.limiter, &clock).await.unwrap()));
    assert_eq!(replica.limiter.stats().outages, 0, "a script that is missing is sent again");
}

#[tokio::test]
async fn a_name_that_holds_something_else_is_an_outage_and_no_panic() {
    let Some(url) = redis_url() else { return };
    let replica = Replica::on(&url, PATIENT).await;
    let agent = Agent::new(per_minute(2));
    let key = agent.key.unwrap().0.simple();
    let name = format!("orqen:limits:1:{{{}}}:key:{key}:arrival", agent.account.0.simple());
    let mut connection = connection(&url).await;
    connection.lpush::<_, _, ()>(&name, "nonsense").await.unwrap();
    let passed = timeout(Duration::from_secs(5), agent.passes(&replica.limiter, &SystemClock, 5)).await;
    assert_eq!(passed.unwrap(), 2);
    assert!(replica.limiter.stats().outages >= 1);
    connection.del::<_, ()>(&name).await.unwrap();
}

#[test]
fn what_is_no_address_is_refused_and_the_password_not_shown() {
    let open = |url: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let clock: SharedClock = Arc::new(SystemClock);
        RateLimiter::shared(&SecretUrl::new(url), (Timing::default(), clock), |_, _| {
            std::future::ready(Ok(0))
        })
    };
    let error = open("redis://:hunter2@[/0").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    let (limiter, upkeep) = open("redis://:hunter2@127.0.0.1:1/0").unwrap();
    assert!(!format!("{limiter:?} {upkeep:?}").contains("hunter2"));
}
