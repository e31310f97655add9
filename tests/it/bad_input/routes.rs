//! Paths, verbs and headers that do not fit: 404, 405 with `Allow`, 415, all with a body that says so.

use http::{HeaderMap, HeaderValue, Method as Verb, header};
use serde_json::json;

use crate::{
    bad_input::{World, body_routes, refused},
    support::{actors::Caller, surface::methods},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_no_route_is_a_404_with_a_body() {
    let world = World::new().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/keys/",
        "/v1/keys/a/b",
        "/v1/keys//toollist",
        "/V1/keys",
        "/v1/keys/../accounts",
        "/v1/keys%2f",
        "/v2/keys",
        "/orqen.v1.KeyService/ListKeys",
        "/favicon.ico",
        "/v1/keys/%ff",
        "//v1/keys",
    ] {
        for rest in
            [world.operator.rest(), &world.operator.rest().over_http2(), world.server.anonymous().rest()]
        {
            let answer = rest.get(path).await;
            let error = refused(&answer, 404, "route_not_found", path);
            assert_eq!(error["type"], "not_found_error");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_a_path_does_not_take_is_a_405_that_says_which_it_takes() {
    let world = World::new().await;
    let routes: Vec<_> = methods().into_iter().flat_map(|method| method.routes).collect();
    let verbs = [Verb::GET, Verb::POST, Verb::PUT, Verb::PATCH, Verb::DELETE, Verb::OPTIONS, Verb::TRACE];
    for path in routes.iter().map(|route| &route.path) {
        let takes: Vec<&Verb> =
            routes.iter().filter(|route| route.path == *path).map(|route| &route.verb).collect();
        for verb in verbs.iter().filter(|verb| !takes.contains(verb)) {
            let filled = path.replace("{key_id}", &world.id).replace("{account_id}", &world.id);
            let answer = world.operator.rest().send(verb.clone(), &filled, "").await;
            refused(&answer, 405, "method_not_allowed", &format!("{verb} {path}"));
            let mut allow: Vec<&str> = answer.header("allow").split(", ").collect();
            allow.retain(|verb| *verb != "HEAD");
            allow.sort_unstable();
            let mut expected: Vec<&str> = takes.iter().map(|verb| verb.as_str()).collect();
            expected.sort_unstable();
            assert_eq!(allow, expected, "{path}");
        }
    }
    for path in ["/healthz", "/readyz"] {
        for verb in [Verb::POST, Verb::PUT, Verb::DELETE] {
            let answer = world.server.anonymous().rest().send(verb, path, "").await;
            refused(&answer, 405, "method_not_allowed", path);
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_body() {
    let world = World::new().await;
    for path in ["/v1/keys", "/v1/account/me", "/v1/usage/summary", "/v1/models", "/healthz", "/readyz"] {
        let get = world.operator.rest().get(path).await;
        let head = world.operator.rest().send(Verb::HEAD, path, "").await;
        assert_eq!((head.status.as_u16(), get.status.as_u16()), (200, 200), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        let refused = world.server.anonymous().rest().send(Verb::HEAD, path, "").await;
        assert_eq!(refused.status.as_u16(), if path.starts_with("/v1") { 401 } else { 200 }, "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_declared_to_be_something_else_is_a_415_at_every_route() {
    let world = World::new().await;
    let bad = [
        (header::CONTENT_TYPE, "text/plain"),
        (header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
        (header::CONTENT_TYPE, "multipart/form-data; boundary=x"),
        (header::CONTENT_TYPE, "application/json; charset=iso-8859-1"),
        (header::CONTENT_TYPE, "application/jsonp"),
        (header::CONTENT_TYPE, "json"),
        (header::CONTENT_TYPE, ""),
        (header::CONTENT_ENCODING, "gzip"),
        (header::CONTENT_ENCODING, "identity, br"),
        (header::CONTENT_ENCODING, "GZIP"),
    ];
    for (method, route) in body_routes() {
        let path = route.filled(&world.subject(&method).await);
        for (name, value) in &bad {
            let rest = world.rest(&method).with(name.clone(), value);
            let answer = rest.send(route.verb.clone(), &path, "{\"name\": \"x\"}").await;
            refused(&answer, 415, "unsupported_media_type", &format!("{path} {name}: {value}"));
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_by_any_of_its_names_is_taken() {
    let world = World::new().await;
    let path = format!("/v1/keys/{}", world.id);
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
        "application/merge-patch+json",
    ] {
        let rest = world.operator.rest().with(header::CONTENT_TYPE, content_type);
        rest.patch(&path, &json!({})).await.success();
    }
    let request = world.operator.rest().request(Verb::PATCH, &path);
    let body = http_body_util::BodyExt::boxed_unsync(http_body_util::Full::new(bytes::Bytes::from("{}")));
    world.operator.rest().whole(request.map(|()| body)).await.success();
    let mut twice = HeaderMap::new();
    let token = format!("Bearer {}", world.server.first_key().unwrap());
    twice.insert(header::AUTHORIZATION, HeaderValue::from_str(&token).unwrap());
    for content_type in ["application/json", "text/plain"] {
        twice.append(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let answer = world.operator.rest().with_headers(twice).send(Verb::PATCH, &path, "{}").await;
    refused(&answer, 415, "unsupported_media_type", "two content types");
    world.end().await;
}
