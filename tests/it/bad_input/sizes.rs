//! Too much of anything: bodies over their bound, with a length and without, over every protocol; lists of 100,000
//! names; findings without number. The answer is the documented one, and short.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method as Verb, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use orqen::proto::v1;
use prost::Message;
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    bad_input::{World, body_routes, is_raw, refused},
    support::{
        actors::Caller,
        grpc_web::GrpcWeb,
        rest::{Answer, Rest},
        surface::methods,
        told::Told,
    },
};

/// The bounds that these tests set, so that nobody has to send 32 MiB to be refused.
const ACCOUNT: usize = 64 * 1024;
const CHAT: usize = 256 * 1024;

async fn small() -> World {
    World::with(|settings| settings.toml(&format!("[limits]\naccount_body = {ACCOUNT}\nchat_body = {CHAT}")))
        .await
}

/// A JSON object of exactly this many bytes.
fn padded(size: usize) -> Bytes {
    let empty = "{\"padding\":\"\"}".len();
    Bytes::from(format!("{{\"padding\":\"{}\"}}", "x".repeat(size - empty)))
}

/// Sends a body in pieces, without saying how long it is.
async fn in_pieces(rest: &Rest, verb: &Verb, path: &str, body: Bytes) -> Answer {
    let pieces: Vec<_> = body.chunks(4096).map(Bytes::copy_from_slice).collect();
    let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let mut request =
        rest.request(verb.clone(), path).map(|()| StreamBody::new(stream::iter(frames)).boxed_unsync());
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    rest.whole(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_bound_is_a_413_with_a_length_or_without() {
    let world = small().await;
    for (method, route) in body_routes() {
        let path = route.filled(&world.subject(&method).await);
        let bound = if is_raw(&method) { CHAT } else { ACCOUNT };
        for rest in [world.rest(&method), &world.rest(&method).over_http2()] {
            let large = rest.send(route.verb.clone(), &path, padded(bound + 1)).await;
            let error = refused(&large, 413, "request_too_large", &path);
            assert!(error["message"].as_str().unwrap().contains(&bound.to_string()), "{error}");
            let large = in_pieces(rest, &route.verb, &path, padded(bound + 1)).await;
            refused(&large, 413, "request_too_large", &path);
            for fits in [
                rest.send(route.verb.clone(), &path, padded(bound)).await,
                in_pieces(rest, &route.verb, &path, padded(bound)).await,
            ] {
                // No provider is there to take offence at what the explained request lacks.
                let status = if route.body_field.is_some() { 200 } else { 400 };
                assert_eq!(fits.status, status, "{path}: as large as it may be, and judged by what it says");
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_bound_is_resource_exhausted_over_grpc_and_grpc_web() {
    let world = small().await;
    for method in methods() {
        let bound = if method.name().starts_with("ChatService") { CHAT } else { ACCOUNT };
        // An unknown field of the right size: nothing but the size is wrong.
        let mut message = vec![0xfa, 0x7f];
        prost::encoding::encode_varint(bound as u64, &mut message);
        message.resize(message.len() + bound, 0);
        let operator = super::for_operators(&method);
        let grpc = if operator { world.operator.jwt_grpc() } else { world.operator.grpc() };
        let by_grpc = grpc.call(&method.path(), message.clone().into()).await.unwrap_err();
        assert_eq!(by_grpc.code(), Code::ResourceExhausted, "{}", method.name());
        assert_eq!(Told::by_grpc(&by_grpc).code, "request_too_large", "{}", method.name());
        let by_web =
            GrpcWeb::new(world.rest(&method)).call(&method.path(), message.into()).await.unwrap_err();
        assert_eq!(Told::by_grpc(&by_web), Told::by_grpc(&by_grpc), "{}", method.name());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_100_000_names_are_refused_at_a_bounded_length_over_every_protocol() {
    let world = World::with(|settings| settings.toml("[limits]\naccount_body = 4194304")).await;
    let good: Vec<String> = (0..100_000).map(|number| format!("tool_{number}")).collect();
    let empty = vec![String::new(); 100_000];
    let set = format!("/v1/keys/{}/toollist", world.id);
    for names in [good, empty] {
        for list in ["allowed_tools", "denied_tools"] {
            let body = json!({"name": "x", list: names});
            refused(&world.operator.rest().post("/v1/keys", &body).await, 400, "invalid_request_error", list);
            let body = json!({list: names});
            refused(&world.operator.rest().put(&set, &body).await, 400, "invalid_request_error", list);
        }
        let list = Some(v1::StringList { values: names });
        let create =
            v1::CreateKeyRequest { name: "x".into(), denied_tools: list.clone(), ..Default::default() };
        let set =
            v1::SetToollistRequest { key_id: world.id.clone(), allowed_tools: list, ..Default::default() };
        expect_refused(&world, "/orqen.v1.KeyService/CreateKey", create.encode_to_vec()).await;
        expect_refused(&world, "/orqen.v1.KeyService/SetToollist", set.encode_to_vec()).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_without_number_are_told_at_a_bounded_length() {
    let world = World::new().await;
    let scopes = json!({"name": "x", "scopes": vec!["root"; 50_000]});
    let tools = json!({"name": "x", "allowed_tools": vec![1; 50_000]});
    let unknown: Value =
        (0..50_000).map(|number| (format!("m{number}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let name = json!({"x".repeat(500_000): 1});
    for (body, left_out) in [(scopes, true), (tools, true), (unknown, true), (name, false)] {
        let answer = world.operator.create_key(body).await;
        let error = refused(&answer, 400, "invalid_request_error", "many findings");
        let message = error["message"].as_str().unwrap();
        // One more where the name is missing as well.
        let told = ["; and 49900 more", "; and 49901 more"].iter().any(|more| message.ends_with(more));
        assert_eq!(told, left_out, "{message}");
    }
    let scopes = v1::ScopeList { values: vec![99; 100_000] };
    let create = v1::CreateKeyRequest { name: "x".into(), scopes: Some(scopes), ..Default::default() };
    expect_refused(&world, "/orqen.v1.KeyService/CreateKey", create.encode_to_vec()).await;
    for path in ["x", &"long".repeat(1000)] {
        let mask = FieldMask { paths: vec![path.to_owned(); 100] };
        let update =
            v1::UpdateKeyRequest { key_id: world.id.clone(), update_mask: Some(mask), ..Default::default() };
        expect_refused(&world, "/orqen.v1.KeyService/UpdateKey", update.encode_to_vec()).await;
    }
    let find = v1::GetKeyRequest { key_id: "x".repeat(500_000) };
    let status = world.operator.grpc().keys().get_key(find).await.unwrap_err();
    assert_eq!(Told::by_grpc(&status).code, "key_not_found");
    let path = format!("/v1/keys/{}", "x".repeat(20_000));
    refused(&world.operator.rest().get(&path).await, 404, "key_not_found", "a long id");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_much_with_a_bad_key_still_reads_why_it_was_refused() {
    let world = World::new().await;
    let stranger = world.server.anonymous();
    for _ in 0..8 {
        for path in ["/v1/chat/completions", "/v1/keys"] {
            let answer = stranger.rest().send(Verb::POST, path, padded(4 * 1024 * 1024)).await;
            refused(&answer, 401, "invalid_api_key", path);
        }
        let message = Bytes::from(vec![0; 4 * 1024 * 1024]);
        let status = stranger.grpc_web().call("/orqen.v1.KeyService/CreateKey", message).await.unwrap_err();
        assert_eq!(Told::by_grpc(&status).code, "invalid_api_key");
        let answer = world.operator.rest().send(Verb::POST, "/v1/keys", padded(4 * 1024 * 1024)).await;
        refused(&answer, 413, "request_too_large", "/v1/keys");
    }
    world.end().await;
}

/// The same refusal over gRPC and gRPC-Web, in as many bytes as a client takes.
async fn expect_refused(world: &World, path: &str, message: Vec<u8>) {
    let by_grpc = world.operator.grpc().call(path, message.clone().into()).await.unwrap_err();
    assert_eq!(Told::by_grpc(&by_grpc).code, "invalid_request_error", "{path}");
    // gRPC's own advice: clients take 8 KiB of headers, and details are base64 in one of them.
    assert!(
        by_grpc.message().len() + by_grpc.details().len() * 4 / 3 <= 8 * 1024,
        "{path}: {}",
        by_grpc.details().len()
    );
    let by_web = world.operator.grpc_web().call(path, message.into()).await.unwrap_err();
    assert_eq!(Told::by_grpc(&by_web), Told::by_grpc(&by_grpc), "{path}");
}
