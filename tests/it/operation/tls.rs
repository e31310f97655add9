//! The port with a certificate: the same API over TLS, by HTTP/1.1 and HTTP/2, and nothing in plain text.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http::{Method, Request, Version, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use serde_json::{Value, json};

use crate::support::{
    server::{Settings, TestServer},
    stores::Place,
};

/// A certificate for this machine, signed with its own key, and the files that it is in.
struct Certificate {
    der: CertificateDer<'static>,
    files: [PathBuf; 2],
}

impl Certificate {
    fn new(place: &Place) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let files = ["tls.crt", "tls.key"].map(|name| place.folder().join(name));
        fs::write(&files[0], made.cert.pem()).unwrap();
        fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
        Self { der: made.cert.der().clone(), files }
    }

    fn settings(&self, place: &Place) -> Settings {
        let [cert, key] = self.files.each_ref().map(|path| path.display());
        Settings::at(place).toml(&format!("[server]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\""))
    }

    /// What a client that trusts this certificate, and no other, connects with.
    fn trusting(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }
}

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

fn clients(config: &ClientConfig) -> [(Version, Https); 2] {
    let builder = || HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_only();
    let client = |connector| Client::builder(TokioExecutor::new()).build(connector);
    [
        (Version::HTTP_11, client(builder().enable_http1().build())),
        (Version::HTTP_2, client(builder().enable_http2().build())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_served_over_tls_by_both_versions_of_http() {
    let place = Place::sqlite();
    let certificate = Certificate::new(&place);
    let server = TestServer::start(certificate.settings(&place)).await;
    let request = |verb: Method, path: &str, body: Value| {
        Request::builder()
            .method(verb)
            .uri(format!("https://{}{path}", server.address()))
            .header(header::AUTHORIZATION, format!("Bearer {}", server.first_key().unwrap()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .unwrap()
    };
    let messages = json!([{"role": "user", "content": "hello"}]);
    for (version, client) in clients(&certificate.trusting()) {
        let me = client.request(request(Method::GET, "/v1/account/me", json!(null))).await.unwrap();
        assert_eq!((me.status().as_u16(), me.version()), (200, version));
        let chat = json!({"model": "orqen/demo", "stream": true, "messages": messages});
        let chat = client.request(request(Method::POST, "/v1/chat/completions", chat)).await.unwrap();
        let events = chat.collect().await.unwrap().to_bytes();
        assert!(events.ends_with(b"data: [DONE]\n\n"), "{version:?}: {events:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_in_plain_text_nor_to_who_does_not_trust_the_certificate() {
    let place = Place::sqlite();
    let certificate = Certificate::new(&place);
    let server = TestServer::start(certificate.settings(&place)).await;
    let get = |scheme: &str| {
        let uri = format!("{scheme}://{}/readyz", server.address());
        Request::get(uri).body(Full::<Bytes>::default()).unwrap()
    };
    let plain: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    plain.request(get("http")).await.unwrap_err();
    let other = Certificate::new(&Place::sqlite());
    for (_, client) in clients(&other.trusting()) {
        client.request(get("https")).await.unwrap_err();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_stops_the_start_by_its_file() {
    let place = Place::sqlite();
    let certificate = Certificate::new(&place);
    for broken in &certificate.files {
        let good = fs::read(broken).unwrap();
        fs::write(broken, "no PEM").unwrap();
        let refusal = certificate.settings(&place).refusal().await;
        let name = broken.file_name().unwrap().to_str().unwrap();
        assert!(refusal.contains("TLS") && refusal.contains(name), "{refusal}");
        fs::write(broken, good).unwrap();
    }
}
