//! The binary as an operator runs it, asked to stop and killed: what was recorded is there, with its sums.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use orqen::{
    clock::SystemClock,
    config::{Config, Environment},
    domain::usage::Totals,
    store::{RecordFilter, RecordPage, Store},
};
use serde_json::json;

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
        let body = json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "x"}]});
        self.rest.post(CHAT, &body).await.success();
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
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

/// The number of records, which must be what the sums say.
async fn recorded(place: &Place) -> i64 {
    let text = format!("[store]\nurl = {:?}", place.url());
    let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
    let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
    let account = store.accounts().find_by_name("default").await.unwrap().unwrap().id;
    let page = RecordPage { size: 1000, before: None };
    let records = store.usage().requests(account, &RecordFilter::default(), page).await.unwrap().records;
    let mut sums = Totals::default();
    records.iter().for_each(|record| sums += Totals::from(record));
    let (from, to) = ["2020-01-01", "9999-01-01"].map(|day| day.parse().unwrap()).into();
    assert_eq!(store.usage().totals(account, None, from, to).await.unwrap(), sums);
    store.close().await;
    sums.requests()
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
    assert_eq!(recorded(&place).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_sigkill_what_is_missing_are_the_last_moments() {
    let place = Place::sqlite();
    let process = Process::start(&place).await;
    for _ in 0..50 {
        process.chats().await;
    }
    // Four times what may be lost: the machine may be busy with other tests.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..5 {
        process.chats().await;
    }
    process.signal("-KILL");
    drop(process);
    let recorded = recorded(&place).await;
    assert!((50..=55).contains(&recorded), "{recorded}");
}
