//! The embedder against a server of vectors on a socket of its own, which a test can hold back.

use std::sync::Mutex;

use bytes::Bytes;
use chrono::DateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use uuid::Uuid;

use super::*;
use crate::{
    config::{Config, Demo, Environment},
    domain::{
        chat_request::{Bounds, ChatRequest, PermittedRequest},
        key::{AccountId, ToolMode},
        policy::PruneMode,
        toollist::Toollist,
    },
    prune::{self, Ask, Pruner},
    upstream::Catalog,
};

/// What the server does with a call, after it has kept its texts.
#[derive(Clone, Copy)]
enum Manner {
    Answers,
    AnswersLate,
    Fails,
    Refuses,
    /// Vectors of another length.
    Changed,
}

struct Model {
    base_url: String,
    manner: Arc<Mutex<Manner>>,
    calls: Arc<Mutex<Vec<Vec<String>>>>,
    _serving: JoinSet<()>,
}

impl Model {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (manner, calls) = (Arc::new(Mutex::new(Manner::Answers)), Arc::<Mutex<Vec<_>>>::default());
        let (with, kept) = (Arc::clone(&manner), Arc::clone(&calls));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, Arc::clone(&with), Arc::clone(&kept)));
            }
        });
        Self { base_url, manner, calls, _serving: serving }
    }

    fn will(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Every text that was sent, in order.
    fn texts(&self) -> Vec<String> {
        self.calls.lock().unwrap().concat()
    }

    fn embedder(&self, timeout: Duration) -> Embedder {
        let text = format!("[[upstreams]]\nname = \"m\"\nbase_url = \"{}\"", self.base_url);
        let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
        let catalog = Catalog::new(&config.upstreams, &Demo { enabled: false }, &|_| None).unwrap();
        let model = EmbeddingModel::new(Arc::clone(catalog.upstream("m").unwrap()), "toy", None);
        let settings = Settings { timeout, cache_bytes: 1 << 20, seed: 7 };
        Embedder::new(model, settings, TaskTracker::new(), CancellationToken::new())
    }
}

async fn serve(mut socket: TcpStream, manner: Arc<Mutex<Manner>>, calls: Arc<Mutex<Vec<Vec<String>>>>) {
    let mut buffer = Vec::new();
    loop {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            if socket.read_buf(&mut buffer).await.unwrap_or_default() == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let length: usize = length.parse().unwrap();
        while buffer.len() < end + 4 + length {
            assert_ne!(socket.read_buf(&mut buffer).await.unwrap(), 0);
        }
        let body: serde_json::Value =
            serde_json::from_slice(&buffer[end + 4..end + 4 + length]).expect("the body is JSON");
        buffer.drain(..end + 4 + length);
        let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
        calls.lock().unwrap().push(texts.clone());
        let manner = *manner.lock().unwrap();
        if matches!(manner, Manner::AnswersLate) {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let status = match manner {
            Manner::Fails => "500 Internal Server Error",
            Manner::Refuses => "400 Bad Request",
            _ => "200 OK",
        };
        let vector = if matches!(manner, Manner::Changed) {
            serde_json::json!([1, 2, 3])
        } else {
            serde_json::json!([1, 2])
        };
        let data: Vec<_> =
            (0..texts.len()).map(|index| serde_json::json!({"index": index, "embedding": vector})).collect();
        let answer = serde_json::json!({"data": data}).to_string();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A request of so many tools from a number on, with this message.
fn request(tools: std::ops::Range<usize>, text: &str) -> PermittedRequest {
    let tools: Vec<String> = tools
        .map(|n| {
            format!(r#"{{"type":"function","function":{{"name":"tool_{n}","description":"does {n}"}}}}"#)
        })
        .collect();
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}],"tools":[{}]}}"#,
        tools.join(",")
    );
    let request = ChatRequest::parse(Bytes::from(body), &Bounds { depth: 64 }).unwrap();
    request.permit(&Toollist::unbound(), ToolMode::Filter, &[]).unwrap()
}

