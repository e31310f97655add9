//! Bytes that are no message, frames that are no frames, and values that no enum or time has, over gRPC and gRPC-Web.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, header};
use orqen::proto::v1;
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{FieldDescriptor, Kind};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::{
    bad_input::{World, for_operators},
    support::{
        actors::Caller,
        grpc_web::{self, GrpcWeb},
        rest::Rest,
        surface::{Method, methods},
        told::Told,
    },
};

/// The field in a wire type that it does not have.
fn mistyped(field: &FieldDescriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    match field.kind() {
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Double => {
            encode_key(field.number(), WireType::Varint, &mut bytes);
            encode_varint(1, &mut bytes);
        }
        _ => {
            encode_key(field.number(), WireType::LengthDelimited, &mut bytes);
            encode_varint(3, &mut bytes);
            bytes.extend_from_slice(b"abc");
        }
    }
    bytes
}

/// Bytes that are no message of this type.
fn bad_messages(method: &Method) -> Vec<(String, Vec<u8>)> {
    let mut bad = vec![
        ("a key without a value".to_owned(), vec![0x0a]),
        ("a length beyond the end".to_owned(), vec![0x0a, 0x7f, b'x']),
        ("field number 0".to_owned(), vec![0x00, 0x01]),
        ("wire type 7".to_owned(), vec![0x0f, 0x01]),
        ("a varint without an end".to_owned(), vec![0xff; 12]),
        ("groups without an end".to_owned(), vec![0x0b; 1000]),
        ("JSON".to_owned(), b"{\"name\": \"x\"}".to_vec()),
    ];
    for field in method.descriptor.input().fields() {
        bad.push((format!("{} in a wrong wire type", field.name()), mistyped(&field)));
        if field.kind() == Kind::String {
            let mut bytes = Vec::new();
            encode_key(field.number(), WireType::LengthDelimited, &mut bytes);
            bytes.extend_from_slice(b"\x02\xff\xfe");
            bad.push((format!("{} that is not UTF-8", field.name()), bytes));
        }
    }
    bad
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_invalid_arguments_at_every_method() {
    let world = World::new().await;
    for method in methods() {
        let grpc = if for_operators(&method) { world.operator.jwt_grpc() } else { world.operator.grpc() };
        for (what, bytes) in bad_messages(&method) {
            let bytes = Bytes::from(bytes);
            let by_grpc = grpc.call(&method.path(), bytes.clone()).await.expect_err(&what);
            let told = Told::by_grpc(&by_grpc);
            assert_eq!(told.code, "invalid_request_error", "{} {what}: {told:?}", method.name());
            let by_web =
                GrpcWeb::new(world.rest(&method)).call(&method.path(), bytes).await.expect_err(&what);
            assert_eq!(Told::by_grpc(&by_web), told, "{} {what}", method.name());
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_no_enum_or_time_has_are_named() {
    let world = World::new().await;
    let create = |change: fn(&mut v1::CreateKeyRequest)| {
        let mut request = v1::CreateKeyRequest { name: "x".into(), ..Default::default() };
        change(&mut request);
        request
    };
    for (request, param) in [
        (create(|request| request.tool_mode = 99), "tool_mode"),
        (create(|request| request.tool_mode = -1), "tool_mode"),
        (create(|request| request.scopes = Some(v1::ScopeList { values: vec![1, 99] })), "scopes[1]"),
        (create(|request| request.scopes = Some(v1::ScopeList { values: vec![0] })), "scopes[0]"),
        (
            create(|request| request.expires_at = Some(Timestamp { seconds: i64::MAX, nanos: 0 })),
            "expires_at",
        ),
        (
            create(|request| request.expires_at = Some(Timestamp { seconds: 1 << 31, nanos: -1 })),
            "expires_at",
        ),
        (
            create(|request| request.expires_at = Some(Timestamp { seconds: 1 << 31, nanos: i32::MAX })),
            "expires_at",
        ),
        (create(|request| request.rate_limit_rpm = Some(i64::MIN)), "rate_limit_rpm"),
        (create(|request| request.k_target_override = Some(i64::MAX)), "k_target_override"),
    ] {
        let status = world.operator.grpc().keys().create_key(request.clone()).await.unwrap_err();
        let told = Told::by_grpc(&status);
        assert_eq!(
            (told.code.as_str(), told.param.as_deref()),
            ("invalid_request_error", Some(param)),
            "{request:?}"
        );
        let bytes = request.encode_to_vec().into();
        let by_web =
            world.operator.grpc_web().call("/orqen.v1.KeyService/CreateKey", bytes).await.unwrap_err();
        assert_eq!(Told::by_grpc(&by_web), told);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_no_frames_are_refused() {
    let world = World::new().await;
    let path = "/orqen.v1.KeyService/CreateKey";
    let good = v1::CreateKeyRequest { name: "half".into(), ..Default::default() }.encode_to_vec();
    let whole = grpc_web::framed(&good);
    let mut compressed = whole.to_vec();
    compressed[0] = 1;
    let mut flags = whole.to_vec();
    flags[0] = 0x42;
    let mut longer = whole.to_vec();
    longer[4] += 1;
    for (what, body) in [
        ("nothing", Vec::new()),
        ("half a head", whole[..3].to_vec()),
        ("a head alone", whole[..5].to_vec()),
        ("half a message", whole[..whole.len() - 1].to_vec()),
        ("more than there is", longer),
        ("a compressed flag", compressed),
        ("unknown flags", flags),
        ("a length of 4 GiB", vec![0, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        let by_web = grpc_web::read(&world.operator.grpc_web().send(path, body.clone().into()).await);
        let by_grpc = framed_by_hand(&world.operator.rest().over_http2(), path, body.into()).await;
        for status in [by_web.map(|_| ()).unwrap_err(), by_grpc] {
            let expected =
                if what == "a length of 4 GiB" { "request_too_large" } else { "invalid_request_error" };
            assert_eq!(Told::by_grpc(&status).code, expected, "{what}: {status:?}");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_there_is_not_found() {
    let world = World::new().await;
    for path in [
        "/orqen.v1.KeyService/Nope",
        "/orqen.v1.Nope/ListKeys",
        "/nope",
        "/v1/keys",
        "/orqen.v2.KeyService/ListKeys",
    ] {
        let by_grpc = world.operator.grpc().call(path, Bytes::new()).await.unwrap_err();
        let by_web = world.operator.grpc_web().call(path, Bytes::new()).await.unwrap_err();
        for status in [by_grpc, by_web] {
            assert_eq!(Told::by_grpc(&status).code, "route_not_found", "{path}: {status:?}");
            assert_eq!(status.code(), Code::NotFound, "{path}: {status:?}");
            assert!(status.message().contains(path), "{status:?}");
        }
    }
    world.end().await;
}

/// A gRPC call whose body is what it is.
async fn framed_by_hand(rest: &Rest, path: &str, body: Bytes) -> Status {
    let rest = rest.with(header::CONTENT_TYPE, "application/grpc").with(header::TE, "trailers");
    let mut request = rest.request(Verb::POST, path);
    request.headers_mut().insert("grpc-encoding", HeaderValue::from_static("identity"));
    let body = http_body_util::BodyExt::boxed_unsync(http_body_util::Full::new(body));
    let (head, body) = rest.open(request.map(|()| body)).await.into_parts();
    let collected = http_body_util::BodyExt::collect(body).await.unwrap();
    let trailers: HeaderMap = collected.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(&trailers));
    status.expect("a call ends with a status")
}
