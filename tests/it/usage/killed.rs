//! The binary as an operator runs it, asked to stop and killed: what was recorded is there, with its sums.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use orqen::{
    clock::SystemClock,
    config::{Config, Environment},
    domain::{key::KeyId, usage::Totals},
    store::{Of, RecordFilter, RecordPage, Store},
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::{
    chat::CHAT,
    support::{rest::Rest, stores::Place},
};

/// A process that serves.
struct Process {
    child: Child,
    rest: Rest,
}

impl Process {
    async fn start(place: &Place) -> Self {
        // Free a moment ago: the process cannot tell which port it took but in its log.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_orqen"))
            .current_dir(place.folder())
            .env("ORQEN_STORE__URL", place.url())
            .env("ORQEN_SERVER__LISTEN", address.to_string())
            .env("ORQEN_SERVER__DRAIN_DELAY", "0s")
            .env("ORQEN_POLICY__REQUESTS_PER_MINUTE", "unlimited")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let secret = lines.find_map(|line| line.find("sk-orq-").map(|at| line[at..at + 71].to_owned()));
        let rest = Rest::new(address).bearer(&secret.expect("the first start prints a key"));
        ready(address).await;
        Self { child, rest }
    }

    async fn chats(&self) {
        self.rest.post(CHAT, &asking()).await.success();
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

/// A request with tools, of which most are pruned: their tokens are counted before the record is written.
fn asking() -> Value {
    let tool = |word: &str| {
        let parameters =
            json!({"type": "object", "properties": {word: {"type": "string", "description": word}}});
        let function = json!({"name": format!("get_{word}"), "description": format!("Tells the {word} of a city."), "parameters": parameters});
        json!({"type": "function", "function": function})
    };
    let words = "weather river museum mayor tower bridge harbour airport market garden theatre library station school \
                 church castle stadium hospital factory prison tunnel island beach forest hill valley lake canal square gate";
    let tools: Vec<Value> = words.split_whitespace().map(tool).collect();
    json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "How is the weather?"}], "tools": tools})
}

