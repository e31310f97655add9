//! A provider that answers by a script and keeps every byte it was sent.
//!
//! A real HTTP/1.1 server, and by hand rather than over hyper: a test may cut an answer in the middle of a chunk,
//! or send what is no HTTP, and it sees the bytes of a request as they came. A stream goes on when the test says
//! so (`LiveStream`), never after a pause, so that an order of events is a fact and not a matter of luck.

mod reply;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

pub(crate) use self::reply::{LiveStream, Reply};
use self::reply::{Script, Step};

/// How long anything is waited for before the test fails: far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The request line.
    pub(crate) line: String,
    /// Names in lower case, values as they came, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The exact bytes of the body.
    pub(crate) body: Vec<u8>,
    fate: watch::Receiver<Fate>,
}

/// What became of the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is still being answered.
    Running,
    /// The script was carried out to its end.
    Answered,
    /// The gateway closed the connection before that.
    CutByGateway,
}

impl Received {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the gateway sends UTF-8")
    }

    /// Waits until the answer has ended, and says how.
    pub(crate) async fn fate(&self) -> Fate {
        let mut fate = self.fate.clone();
        let ended = timeout(PATIENCE, fate.wait_for(|fate| *fate != Fate::Running)).await;
        *ended.expect("the answer ends in time").expect("the provider says how it ended")
    }
}

/// The provider.
pub(crate) struct ScriptedUpstream {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

/// The vector of a text.
type Embeds = fn(&str) -> Vec<f32>;

struct State {
    script: Mutex<VecDeque<Reply>>,
    models: Mutex<Option<String>>,
    embeds: Mutex<Option<Embeds>>,
    received: watch::Sender<Vec<Received>>,
    connections: AtomicUsize,
}

impl ScriptedUpstream {
    /// One that answers every chat request with `{}` until it is told otherwise, and has no list of models.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Mutex::default(),
            models: Mutex::default(),
            embeds: Mutex::default(),
            received: watch::Sender::new(Vec::new()),
            connections: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                socket.set_nodelay(true).unwrap();
                connections.spawn(serve(socket, Arc::clone(&accepting)));
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// What goes into the configuration.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Adds a reply to the script: chat requests take them in turn.
    pub(crate) fn will(&self, reply: Reply) {
        self.state.script.lock().unwrap().push_back(reply);
    }

    /// Adds a stream to the script and gives its other end.
    pub(crate) fn will_stream(&self) -> LiveStream {
        let (reply, stream) = Reply::stream();
        self.will(reply);
        stream
    }

    /// What `GET /v1/models` answers from now on.
    pub(crate) fn lists(&self, models: &str) {
        *self.state.models.lock().unwrap() = Some(models.to_owned());
    }

    /// What requests for embeddings are answered with from now on, once the script is at its end.
    pub(crate) fn embeds(&self, vector: Embeds) {
        *self.state.embeds.lock().unwrap() = Some(vector);
    }

    /// The chat requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.borrow().clone()
    }

    /// How many connections it was asked for.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The last chat request, which must be there.
    pub(crate) fn last(&self) -> Received {
        self.received().pop().expect("the upstream received a request")
    }

    /// Waits for the chat request of this place (0 is the first).
    pub(crate) async fn request(&self, place: usize) -> Received {
        let mut received = self.state.received.subscribe();
        let enough = timeout(PATIENCE, received.wait_for(|all| all.len() > place)).await;
        enough.expect("the request comes in time").expect("the provider runs")[place].clone()
    }
}

impl State {
    /// The answer to a request for embeddings, if they are served.
    fn embedded(&self, line: &str, body: &[u8]) -> Option<Reply> {
        let vector = self.embeds.lock().unwrap().filter(|_| line.starts_with("POST /v1/embeddings "))?;
        let body: serde_json::Value = serde_json::from_slice(body).expect("the gateway sends JSON");
        let texts = body["input"].as_array().expect("it sends texts");
        // Backwards: it is the index that says whose each is.
        let data = (0..texts.len()).rev().map(|index| {
            let text = texts[index].as_str().expect("a text is a string");
            serde_json::json!({"object": "embedding", "index": index, "embedding": vector(text)})
        });
        let data: Vec<_> = data.collect();
        Some(Reply::json(&serde_json::json!({"object": "list", "data": data}).to_string()))
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some((line, headers, body)) = read_request(&mut socket, &mut buffer).await {
        if line.starts_with("GET ") {
            let models = state.models.lock().unwrap().clone();
            let reply = match models {
                Some(models) => Reply::json(&models),
                None => Reply::status("404 Not Found", &[], ""),
            };
            let Script::Answer(answer) = reply.0 else { unreachable!("both are whole answers") };
            socket.write_all(&answer).await.unwrap();
            continue;
        }
        let (fate, watched) = watch::channel(Fate::Running);
        let scripted = state.script.lock().unwrap().pop_front();
        let reply = scripted.or_else(|| state.embedded(&line, &body)).unwrap_or_else(|| Reply::json("{}"));
        let received = Received { line, headers, body, fate: watched };
        state.received.send_modify(|all| all.push(received));
        let (ended, goes_on) = run(&mut socket, reply).await;
        fate.send_replace(ended);
        if !goes_on {
            return;
        }
    }
}

/// Carries a reply out: how it ended, and whether the connection can be used again.
async fn run(socket: &mut TcpStream, reply: Reply) -> (Fate, bool) {
    match reply.0 {
        Script::Answer(bytes) => match socket.write_all(&bytes).await {
            Ok(()) => (Fate::Answered, true),
            Err(_) => (Fate::CutByGateway, false),
        },
        Script::HangUp(bytes) => match socket.write_all(&bytes).await {
            Ok(()) => (Fate::Answered, false),
            Err(_) => (Fate::CutByGateway, false),
        },
        Script::Live(first, steps) => live(socket, &first, steps).await,
    }
}

async fn live(
    socket: &mut TcpStream,
    first: &[u8],
    mut steps: mpsc::UnboundedReceiver<Step>,
) -> (Fate, bool) {
    if socket.write_all(first).await.is_err() {
        return (Fate::CutByGateway, false);
    }
    let mut silent = false;
    loop {
        let step = tokio::select! {
            biased;
            step = steps.recv(), if !silent => step,
            // The gateway has nothing to say before the answer is over, so whatever can be read is its leaving.
            _ = socket.readable() => match socket.try_read(&mut [0; 64]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                _ => return (Fate::CutByGateway, false),
            },
        };
        let written = match step {
            Some(Step::Write(bytes)) => socket.write_all(&bytes).await,
            Some(Step::End) => {
                let ended = socket.write_all(b"0\r\n\r\n").await;
                return (if ended.is_ok() { Fate::Answered } else { Fate::CutByGateway }, ended.is_ok());
            }
            Some(Step::Cut) => return (Fate::Answered, false),
            None => {
                silent = true;
                Ok(())
            }
        };
        if written.is_err() {
            return (Fate::CutByGateway, false);
        }
    }
}

type Request = (String, Vec<(String, String)>, Vec<u8>);

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).expect("the head is text");
    let (line, rest) = head.split_once("\r\n").expect("there is a header");
    let headers: Vec<(String, String)> = rest
        .lines()
        .map(|line| line.split_once(": ").expect("a header has a name"))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length is a number"));
    buffer.drain(..end + 4);
    while buffer.len() < length {
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some((line.to_owned(), headers, buffer.drain(..length).collect()))
}
