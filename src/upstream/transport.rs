//! A pool of connections to one provider.
//!
//! Each upstream has a pool of its own, because the deadline for connecting is its own: it covers name resolution,
//! TCP and the TLS handshake together, which `HttpConnector`'s own covers only in part. `TCP_NODELAY` is on; HTTP/2
//! is spoken where ALPN offers it.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;

/// How long a connection waits in the pool. Shorter than the 60 s after which common balancers close theirs, so
/// that a request is seldom given one that is about to go.
const POOL_IDLE: Duration = Duration::from_secs(45);
/// How many connections wait in the pool. More than a busy moment leaves without work, so that none is closed that is about
/// to be wanted; what a thousand streams leave behind when they end together is closed, and its memory given back.
const POOL_SIZE: usize = 128;
/// How often a silent TCP or HTTP/2 connection is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The pooled client of one upstream.
#[derive(Debug, Clone)]
pub(super) struct Transport(Client<Connector, Full<Bytes>>);

/// A call that got no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// No connection came about: nothing was sent.
    Connect(String),
    /// No connection came about in time: nothing was sent.
    ConnectTimeout,
    /// The connection broke once it stood: the provider may have seen the request.
    Sent(String),
}

impl Transport {
    pub(super) fn new(connect_timeout: Duration, tls: Arc<ClientConfig>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        let connector = Connector { inner: HttpsConnector::from((tcp, tls)), deadline: connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            // Sends again what was queued on a pooled connection that turned out closed. It takes the request back
            // from hyper unwritten or not at all, so nothing can be billed twice; without it every provider that
            // closes idle connections costs an agent a 502 now and then.
            .retry_canceled_requests(true)
            .build(connector);
        Self(client)
    }

    /// One call, up to the status line and headers. Dropping the future closes the connection.
    pub(super) async fn call(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        self.0.request(request).await.map_err(|error| {
            let cause = innermost(&error);
            if !error.is_connect() {
                Broken::Sent(cause.to_string())
            } else if cause.is::<ConnectDeadline>() {
                Broken::ConnectTimeout
            } else {
                Broken::Connect(cause.to_string())
            }
        })
    }
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

#[derive(Debug, Clone, thiserror::Error)]
#[error("no connection in time")]
struct ConnectDeadline;

/// Connects within a deadline.
#[derive(Debug, Clone)]
struct Connector {
    inner: HttpsConnector<HttpConnector>,
    deadline: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, deadline) = (self.inner.call(uri), self.deadline);
        Box::pin(
            async move { tokio::time::timeout(deadline, connecting).await.map_err(|_| ConnectDeadline)? },
        )
    }
}
