//! What goes wrong, as the agent is told: a provider's errors as they are, all others in the words of the contract.

use orqen::proto::google::api::HttpBody;
use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::Code;
use tonic_types::{StatusExt, pb};

use crate::{
    chat::{CHAT, DOORS, House, refusal},
    support::{
        actors::Caller,
        server::{Settings, TestServer},
        stores::Place,
        upstream::{Fate, Reply},
    },
};

const ASKING: &str = r#"{"model":"gpt-4o","messages":[]}"#;
const ERROR: &str =
    "{ \"error\":{\"message\":\"no\",\"type\":\"x\",\"param\":null,\"code\":\"their_code\"} }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_error_comes_with_its_status_and_body() {
    let house = House::new().await;
    let agent = house.agent().await;
    for status in [
        "400 Bad Request",
        "404 Not Found",
        "409 Conflict",
        "422 X",
        "429 Too Many Requests",
        "500 X",
        "529 X",
    ] {
        house.upstream.will(Reply::status(
            status,
            &[("content-type", "application/json; x=y"), ("retry-after", "7")],
            ERROR,
        ));
        let answer = agent.posts(ASKING).await;
        assert_eq!(answer.status.as_str(), &status[..3]);
        assert_eq!(answer.body, ERROR);
        assert_eq!(answer.header("content-type"), "application/json; x=y");
        assert_eq!(answer.header("retry-after"), "7");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_a_providers_error_becomes_the_nearest_code_with_the_body_in_its_details() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (status, code) in [
        ("400 Bad Request", Code::InvalidArgument),
        ("404 Not Found", Code::NotFound),
        ("408 Request Timeout", Code::DeadlineExceeded),
        ("409 Conflict", Code::Aborted),
        ("413 Too Large", Code::ResourceExhausted),
        ("418 I'm a teapot", Code::FailedPrecondition),
        ("422 Unprocessable", Code::InvalidArgument),
        ("429 Too Many Requests", Code::ResourceExhausted),
        ("500 Internal Server Error", Code::Internal),
        ("503 Service Unavailable", Code::Unavailable),
        ("529 Overloaded", Code::Unavailable),
    ] {
        house.upstream.will(Reply::status(status, &[("content-type", "application/json")], ERROR));
        let refused = agent.calls_raw(ASKING).await.unwrap_err();
        assert_eq!(refused.code(), code, "{status}");
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.metadata["http_status"].as_str()),
            ("PROVIDER_ERROR", &status[..3])
        );
        assert_eq!(refused.metadata().get("x-orqen-tools-input").unwrap(), "0");
        let details = pb::Status::decode(refused.details()).unwrap().details;
        let body = details.iter().find(|any| any.type_url.ends_with("/google.api.HttpBody")).unwrap();
        let body = HttpBody::decode(body.value.as_slice()).unwrap();
        assert_eq!((body.data.as_ref(), body.content_type.as_str()), (ERROR.as_bytes(), "application/json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_error_body_is_cut_to_what_a_grpc_status_can_carry() {
    let house = House::new().await;
    let agent = house.agent().await;
    house.upstream.will(Reply::status("400 Bad Request", &[], &"x".repeat(1_000_000)));
    let refused = agent.calls_raw(ASKING).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = pb::Status::decode(refused.details()).unwrap().details;
    let body = HttpBody::decode(details[1].value.as_slice()).unwrap();
    assert_eq!(body.data, "x".repeat(4096));

    house.upstream.will(Reply::status("400 Bad Request", &[], &"x".repeat(1_000_000)));
    assert_eq!(agent.posts(ASKING).await.body.len(), 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_orqens_own_matter() {
    let secret = "sk-provider-0123456789abcdef";
    let house = House::with(|settings| {
        settings.toml("api_key_env = \"SCRIPTED_KEY\"").variable("SCRIPTED_KEY", secret)
    })
    .await;
    let agent = house.agent().await;
    for status in ["401 Unauthorized", "403 Forbidden"] {
        for door in DOORS {
            let body = format!("{{\"error\":\"Incorrect API key provided: {secret}\"}}");
            house.upstream.will(Reply::status(status, &[("www-authenticate", "Bearer realm=theirs")], &body));
            let outcome = agent.enters(door, ASKING).await;
            let (_, message) = outcome.refused("upstream_credential_rejected");
            assert!(message.contains("`scripted`") && message.contains(&status[..3]), "{message}");
            assert!(!message.contains("sk-provider") && !message.contains("Incorrect"), "{message}");
        }
        house.upstream.will(Reply::status(status, &[("www-authenticate", "Bearer realm=theirs")], secret));
        let answer = agent.posts(ASKING).await;
        assert!(!format!("{answer:?}").contains("sk-provider"), "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), "");
    }
    assert_eq!(house.upstream.last().header("authorization"), Some(format!("Bearer {secret}").as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let server =
        TestServer::start(Settings::at(&Place::sqlite()).upstream("away", &base_url, &["gpt-*"])).await;
    let (agent, _) = server.operator().equip(json!({"name": "agent"})).await;
    for door in DOORS {
        let outcome = agent.enters(door, ASKING).await;
        let (_, message) = outcome.refused("upstream_unreachable");
        assert!(message.contains("`away`"), "{message}");
        assert!(!message.contains("127.0.0.1"), "an address of the inside: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_nothing_is_given_up_in_time() {
    let house = House::with(|settings| settings.toml("first_byte_timeout = \"100ms\"")).await;
    let agent = house.agent().await;
    for door in DOORS {
        house.upstream.will(Reply::silence());
        let outcome = agent.enters(door, ASKING).await;
        assert!(outcome.refused("upstream_timeout").1.contains("first_byte_timeout"));
        assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    }
    assert_eq!(
        house.upstream.received().len(),
        2,
        "a request that timed out may be billed: it is not sent again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_nobody_serves_is_not_found_and_the_answer_says_which_are() {
    let house = House::new().await;
    let agent = house.agent().await;
    for model in
        ["llama-3", "scripted/llama-3", "scripted/", "else/gpt-4o", "GPT-4o", "orqen/other", " gpt-4o"]
    {
        let sent = json!({"model": model, "messages": []}).to_string();
        for door in DOORS {
            let outcome = agent.enters(door, sent.clone()).await;
            let (param, message) = outcome.refused("model_not_found");
            assert_eq!(param, "model");
            for known in [model, "gpt-*", "o*", "orqen/demo"] {
                assert!(message.contains(known), "{message}");
            }
        }
    }
    for sent in [r#"{"messages":[]}"#, r#"{"model":null,"messages":[]}"#, r#"{"model":"","messages":[]}"#] {
        for door in DOORS {
            assert_eq!(agent.enters(door, sent).await.refused("invalid_request_error").0, "model", "{sent}");
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_chat_request_is_refused_and_named() {
    let house = House::new().await;
    let agent = house.agent().await;
    let deep = format!("{{\"model\":\"gpt-4o\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for (sent, param) in [
        (&b""[..], ""),
        (b"{", ""),
        (b"[]", ""),
        (b"null", ""),
        (b"\"gpt-4o\"", ""),
        (b"{\"model\":\"gpt-4o\"} x", ""),
        (b"{\"model\":\"gpt-4o\",}", ""),
        (b"{'model':'gpt-4o'}", ""),
        (b"{\"model\":\"gpt-4o\",\"x\":01}", ""),
        (b"{\"model\":\"gpt-4o\",\"x\":NaN}", ""),
        (b"{\"model\":\"gpt-4o\",\"x\":\"\n\"}", ""),
        (b"{\"model\":\"gpt-4o\",\"x\":\"\xff\"}", ""),
        (b"\xef\xbb\xbf{\"model\":\"gpt-4o\"}", ""),
        (deep.as_bytes(), ""),
        (b"{\"model\":7}", "model"),
        (b"{\"model\":[\"gpt-4o\"]}", "model"),
        (b"{\"model\":\"gpt-4o\",\"stream\":\"true\"}", "stream"),
        (b"{\"model\":\"gpt-4o\",\"stream\":1}", "stream"),
        (b"{\"model\":\"gpt-4o\",\"stream_options\":[]}", "stream_options"),
        (b"{\"model\":\"gpt-4o\",\"functions\":{}}", "functions"),
        (b"{\"model\":\"gpt-4o\",\"function_call\":1}", "function_call"),
    ] {
        for door in DOORS {
            let outcome = agent.enters(door, sent.to_vec()).await;
            assert_eq!(
                outcome.refused("invalid_request_error").0,
                param,
                "{:?}",
                String::from_utf8_lossy(sent)
            );
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_declared_as_plain_json_is_not_read() {
    let house = House::new().await;
    let agent = house.agent().await;
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
    ] {
        let client = agent.rest().with(http::header::CONTENT_TYPE, media);
        client.send(http::Method::POST, CHAT, ASKING).await.refused(415, "unsupported_media_type");
    }
    for coding in ["gzip", "br", "identity, gzip"] {
        let client = agent.rest().with(http::header::CONTENT_ENCODING, coding);
        client.send(http::Method::POST, CHAT, ASKING).await.refused(415, "unsupported_media_type");
    }
    let mut odd = crate::chat::http_body(ASKING);
    odd.content_type = "text/plain".into();
    let status = agent.grpc().chat().create_raw_chat_completion(odd).await.unwrap_err();
    assert_eq!(refusal(&status).refused("unsupported_media_type").0, "content_type");
    assert!(house.upstream.received().is_empty());

    for media in ["application/json; charset=utf-8", "Application/JSON"] {
        agent
            .rest()
            .with(http::header::CONTENT_TYPE, media)
            .send(http::Method::POST, CHAT, ASKING)
            .await
            .success();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_bound_is_too_large_through_every_door() {
    let house = House::with(|settings| settings.variable("ORQEN_LIMITS__CHAT_BODY", "4096")).await;
    let agent = house.agent().await;
    let of = |length: usize| {
        let (start, end) = (r#"{"model":"gpt-4o","x":""#, r#""}"#);
        format!("{start}{}{end}", "a".repeat(length - start.len() - end.len()))
    };
    for door in DOORS {
        // Over gRPC it is the message that is measured: these bytes, and some twenty around them.
        agent.enters(door, of(4000)).await.headers();
        agent.enters(door, of(4097)).await.refused("request_too_large");
        agent.enters(door, of(100_000)).await.refused("request_too_large");
    }
    agent.posts(of(4096)).await.success();
    assert_eq!(house.upstream.received().len(), 3);
}
