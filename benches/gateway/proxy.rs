//! The floor: a proxy that passes everything through, on the HTTP stack, the allocator and the runtime of Orqen. It
//! reads no body and checks nothing; what Orqen needs beyond it is what Orqen does.

use std::{convert::Infallible, net::SocketAddr};

use http::{Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

use crate::procs;

type Upstream = Client<HttpConnector, Incoming>;
type Answer = Response<BoxBody<bytes::Bytes, hyper::Error>>;

/// Serves until the parent ends.
pub(crate) fn run(upstream: SocketAddr) {
    procs::end_with_parent();
    // As many workers as Orqen takes: one for each core that it may use.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Upstream = Client::builder(TokioExecutor::new()).build(connector);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let client = client.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| pass(request, client.clone(), upstream));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
}

/// One request, there and back.
async fn pass(
    mut request: Request<Incoming>,
    client: Upstream,
    upstream: SocketAddr,
) -> Result<Answer, Infallible> {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    *request.uri_mut() = format!("http://{upstream}{path}").parse::<Uri>().unwrap();
    request.headers_mut().remove(header::HOST);
    Ok(client.request(request).await.map_or_else(
        |_| {
            let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        },
        |answer| answer.map(BodyExt::boxed),
    ))
}
