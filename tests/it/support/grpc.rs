//! A gRPC client over tonic's channel: the generated clients, and calls of any method by its path with bytes, for the
//! suites that walk the descriptors.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderValue, header};
use orqen::proto::v1::{
    account_service_client::AccountServiceClient, chat_service_client::ChatServiceClient,
    key_service_client::KeyServiceClient,
};
use tonic::{
    Request, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};
use tower::Service;

/// The largest answer that is taken.
const LARGEST: usize = 64 * 1024 * 1024;

/// A client with a credential, or with none.
#[derive(Debug, Clone)]
pub(crate) struct Grpc {
    channel: Channel,
    headers: HeaderMap,
}

impl Grpc {
    /// A client that sends no credential. It connects with its first call.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self { channel: endpoint.connect_lazy(), headers: HeaderMap::new() }
    }

    /// The same client with this credential and no other.
    pub(crate) fn bearer(&self, credential: &str) -> Self {
        let mut headers = self.headers.clone();
        headers
            .insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {credential}")).unwrap());
        self.with_headers(headers)
    }

    /// The same client with these headers and no others.
    pub(crate) fn with_headers(&self, headers: HeaderMap) -> Self {
        Self { headers, ..self.clone() }
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Self> {
        KeyServiceClient::new(self.clone()).max_decoding_message_size(LARGEST)
    }

    pub(crate) fn accounts(&self) -> AccountServiceClient<Self> {
        AccountServiceClient::new(self.clone()).max_decoding_message_size(LARGEST)
    }

    pub(crate) fn chat(&self) -> ChatServiceClient<Self> {
        ChatServiceClient::new(self.clone()).max_decoding_message_size(LARGEST)
    }

    /// Calls the method at `path` (`/orqen.v1.KeyService/CreateKey`) with an encoded message; of a streamed answer
    /// the first message, or what ended it.
    pub(crate) async fn call(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        let path = path.parse::<http::uri::PathAndQuery>().unwrap();
        let mut grpc = tonic::client::Grpc::new(self.clone()).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut answers = grpc.server_streaming(Request::new(message), path, Plain).await?.into_inner();
        let first = answers.message().await?;
        first.ok_or_else(|| Status::internal("the answer is empty and no error"))
    }
}

impl Service<http::Request<Body>> for Grpc {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        let answer = self.channel.call(request);
        Box::pin(answer)
    }
}

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
