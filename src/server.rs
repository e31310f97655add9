//! One port: accepts connections, speaks TLS where configured, HTTP/1.1 and HTTP/2, and stops gracefully.
//!
//! What a request means is not known here: each goes to the handler that `app` hands in. A stop has three stages:
//! connections are accepted for `drain_delay`, while a balancer learns from `/readyz` to send no more; then none
//! are, and requests that run may finish; what still runs after `drain_deadline` is cut.

mod patience;

use std::{
    convert::Infallible,
    fs,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use self::patience::{Patience, Watch};
use crate::config;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take to send the head of a request, and how long it may idle between two. Longer than
/// the idle time of common balancers (60 to 75 s): the side that sends requests must be the one that closes, or one
/// is lost now and then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest head of a request, in bytes. Bearer tokens of 8 KiB fit; megabytes of headers do not.
const HEAD_SIZE: u32 = 64 * 1024;
/// Requests at the same time on one HTTP/2 connection.
const STREAMS: u32 = 1024;
/// How long to wait after `accept` failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the port cannot be served. Stops the start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: is it taken? Set server.listen to another one")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("cannot use {path} for TLS: {why}", path = path.display())]
    Tls {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// A port that is bound but not served yet.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
    /// One for each connection that may be open.
    places: Arc<Semaphore>,
}

impl Server {
    /// Binds `address`, with TLS where `config` names a certificate.
    pub async fn bind(address: SocketAddr, config: &config::Server) -> Result<Self, ServerError> {
        let bind = |source| ServerError::Bind { address, source };
        let tls = tls(config)?;
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let places = Arc::new(Semaphore::new(config.connections));
        Ok(Self { listener, tls, address, places })
    }

    /// Whether the certificate and the key that `config` names, if it does, can be used.
    pub fn check(config: &config::Server) -> Result<(), ServerError> {
        tls(config).map(drop)
    }

    /// The address that was bound, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, once there is a place for it. Those that wait meanwhile are in the system's queue, which is
    /// bounded too.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (socket, peer) = self.listener.accept().await?;
        Ok((socket, peer, place))
    }

    /// Serves until `stop` is ready, then lets what runs finish, for `deadline` at most.
    pub async fn serve<H, F, B>(self, handler: Arc<H>, stop: impl Future<Output = ()>, deadline: Duration)
    where
        H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut connections = JoinSet::new();
        let mut stops = Stops::default();
        let mut stop = std::pin::pin!(stop);
        loop {
            let (socket, peer, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                // One that has ended keeps its memory until somebody has seen its end.
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let connection = connection((socket, peer), self.tls.clone(), Arc::clone(&handler), stops.one());
            connections.spawn(async move {
                connection.await;
                drop(place);
            });
        }
        drop(self.listener);
        drop(stops);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, finished).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "cutting what still runs after the drain deadline"
            );
        }
        connections.shutdown().await;
    }
}

/// What tells connections to stop: each has a signal of its own, which costs it an atomic to look at. One for all of them
/// would be a lock that every connection takes each time it does anything.
#[derive(Default)]
struct Stops {
    open: Vec<oneshot::Sender<()>>,
    /// How many there are when those of connections that have ended are looked for again.
    full: usize,
}

impl Stops {
    /// The signal of one connection more. It is given when this is dropped.
    fn one(&mut self) -> oneshot::Receiver<()> {
        if self.open.len() >= self.full {
            self.open.retain(|stop| !stop.is_closed());
            self.full = (2 * self.open.len()).max(64);
        }
        let (stop, stopped) = oneshot::channel();
        self.open.push(stop);
        stopped
    }
}

async fn connection<H, F, B>(
    (socket, peer): (TcpStream, SocketAddr),
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    stop: oneshot::Receiver<()>,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Without it, Nagle and delayed ACK hold each piece of a stream for 40 ms.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let Some(tls) = tls else { return speak(socket, peer, handler, stop).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)).await {
        Ok(Ok(socket)) => speak(socket, peer, handler, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, %peer, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
    }
}

async fn speak<S, H, F, B>(socket: S, peer: SocketAddr, handler: Arc<H>, mut stop: oneshot::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Also until hyper knows which protocol is spoken, and for the first request of HTTP/2, of which it watches neither.
    let mut watch = Watch::begin(HEAD_TIMEOUT);
    let (builder, patience) = (builder(watch.patience()), watch.patience());
    let service = service_fn(move |request| {
        patience.has_come();
        let answer = handler(request, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut stopping = false;
    // By hand, since this is polled several times a request: what has done its work is not looked at again.
    let ended = std::future::poll_fn(|cx| {
        let is_over = watch.is_over(cx);
        if !stopping && Pin::new(&mut stop).poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Pending if is_over => {
                tracing::debug!(%peer, "a connection without a request was closed");
                Poll::Ready(Ok(()))
            }
            polled => polled,
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, %peer, "connection ended");
    }
}

/// How a connection is spoken on.
fn builder(patience: Patience) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(patience).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_SIZE as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_SIZE)
        .max_concurrent_streams(STREAMS)
        // A client that vanished without a word holds no streams for ever.
        .keep_alive_interval(Duration::from_secs(60));
    builder
}

/// What speaks TLS, where `config` names a certificate.
fn tls(config: &config::Server) -> Result<Option<TlsAcceptor>, ServerError> {
    let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Ok(None) };
    let fail = |path: &PathBuf, why: String| ServerError::Tls { path: path.clone(), why };
    let pem = fs::read(cert).map_err(|error| fail(cert, error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(cert, error.to_string()))?;
    let pem = fs::read(key).map_err(|error| fail(key, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| fail(key, error.to_string()))?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| fail(cert, error.to_string()))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

#[cfg(test)]
mod tests;
