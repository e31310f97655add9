//! Connections to a provider that speaks TLS: HTTP/2 where it offers that, else HTTP/1.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{Upstream, UpstreamError, settings as reading, transport},
    BODY, client, environment, prepared, settings,
};

/// What a request came as.
#[derive(Debug, Clone, PartialEq)]
struct Came {
    version: Version,
    target: String,
    host: Option<String>,
    body: Bytes,
}

/// A provider behind TLS that answers everything with its own words, after a moment.
struct Provider {
    upstream: Upstream,
    state: Arc<State>,
    /// Sends every open connection away.
    goodbye: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    came: Mutex<Vec<Came>>,
}

impl Provider {
    async fn start(protocols: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = ServerConfig::builder().with_no_client_auth();
        let mut server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        server.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = trusting(made.cert.der().clone(), listener.local_addr().unwrap());
        let (state, (goodbye, leaves)) = (Arc::new(State::default()), watch::channel(()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(server)), Arc::clone(&state), leaves));
        Self { upstream, state, goodbye, _tasks: tasks }
    }

    async fn ask(&self) -> Result<Bytes, UpstreamError> {
        let response = client().send(&self.upstream, &prepared(BODY), &HeaderMap::new()).await?;
        Ok(response.body.collect().await?.to_bytes())
    }

    fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

/// The provider as an upstream whose certificate is trusted.
fn trusting(certificate: CertificateDer<'static>, address: SocketAddr) -> Upstream {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut trust = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    trust.alpn_protocols.clone_from(&transport::tls(false).unwrap().alpn_protocols);
    let settings = settings("openai", &format!("https://localhost:{}/v1", address.port()));
    reading::upstream(&settings, &environment, &Arc::new(trust)).unwrap()
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>, leaves: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, state, mut leaves) = (tls.clone(), Arc::clone(&state), leaves.clone());
        // Only those that are open when it is said.
        leaves.mark_unchanged();
        connections.spawn(async move {
            let Ok(socket) = tls.accept(socket).await else { return };
            state.connections.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            let builder = auto::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(socket), service));
            let _ = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = leaves.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let host = head.headers.get(header::HOST).map(|host| host.to_str().unwrap().to_owned());
    state.came.lock().unwrap().push(Came {
        version: head.version,
        target: head.uri.to_string(),
        host,
        body: body.clone(),
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(Response::new(Full::new(body)))
}

#[tokio::test]
async fn requests_share_one_http2_connection() {
    let provider = Provider::start(&["h2", "http/1.1"]).await;
    assert_eq!(provider.ask().await.unwrap(), BODY);
    let many = futures_util::future::join_all((0..20).map(|_| provider.ask())).await;
    assert!(many.into_iter().all(|answer| answer.unwrap() == BODY));
    assert_eq!(provider.connections(), 1);
    let came = provider.state.came.lock().unwrap();
    let port = provider_port(&came[0]);
    let expected = Came {
        version: Version::HTTP_2,
        target: format!("https://localhost:{port}/v1/chat/completions"),
        host: None,
        body: Bytes::from_static(BODY.as_bytes()),
    };
    assert!(came.len() == 21 && came.iter().all(|one| *one == expected), "{came:?}");
}

fn provider_port(came: &Came) -> u16 {
    came.target.parse::<http::Uri>().unwrap().port_u16().unwrap()
}

#[tokio::test]
async fn an_http2_connection_that_the_provider_ends_is_followed_by_one_other() {
    let provider = Provider::start(&["h2"]).await;
    provider.ask().await.unwrap();
    provider.goodbye.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let many = futures_util::future::join_all((0..20).map(|_| provider.ask())).await;
    assert!(many.into_iter().all(|answer| answer.unwrap() == BODY));
    assert_eq!(provider.connections(), 2, "one at a time connects, once HTTP/2 is known");
}

#[tokio::test]
async fn http1_is_spoken_where_nothing_else_is_offered() {
    let provider = Provider::start(&["http/1.1"]).await;
    for _ in 0..3 {
        assert_eq!(provider.ask().await.unwrap(), BODY);
    }
    assert_eq!(provider.connections(), 1);
    futures_util::future::join_all((0..5).map(|_| provider.ask())).await;
    assert_eq!(provider.connections(), 5, "one for each request at a time");
    let came = provider.state.came.lock().unwrap();
    let alike = |one: &Came| one.version == Version::HTTP_11 && one.target == "/v1/chat/completions";
    assert!(came.iter().all(alike), "{came:?}");
    assert!(came[0].host.as_ref().is_some_and(|host| host.starts_with("localhost:")), "{came:?}");
}
