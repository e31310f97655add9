//! Browsers: closed to every page by default, open to the origins of the configuration, for REST and gRPC-Web alike.

use http::{HeaderMap, HeaderValue, Method as Verb, header};

use crate::support::{
    actors::Caller,
    grpc_web,
    rest::{Answer, Rest},
    server::{Settings, TestServer},
    stores::Place,
};

const ORIGIN: &str = "https://app.example";
const LIST_KEYS: &str = "/orqen.v1.KeyService/ListKeys";

/// What a browser asks before a page of `origin` may call.
async fn preflight(rest: &Rest, origin: &'static str, path: &str, verb: &'static str) -> Answer {
    let headers = HeaderMap::from_iter([
        (header::ORIGIN, HeaderValue::from_static(origin)),
        (header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static(verb)),
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("authorization,content-type,x-grpc-web,grpc-timeout"),
        ),
    ]);
    rest.with_headers(headers).send(Verb::OPTIONS, path, "").await
}

fn has_cors(answer: &Answer) -> bool {
    answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_may_call_by_default() {
    let server = TestServer::new().await;
    let operator = server.operator();
    for path in ["/v1/keys", LIST_KEYS] {
        let answer = preflight(server.anonymous().rest(), ORIGIN, path, "POST").await;
        assert!(!answer.status.is_success() && !has_cors(&answer), "{path}: {answer:?}");
    }
    let answer = operator.rest().with(header::ORIGIN, ORIGIN).get("/v1/keys").await;
    assert!(answer.status == 200 && !has_cors(&answer), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_configured_origin_may_call_and_read_and_others_may_not() {
    let settings = Settings::at(&Place::sqlite()).toml(&format!("[server]\ncors_origins = [{ORIGIN:?}]"));
    let server = TestServer::start(settings).await;
    let anonymous = server.anonymous();
    for (path, verb) in [("/v1/keys", "PATCH"), ("/v1/chat/completions", "POST"), (LIST_KEYS, "POST")] {
        let answer = preflight(anonymous.rest(), ORIGIN, path, verb).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
        assert!(answer.header("access-control-allow-methods").contains(verb));
        for name in ["authorization", "content-type", "x-grpc-web", "grpc-timeout"] {
            assert!(answer.header("access-control-allow-headers").contains(name), "{name}: {answer:?}");
        }
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            "",
            "keys go in a header, never in a cookie"
        );
        let other = preflight(anonymous.rest(), "https://evil.example", path, verb).await;
        assert_eq!(other.header("access-control-allow-origin"), "", "{other:?}");
    }

    let rest = server.operator().rest().with(header::ORIGIN, ORIGIN);
    let by_web = grpc_web::GrpcWeb::new(&rest).send(LIST_KEYS, grpc_web::framed(&[])).await;
    grpc_web::read(&by_web).unwrap();
    let refused = anonymous.rest().with(header::ORIGIN, ORIGIN);
    for answer in [
        by_web,
        rest.get("/v1/keys").await,
        refused.get("/v1/keys").await,
        grpc_web::GrpcWeb::new(&refused).send(LIST_KEYS, grpc_web::framed(&[])).await,
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{answer:?}");
        for name in
            ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id", "x-orqen-tools-input"]
        {
            assert!(answer.header("access-control-expose-headers").contains(name), "{name}: {answer:?}");
        }
    }
    server.stop().await;
}