async fn likeness(embedder: &Embedder, request: &PermittedRequest) -> Option<Likeness> {
    let mut config = Config::from_toml("", &Environment::default()).unwrap().config.pruning;
    (config.least_tokens, config.learning_share) = (0, 0.0);
    let pruner = Pruner::new(prune::Settings::new(&config, 64));
    let ask = Ask {
        account: AccountId(Uuid::nil()),
        key: None,
        mode: PruneMode::Safe,
        least: 0,
        session: None,
        now: DateTime::UNIX_EPOCH,
    };
    embedder.likeness(&pruner.question(request, &ask).unwrap()).await
}

const LONG: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_text_is_sent_once_however_many_want_it_and_however_often() {
    let model = Model::start().await;
    let embedder = model.embedder(LONG);
    let (one, other) = (request(0..60, "hello"), request(30..90, "hello"));
    let both = tokio::join!(likeness(&embedder, &one), likeness(&embedder, &other));
    assert!(both.0.is_some() && both.1.is_some());
    assert!(likeness(&embedder, &request(10..80, "hello")).await.is_some());
    let mut texts = model.texts();
    assert!(model.calls.lock().unwrap().iter().all(|call| call.len() <= 32));
    texts.sort();
    assert_eq!(texts.len(), 91, "{texts:?}");
    texts.dedup();
    assert_eq!(texts.len(), 91);
    assert!(texts.contains(&"tool 7: does 7".to_owned()) && texts.contains(&"hello".to_owned()));
    assert!(likeness(&embedder, &request(0..60, "something else")).await.is_some());
    assert_eq!(model.texts().len(), 92);
    assert_eq!(embedder.counts(), Counts { hits: 1, waits: 3, without: 0, failures: 0 });
}

#[tokio::test]
async fn what_comes_too_late_for_one_request_is_there_for_the_next() {
    let model = Model::start().await;
    let embedder = model.embedder(Duration::from_millis(60));
    model.will(Manner::AnswersLate);
    let asked = request(0..30, "hello");
    let began = Instant::now();
    assert!(likeness(&embedder, &asked).await.is_none());
    assert!(began.elapsed() < Duration::from_millis(250));
    while embedder.fetches.available_permits() < FETCHES {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(likeness(&embedder, &asked).await.is_some());
    assert_eq!(embedder.counts(), Counts { hits: 1, waits: 0, without: 1, failures: 0 });
}

#[tokio::test]
async fn an_upstream_that_fails_is_left_alone_and_then_asked_again() {
    let model = Model::start().await;
    let embedder = model.embedder(LONG);
    model.will(Manner::Fails);
    let asked = request(0..30, "hello");
    for _ in 0..3 {
        assert!(likeness(&embedder, &asked).await.is_none());
    }
    assert_eq!(model.calls.lock().unwrap().len(), 1);
    model.will(Manner::Answers);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert!(likeness(&embedder, &asked).await.is_some());
    assert_eq!(embedder.counts(), Counts { hits: 0, waits: 1, without: 3, failures: 1 });
}

#[tokio::test]
async fn a_text_that_is_refused_keeps_nobody_elses_from_being_sent() {
    let model = Model::start().await;
    let embedder = model.embedder(LONG);
    assert!(likeness(&embedder, &request(0..30, "hello")).await.is_some());
    model.will(Manner::Refuses);
    for _ in 0..3 {
        assert!(likeness(&embedder, &request(0..30, "odd")).await.is_none());
    }
    assert_eq!(model.texts().iter().filter(|text| *text == "odd").count(), 1);
    model.will(Manner::Answers);
    assert!(likeness(&embedder, &request(0..30, "plain")).await.is_some());
}

#[tokio::test]
async fn another_model_of_the_same_name_makes_the_vectors_of_the_one_before_forgotten() {
    let model = Model::start().await;
    let embedder = model.embedder(LONG);
    assert!(likeness(&embedder, &request(0..30, "hello")).await.is_some());
    model.will(Manner::Changed);
    assert!(likeness(&embedder, &request(0..30, "other")).await.is_none());
    assert!(likeness(&embedder, &request(0..30, "other")).await.is_some());
}
