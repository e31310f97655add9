//! One fetch of a JWKS: a GET to the one address that the configuration allows, bounded in time and size. Redirects are
//! answers like any other that is not 200: who may say which keys there are is not for a server to pass on.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use tokio::time::timeout;

use crate::auth::{issuer::LARGEST, jwt::JwtSetupError};

/// How long a fetch may take, from the look-up of the name to the last byte.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// Where keys are fetched from.
pub(super) struct Source {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    address: Uri,
}

impl Source {
    pub(super) fn new(address: Uri) -> Result<Self, JwtSetupError> {
        Ok(Self::over(tls(&address)?, address))
    }

    fn over(tls: ClientConfig, address: Uri) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnector::from((tcp, tls));
        // Nothing is kept: the next fetch is minutes away.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { client, address }
    }

    /// The bytes of the answer, or what is wrong with it.
    pub(super) async fn fetch(&self) -> Result<Bytes, String> {
        timeout(LONGEST, self.get()).await.map_err(|_| format!("no whole answer within {LONGEST:?}"))?
    }

    async fn get(&self) -> Result<Bytes, String> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.address.clone();
        let headers = request.headers_mut();
        let accepted = HeaderValue::from_static("application/jwk-set+json, application/json");
        headers.insert(header::ACCEPT, accepted);
        let agent = HeaderValue::from_static(concat!("orqen/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        let answer = self.client.request(request).await.map_err(|error| innermost(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(format!(
                    "it redirects (status {}), which is not followed: set `auth.jwt.jwks_url` to where it leads",
                    status.as_u16()
                ));
            }
            status => return Err(format!("it answered with status {}", status.as_u16())),
        }
        match Limited::new(answer.into_body(), LARGEST).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(format!("its answer is larger than {LARGEST} bytes"))
            }
            Err(error) => Err(format!("its answer broke off: {}", innermost(&*error))),
        }
    }
}

/// The text of the error that began it, which is the one that helps (`Connection refused`).
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// The certificates of the machine, which nobody needs for plain HTTP.
fn tls(to: &Uri) -> Result<ClientConfig, JwtSetupError> {
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| JwtSetupError::Roots(std::io::Error::other(error)))?;
    let builder = match to.scheme_str() {
        Some("https") => builder.with_native_roots().map_err(JwtSetupError::Roots)?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        task::JoinSet,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn only_a_server_whose_certificate_is_trusted_is_believed() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Uri = format!("https://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(server));
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                // Whoever does not trust the certificate hangs up.
                let Ok(mut socket) = acceptor.accept(socket).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && socket.read_buf(&mut head).await.unwrap_or(0) > 0 {}
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                let _ = socket.write_all(answer).await;
                let _ = socket.shutdown().await;
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        assert_eq!(Source::over(trusting, address.clone()).fetch().await.unwrap(), "{}");
        let refused = Source::new(address).unwrap().fetch().await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    }
}
