//! A REST client: nothing is added, followed or repaired, so that a test sends what it says and sees what came.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use super::described;

/// The body of a request.
pub(crate) type Sent = UnsyncBoxBody<Bytes, Infallible>;

/// A client with a credential, or with none.
#[derive(Clone)]
pub(crate) struct Rest {
    address: SocketAddr,
    client: Client<HttpConnector, Sent>,
    headers: HeaderMap,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Rest {
    /// A client that sends no credential, over HTTP/1.1.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, client, headers: HeaderMap::new() }
    }

    /// The same client, over HTTP/2.
    pub(crate) fn over_http2(&self) -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { client, ..self.clone() }
    }

    /// The same client with this credential and no other.
    pub(crate) fn bearer(&self, credential: &str) -> Self {
        self.with(header::AUTHORIZATION, &format!("Bearer {credential}"))
    }

    /// The same client with one header more; `Authorization` replaces the one before.
    pub(crate) fn with(&self, name: HeaderName, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        Self { headers, ..self.clone() }
    }

    /// The same client with these headers and no others.
    pub(crate) fn with_headers(&self, headers: HeaderMap) -> Self {
        Self { headers, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, body.to_string()).await
    }

    /// Sends these bytes, as JSON where there are any and nothing else was said, and waits for the whole answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut request = self.request(method, path);
        if !body.is_empty() && !self.headers.contains_key(header::CONTENT_TYPE) {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        self.whole(request.map(|()| Full::new(body).boxed_unsync())).await
    }

    /// Sends a request as it is, and waits for the whole answer.
    pub(crate) async fn whole(&self, request: Request<Sent>) -> Answer {
        let (verb, path) = (request.method().clone(), request.uri().path().to_owned());
        let (head, body) = self.open(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: head.status, headers: head.headers, body };
        described::check(&verb, &path, &answer);
        answer
    }

    /// Sends a request as it is, and waits for the whole answer; `None` when the connection breaks before its end.
    pub(crate) async fn attempt(&self, request: Request<Sent>) -> Option<Answer> {
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: head.status, headers: head.headers, body })
    }

    /// Sends a request as it is, and returns with the head of the answer.
    pub(crate) async fn open(&self, request: Request<Sent>) -> http::Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    /// A request of this client, to be changed and sent.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl Answer {
    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn success(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The error object of a refusal with this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        let error = self.json()["error"].clone();
        assert_eq!((self.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{self:?}");
        error
    }

    /// A header, as text; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