async fn ready(address: SocketAddr) {
    for _ in 0..2400 {
        let connected = tokio::net::TcpStream::connect(address).await.is_ok();
        if connected && Rest::new(address).get("/readyz").await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the process does not become ready");
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The ids of all records, which must add up to the sums.
async fn recorded(place: &Place) -> HashSet<String> {
    let text = format!("[store]\nurl = {:?}", place.url());
    let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
    let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
    let account = store.accounts().find_by_name("default").await.unwrap().unwrap().id;
    let (mut ids, mut sums, mut page) =
        (HashSet::new(), Totals::default(), RecordPage { size: 1000, before: None });
    loop {
        let records = store.usage().requests(account, &RecordFilter::default(), page).await.unwrap().records;
        let Some(last) = records.last() else { break };
        page.before = Some((last.at, last.id));
        records.iter().for_each(|record| sums += Totals::from(record));
        ids.extend(records.iter().map(|record| record.id.to_string()));
    }
    let (from, to) = ["2020-01-01", "9999-01-01"].map(|day| day.parse().unwrap()).into();
    assert_eq!(store.usage().totals(account, Of::Account, from, to).await.unwrap(), sums);
    store.close().await;
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sigterm_nothing_is_missing() {
    let place = Place::sqlite();
    let mut process = Process::start(&place).await;
    for _ in 0..50 {
        process.chats().await;
    }
    process.signal("-TERM");
    assert!(process.child.wait().unwrap().success());
    assert_eq!(recorded(&place).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sigkill_in_the_middle_of_writes_the_store_opens_clean_with_all_that_was_confirmed() {
    for round in 0..4 {
        let place = Place::sqlite();
        let mut process = Process::start(&place).await;
        let confirmed = Arc::new(Mutex::new(Vec::new()));
        let clients = [0, 1].map(|_| {
            let (rest, confirmed) = (process.rest.clone(), Arc::clone(&confirmed));
            TaskTracker::new().spawn(async move {
                loop {
                    let mut request = rest.request(Method::POST, "/v1/keys");
                    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                    let body = || Full::new(r#"{"name": "confirmed"}"#.into()).boxed_unsync();
                    let Some(answer) = rest.attempt(request.map(|()| body())).await else { return };
                    let key = answer.success();
                    confirmed.lock().unwrap().push(key["id"].as_str().unwrap().to_owned());
                }
            })
        });
        tokio::time::sleep(Duration::from_millis(300 + round * 70)).await;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        for client in clients {
            client.await.unwrap();
        }
        let confirmed = std::mem::take(&mut *confirmed.lock().unwrap());
        assert!(confirmed.len() > 3, "the process was busy");
        let text = format!("[store]\nurl = {:?}", place.url());
        let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
        let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
        let account = store.accounts().find_by_name("default").await.unwrap().unwrap().id;
        for id in &confirmed {
            let found = store.keys().find(account, KeyId(id.parse().unwrap())).await.unwrap();
            assert!(found.is_some(), "{id} was confirmed and is gone");
        }
        // Nothing of a write that was cut off: each key has its secret, and the log of changes has no gap.
        let changes = store.changes().since(0, 10_000).await.unwrap();
        assert!(!changes.gap);
        assert_eq!(changes.changes.len() as i64, changes.latest);
        store.close().await;
    }
}

/// How much a killed process may lose.
const MAY_LOSE: Duration = Duration::from_millis(250);
/// More than a machine that is busy with other tests makes of it.
const NEVER_LOST: Duration = Duration::from_secs(2);

/// What was asked of a process that was killed.
struct Killed {
    /// The requests whose answers ended, and how long before the kill.
    answered: Vec<(String, Duration)>,
    place: Place,
}

/// Asks one request after the other until the connection breaks, and notes each answer's id and end.
async fn keeps_asking(rest: Rest, answered: Arc<Mutex<Vec<(String, Instant)>>>) {
    let body = asking().to_string();
    loop {
        let mut request = rest.request(Method::POST, CHAT);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let Some(answer) =
            rest.attempt(request.map(|()| Full::new(body.clone().into()).boxed_unsync())).await
        else {
            return;
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        answered.lock().unwrap().push((answer.header("x-request-id").to_owned(), Instant::now()));
    }
}

impl Killed {
    /// A process that two clients keep busy, killed after so long.
    async fn after(busy: Duration) -> Self {
        let place = Place::sqlite();
        let mut process = Process::start(&place).await;
        let answered = Arc::new(Mutex::new(Vec::new()));
        let clients = [(); 2]
            .map(|()| TaskTracker::new().spawn(keeps_asking(process.rest.clone(), Arc::clone(&answered))));
        tokio::time::sleep(busy).await;
        // Before the signal, so that no answer counts as older than it was.
        let killed = Instant::now();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        for client in clients {
            client.await.unwrap();
        }
        let answered = std::mem::take(&mut *answered.lock().unwrap());
        let answered =
            answered.into_iter().map(|(id, at)| (id, killed.saturating_duration_since(at))).collect();
        Self { answered, place }
    }

    /// How long before the kill the first answer ended that is not on record.
    async fn lost(&self) -> Duration {
        let recorded = recorded(&self.place).await;
        let lost = self.answered.iter().filter(|(id, _)| !recorded.contains(id));
        lost.map(|(_, before)| *before).max().unwrap_or_default()
    }
}

/// Each round kills another process, at another moment of its writer's pace and of its start. One that got no time to
/// write, since other tests had it, may lose more, and says nothing about the bound: so most rounds have to keep it,
/// and none may lose what a writer would that waits for something.
#[tokio::test(flavor = "multi_thread")]
async fn after_sigkill_only_the_last_quarter_of_a_second_is_missing() {
    let mut lost = Vec::new();
    for round in 0..8 {
        let killed = Killed::after(Duration::from_millis(500 + round % 4 * 130)).await;
        assert!(killed.answered.iter().any(|(_, before)| *before > MAY_LOSE), "the process was busy");
        lost.push(killed.lost().await);
        assert!(lost.iter().all(|lost| *lost < NEVER_LOST), "{lost:?}");
        if lost.iter().filter(|lost| **lost <= MAY_LOSE).count() == 5 {
            return;
        }
    }
    panic!("too much was lost in most rounds: {lost:?}");
}
