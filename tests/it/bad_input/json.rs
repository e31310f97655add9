//! Bodies that are no JSON, or JSON that says two things, at every route that takes a body.

use bytes::Bytes;

use crate::bad_input::{World, body_routes, is_raw, refused};

/// Bodies that no route takes.
fn bad_bodies() -> Vec<(String, Bytes)> {
    let texts = [
        "{",
        "}",
        "{\"name\"",
        "{\"name\":",
        "{\"name\": \"x\"",
        "{\"name\": \"x\",}",
        "{\"name\": \"x\"} x",
        "{\"name\": \"x\"}{\"name\": \"x\"}",
        "{'name': 'x'}",
        "{name: \"x\"}",
        "nul",
        "True",
        "NaN",
        "[]",
        "[{\"name\": \"x\"}]",
        "\"name\"",
        "1",
        "null",
        "true",
        "// x",
        "{\"a\": 01}",
        "{\"a\": .5}",
        "{\"a\": +1}",
        "{\"a\": 1e}",
        "{\"a\": \"\\x\"}",
        "{\"a\": \"\\u12\"}",
        "{\"a\": \"\n\"}",
        "{\"a\": \"\u{0}\"}",
        "\u{feff}{\"name\": \"x\"}",
        "{\"tools\": [], \"tools\": []}",
        "{\"name\": 1, \"n\\u0061me\": 2, \"tools\": [], \"tools\": []}",
    ];
    let mut bodies: Vec<(String, Bytes)> =
        texts.iter().map(|text| ((*text).to_owned(), Bytes::from(*text))).collect();
    let deep = |open: &str, count: usize| Bytes::from(format!("{{\"x\": {}", open.repeat(count)));
    let closed = format!("{{\"x\": {}{}}}", "[".repeat(200), "]".repeat(200));
    bodies.extend([
        ("a string that is not UTF-8".to_owned(), Bytes::from_static(b"{\"name\": \"\xff\xfe\"}")),
        ("a member that is not UTF-8".to_owned(), Bytes::from_static(b"{\"\xc3\x28\": 1}")),
        ("overlong UTF-8".to_owned(), Bytes::from_static(b"{\"name\": \"\xc0\xaf\"}")),
        ("a surrogate in UTF-8".to_owned(), Bytes::from_static(b"{\"name\": \"\xed\xa0\x80\"}")),
        ("UTF-16".to_owned(), Bytes::from_static(b"\xff\xfe{\0}\0")),
        ("nothing but zeroes".to_owned(), Bytes::from(vec![0; 1000])),
        ("arrays 100,000 deep".to_owned(), deep("[", 100_000)),
        ("objects 100,000 deep".to_owned(), deep("{\"x\":", 100_000)),
        ("arrays 200 deep, closed".to_owned(), Bytes::from(closed)),
    ]);
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_object_is_refused_at_every_route() {
    let world = World::new().await;
    for (method, route) in body_routes() {
        let path = route.filled(&world.subject(&method).await);
        for (what, body) in bad_bodies() {
            let answer = world.rest(&method).send(route.verb.clone(), &path, body).await;
            refused(&answer, 400, "invalid_request_error", &format!("{} {path}: {what}", route.verb));
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cut_of_a_good_body_is_refused() {
    let world = World::new().await;
    let body = "{\"name\": \"k\\u00e9y\", \"allowed_tools\": [\"a\", \"b\"], \"rate_limit_rpm\": 5}";
    for end in 1..body.len() {
        let cut = Bytes::from(body[..end].to_owned());
        let answer = world.operator_rest().send(http::Method::POST, "/v1/keys", cut).await;
        refused(&answer, 400, "invalid_request_error", &body[..end]);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_there_twice_is_refused_at_every_account_route() {
    let world = World::new().await;
    for (method, route) in body_routes() {
        if is_raw(&method) {
            continue;
        }
        let path = route.filled(&world.subject(&method).await);
        let mask = method.descriptor.input().get_field_by_name("update_mask");
        let named = |name: &str| route.path.contains(&format!("{{{name}}}"));
        for field in method.descriptor.input().fields().filter(|field| Some(field) != mask.as_ref()) {
            if named(field.name()) {
                continue;
            }
            let name = field.name();
            let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
            for twin in [name, escaped.as_str()] {
                let body = format!("{{\"{name}\": null, \"{twin}\": null}}");
                let answer = world.rest(&method).send(route.verb.clone(), &path, body.clone()).await;
                let error = refused(&answer, 400, "invalid_request_error", &format!("{path}: {body}"));
                assert_eq!(error["param"], name, "{body}");
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_surrogate_is_refused_wherever_a_name_is_read() {
    let world = World::new().await;
    for body in ["{\"name\": \"\\ud800\"}", "{\"name\": \"\\udc00\\ud800\"}", "{\"\\ud800\": 1}"] {
        let answer = world.operator_rest().send(http::Method::POST, "/v1/keys", body).await;
        refused(&answer, 400, "invalid_request_error", body);
    }
    world.end().await;
}

impl World {
    fn operator_rest(&self) -> &crate::support::rest::Rest {
        use crate::support::actors::Caller;
        self.operator.rest()
    }
}
