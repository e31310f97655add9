//! The connections to one provider.
//!
//! Each upstream has its own, because the deadline for connecting is its own: it covers name resolution, TCP and the TLS
//! handshake together. `TCP_NODELAY` is on; HTTP/2 is spoken where ALPN offers it.
//!
//! Why not hyper-util's client: a request there goes to the task of its connection and its answer comes back from it piece
//! by piece, each over the scheduler. Here whoever waits for an answer drives its connection (`connection`).

use std::{io, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header, uri::Scheme};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use tower::Service;

use super::{
    connection::{Answer, Connection, Multiplexed, Unanswered},
    pool::Pool,
    shared::Shared,
};

/// How often a silent TCP or HTTP/2 connection is asked whether it is still there.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The connections to one upstream.
pub(super) struct Transport {
    connector: HttpsConnector<HttpConnector>,
    connect_timeout: Duration,
    first_byte_timeout: Duration,
    /// What HTTP/1 says in its `host` header.
    host: HeaderValue,
    pool: Arc<Pool>,
    shared: Arc<Shared>,
    /// Who connects, once it is known that one connection is enough.
    connecting: Mutex<()>,
}

/// A call that got no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// No connection came about: nothing was sent.
    Connect(String),
    /// No connection came about in time: nothing was sent.
    ConnectTimeout,
    /// The connection broke once it stood: the provider may have seen the request.
    Sent(String),
    /// No answer came in time.
    Silent,
}

/// What a request goes over.
enum Way {
    Alone(Box<Connection>),
    Among(Multiplexed),
}

impl Transport {
    /// Connections to the server of `uri`.
    pub(super) fn new(
        uri: &Uri,
        [connect_timeout, first_byte_timeout]: [Duration; 2],
        tls: Arc<ClientConfig>,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        Self {
            connector: HttpsConnector::from((tcp, tls)),
            connect_timeout,
            first_byte_timeout,
            host: host(uri),
            pool: Arc::default(),
            shared: Arc::default(),
            connecting: Mutex::default(),
        }
    }

    /// One call, up to the status line and headers, within `first_byte_timeout`. Dropping the future closes the connection.
    ///
    /// What was queued on a connection that turned out closed is sent again: hyper gives it back unwritten or not at all,
    /// so that nothing can be billed twice. Without it every provider that closes idle connections would cost an agent a
    /// 502 now and then.
    pub(super) async fn call(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Answer>, Broken> {
        let deadline = Instant::now() + self.first_byte_timeout;
        let uri = mem::take(request.uri_mut());
        loop {
            let (way, is_new) = match self.waiting() {
                Some(way) => (way, false),
                None => {
                    let connected = Box::pin(timeout_at(deadline, self.connect(&uri))).await;
                    (connected.map_err(|_| Broken::Silent)??, true)
                }
            };
            let answer = match way {
                Way::Alone(connection) => {
                    *request.uri_mut() = uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
                    request.headers_mut().insert(header::HOST, self.host.clone());
                    connection.send((request, deadline), &self.pool).await
                }
                Way::Among(connection) => {
                    *request.uri_mut() = uri.clone();
                    request.headers_mut().remove(header::HOST);
                    let answer = Box::pin(connection.send((request, deadline))).await;
                    if let Err(Unanswered::Broken(error)) = &answer
                        && error.message().is_some()
                    {
                        self.shared.forget();
                    }
                    answer
                }
            };
            request = match answer {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Silent) => return Err(Broken::Silent),
                Err(Unanswered::Broken(mut error)) => match error.take_message().filter(|_| !is_new) {
                    Some(unsent) => unsent,
                    None => return Err(Broken::Sent(innermost(&error.into_error()).to_string())),
                },
            }
        }
    }

    /// A connection that waits for a request, if there is one.
    fn waiting(&self) -> Option<Way> {
        match self.shared.get() {
            Some(shared) => Some(Way::Among(shared)),
            None => self.pool.take().map(Way::Alone),
        }
    }

    /// A new connection; or one that came about while it was waited for.
    async fn connect(&self, uri: &Uri) -> Result<Way, Broken> {
        let connecting = async {
            let turn = if self.shared.is_known() { Some(self.connecting.lock().await) } else { None };
            if turn.is_some()
                && let Some(shared) = self.shared.get()
            {
                return Ok(Way::Among(shared));
            }
            let cause =
                |error: &(dyn std::error::Error + 'static)| Broken::Connect(innermost(error).to_string());
            let io = self.connector.clone().call(uri.clone()).await.map_err(|error| cause(&*error))?;
            if !io.connected().is_negotiated_h2() {
                self.shared.is_refused();
                let connection = Connection::begin(io, self.pool.next_number()).await;
                return connection.map(Way::Alone).map_err(|error| cause(&error));
            }
            self.shared.begin(io).await.map(Way::Among).map_err(|error| cause(&error))
        };
        tokio::time::timeout(self.connect_timeout, connecting).await.unwrap_or(Err(Broken::ConnectTimeout))
    }
}

/// What HTTP/1 says in its `host` header: with the port where it is not the scheme's own.
fn host(uri: &Uri) -> HeaderValue {
    let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let name = uri.host().unwrap_or_default();
    let text = match uri.port_u16().filter(|port| *port != default) {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What certificates are checked against: the system's roots, which take a while to load and are left out when
/// `with_roots` is false because no upstream speaks TLS.
pub(super) fn tls(with_roots: bool) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = if with_roots {
        builder.with_native_roots()?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The error that began it: its text is the one that helps (`Connection refused`), and has no address in it.
fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}
