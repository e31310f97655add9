//! When keys are fetched and when not, by a clock that is told the time, from a server in this process.

use std::{
    net::SocketAddr,
    sync::{Mutex, atomic::AtomicUsize},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use super::*;
use crate::clock::{Clock, ManualClock};

/// A server that answers every request with the same bytes, or takes them and is silent while they are empty.
struct Site {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Site {
    async fn start(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(answer.to_owned())), Arc::new(AtomicUsize::new(0)));
        let (answers, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    assert!(socket.read_buf(&mut head).await.unwrap() > 0);
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().unwrap().clone();
                if answer.is_empty() {
                    silent.push(socket);
                } else {
                    // A client that has read enough hangs up.
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { address, answer, asked, _tasks: tasks }
    }

    fn url(&self) -> Uri {
        format!("http://{}/jwks", self.address).parse().unwrap()
    }

    fn answers(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Keys at a site, and the task that fetches them.
struct House {
    site: Site,
    keys: Arc<FetchedKeys>,
    clock: Arc<ManualClock>,
    _following: JoinSet<()>,
}

impl House {
    async fn new(answer: &str) -> Self {
        let site = Site::start(answer).await;
        let keys = FetchedKeys::new(site.url(), site.url().to_string(), vec![Algorithm::EdDSA]).unwrap();
        let keys = Arc::new(keys);
        let clock = Arc::new(ManualClock::at(DateTime::from_timestamp(1_800_000_000, 0).unwrap()));
        let mut following = JoinSet::new();
        let (followed, told) = (Arc::clone(&keys), Arc::clone(&clock) as SharedClock);
        following.spawn(async move { followed.follow(&told, 0).await });
        Self { site, keys, clock, _following: following }
    }

    /// The ids of the keys after a renewal, or when to come back.
    async fn renewed(&self) -> Result<Vec<String>, Duration> {
        let held = self.keys.renewed(self.clock.now()).await?;
        Ok(held.keys.iter().filter_map(|key| key.kid.clone()).collect())
    }

    /// Waits until the site was asked so often, and the last answer was read.
    async fn until_asked(&self, times: u64) {
        let mut progress = self.keys.progress.subscribe();
        let ended = progress.wait_for(|progress| progress.ended >= times);
        timeout(Duration::from_secs(20), ended).await.unwrap().unwrap();
        assert_eq!(self.site.asked() as u64, times);
    }
}

fn body(kids: &[&str]) -> String {
    let key = |kid: &&str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    json!({"keys": kids.iter().map(key).collect::<Vec<_>>()}).to_string()
}

fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn keys(kids: &[&str]) -> String {
    answer(&body(kids))
}

const AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn many_who_want_new_keys_make_one_fetch_in_a_cool_down() {
    let house = House::new(&keys(&["a"])).await;
    for seen in join_all((0..100).map(|_| house.renewed())).await {
        assert_eq!(seen.unwrap(), ["a"]);
    }
    house.site.answers(&keys(&["a", "b"]));
    house.clock.advance(TimeDelta::seconds(29));
    assert_eq!(house.renewed().await.unwrap(), ["a"], "within the cool-down");
    assert_eq!(house.site.asked(), 1);
    house.clock.advance(TimeDelta::seconds(1));
    for seen in join_all((0..100).map(|_| house.renewed())).await {
        assert_eq!(seen.unwrap(), ["a", "b"]);
    }
    assert_eq!((house.site.asked(), house.keys.counts()), (2, (2, 0)));
}

#[tokio::test]
async fn a_caller_who_leaves_neither_ends_a_fetch_nor_begins_a_second() {
    let house = House::new("").await;
    for _ in 0..10 {
        let waiting = timeout(Duration::from_millis(20), house.renewed()).await;
        assert!(waiting.is_err(), "nobody answers");
    }
    while house.site.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(house.site.asked(), 1);
    // No more than so many wait.
    let all = join_all((0..=WAITING).map(|_| house.renewed()));
    let (first, asked) = tokio::select! {
        _ = all => panic!("nobody answers"),
        asked = async { tokio::time::sleep(Duration::from_millis(50)).await; house.renewed().await } => (asked, house.site.asked()),
    };
    assert_eq!((first, asked), (Err(SOON), 1));
}

#[tokio::test]
async fn a_withdrawn_key_ends_with_the_next_refresh() {
    let house = House::new(&keys(&["a", "b"])).await;
    assert_eq!(house.renewed().await.unwrap(), ["a", "b"]);
    house.site.answers(&keys(&["b"]));
    house.clock.advance(REFRESH);
    house.until_asked(2).await;
    assert_eq!(house.renewed().await.unwrap(), ["b"]);
    house.site.answers(&keys(&[]));
    house.clock.advance(REFRESH);
    house.until_asked(3).await;
    assert!(house.renewed().await.unwrap().is_empty(), "all of them are withdrawn");
}

#[tokio::test]
async fn keys_outlive_their_issuer_for_a_day() {
    let house = House::new(&keys(&["a"])).await;
    assert_eq!(house.renewed().await.unwrap(), ["a"]);
    let fetched_at = house.clock.now();
    house.site.answers(AWAY);
    house.clock.advance(REFRESH);
    house.until_asked(2).await;
    assert_eq!(house.renewed().await, Err(Duration::from_secs(30)), "nobody knows of new keys");
    let good = |at: DateTime<Utc>| house.keys.held().as_ref().is_some_and(|held| held.good_at(at));
    assert!(good(house.clock.now()));
    assert!(good(fetched_at + TRUSTED - TimeDelta::seconds(1)) && !good(fetched_at + TRUSTED));
    house.clock.advance(TRUSTED);
    house.until_asked(3).await;
    assert!(house.keys.held().is_none(), "they are given up");
    house.site.answers(&keys(&["b"]));
    house.clock.advance(COOL_DOWN);
    // Nobody has to ask: what failed is repeated.
    house.until_asked(4).await;
    assert_eq!(house.renewed().await.unwrap(), ["b"]);
    assert_eq!(house.keys.counts(), (2, 2));
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_nothing_up() {
    let house = House::new(&keys(&["a"])).await;
    assert_eq!(house.renewed().await.unwrap(), ["a"]);
    house.site.answers(&keys(&["b"]));
    house.clock.advance(TimeDelta::hours(-5));
    house.until_asked(2).await;
    assert_eq!(house.renewed().await.unwrap(), ["b"]);
    assert_eq!(house.site.asked(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_jwks_leaves_the_keys_as_they_were() {
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let elsewhere = Site::start(&keys(&["evil"])).await;
    let redirect = |status: &str| {
        format!(
            "HTTP/1.1 {status}\r\nlocation: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url()
        )
    };
    let large = body(&["a"]) + &" ".repeat(issuer::LARGEST);
    let endless = "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        + &format!("80000\r\n{}\r\n", " ".repeat(0x80000)).repeat(3);
    for (text, words) in [
        (keys(&many), "101 keys"),
        (answer("<!doctype html><title>Log in</title>"), "no JWKS"),
        (answer(""), "no JWKS"),
        (answer(&large), "larger than 1048576 bytes"),
        (endless, "larger than 1048576 bytes"),
        (redirect("302 Found"), "set `auth.jwt.jwks_url` to where it leads"),
        (redirect("308 Permanent Redirect"), "not followed"),
        (AWAY.to_owned(), "status 503"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(), "broke off"),
        ("SSH-2.0\r\n\r\n".to_owned(), ""),
    ] {
        let house = House::new(&keys(&["a"])).await;
        assert_eq!(house.renewed().await.unwrap(), ["a"]);
        house.site.answers(&text);
        house.clock.advance(COOL_DOWN);
        assert!(house.renewed().await.is_err(), "{words}");
        let held: Vec<_> =
            house.keys.held().as_ref().unwrap().keys.iter().map(|key| key.kid.clone()).collect();
        assert_eq!(held, [Some("a".to_owned())], "{words}");
        let said = house.keys.source.fetch().await.and_then(|bytes| issuer::jwks(&bytes, &[]).map(drop));
        let said = said.unwrap_err();
        assert!(said.contains(words) && said.len() < 200, "{words}: {said}");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
}

/// Time that is paused goes on by itself where everybody waits.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_silent_or_away_is_told_as_such() {
    let silent = Site::start("").await;
    let source = Source::new(silent.url()).unwrap();
    assert_eq!(source.fetch().await.unwrap_err(), "no whole answer within 5s");
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let source = Source::new(format!("http://{gone}/").parse().unwrap()).unwrap();
    assert!(source.fetch().await.is_err());
    assert!(fetch::LONGEST < WAIT);
}
