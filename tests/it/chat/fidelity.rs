//! Byte for byte: what Orqen does not have to change reaches the provider as the agent wrote it, and the agent as
//! the provider wrote it.

use http_body_util::BodyExt;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::Handle;

use crate::{
    chat::{
        COMPLETION, DOORS, House, Outcome,
        corpus::{CORPUS, STREAMED},
    },
    support::{actors::Agent, upstream::Reply},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_corpus_arrives_as_it_was_sent() {
    let house = House::new().await;
    let agent = house.agent().await;
    for door in DOORS {
        for (name, body) in CORPUS {
            let before = house.upstream.received().len();
            let outcome = agent.enters(door, *body).await;
            assert!(matches!(outcome, Outcome::Answered { .. }), "{name}, {door:?}: {outcome:?}");
            assert_eq!(house.upstream.received().len(), before + 1, "{name}, {door:?}");
            let received = house.upstream.last();
            assert_eq!(received.text(), *body, "{name}, {door:?}");
            assert_eq!(received.line, "POST /v1/chat/completions HTTP/1.1");
            assert_eq!(received.header("content-length"), Some(body.len().to_string().as_str()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_take_nothing_away_change_nothing() {
    let house = House::new().await;
    let allowing = house.agent_with(serde_json::json!({"allowed_tools": ["*"]})).await;
    let denying = house.denied(&["no_such_tool", "github_*"]).await;
    for (name, body) in CORPUS {
        for agent in [&allowing, &denying] {
            agent.posts(*body).await;
            assert_eq!(house.upstream.last().text(), *body, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_model_only_the_prefix_of_its_value_goes() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (sent, arrives) in [
        (r#"{"model":"scripted/gpt-4o","messages":[]}"#, r#"{"model":"gpt-4o","messages":[]}"#),
        (
            "{ \"seed\":1.0 ,\t\"model\" : \"scripted/gpt-4o\" , \"messages\":[{\"content\":\"scripted/gpt-4o\"}] }\n",
            "{ \"seed\":1.0 ,\t\"model\" : \"gpt-4o\" , \"messages\":[{\"content\":\"scripted/gpt-4o\"}] }\n",
        ),
        (
            r#"{"messages":[],"model":"scripted\/gpt-4o\u002dmini"}"#,
            r#"{"messages":[],"model":"gpt-4o-mini"}"#,
        ),
        (r#"{"model":"scripted/o\"q","messages":[]}"#, r#"{"model":"o\"q","messages":[]}"#),
        (r#"{"model":"gpt-a/b","messages":[]}"#, r#"{"model":"gpt-a/b","messages":[]}"#),
    ] {
        for door in DOORS {
            agent.enters(door, sent).await.headers();
            assert_eq!(house.upstream.last().text(), arrives, "{door:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_as_the_provider_wrote_it() {
    let house = House::new().await;
    let agent = house.agent().await;
    for door in DOORS {
        house.upstream.will(Reply::json(COMPLETION));
        let outcome = agent.enters(door, CORPUS[0].1).await;
        let Outcome::Answered { body, .. } = &outcome else { panic!("{outcome:?}") };
        assert_eq!(body, COMPLETION, "{door:?}");
    }
    house.upstream.will(Reply::json(COMPLETION));
    let answer = agent.posts(CORPUS[0].1).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("content-length"), COMPLETION.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_request_arrives_as_it_was_sent_and_its_pieces_as_they_come() {
    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let mut answer = agent.opens(STREAMED).await;
    assert_eq!(house.upstream.last().text(), STREAMED);
    assert_eq!(house.upstream.last().header("accept"), Some("text/event-stream"));
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");

    // No piece is sent before the one before it has arrived.
    for piece in ["data: {\"a\":\n", "data: 1}\n\n: note\r\n", "id: 7\r\n\r\ndata:[DONE]\n\n"] {
        stream.send(piece);
        let frame = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, piece);
    }
    stream.end();
    assert!(answer.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_too_a_piece_comes_before_the_next_is_sent() {
    use crate::{chat::http_body, support::actors::Caller};

    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let answer = agent.grpc().chat().create_raw_chat_completion(http_body(STREAMED)).await.unwrap();
    let mut pieces = answer.into_inner();
    for (place, piece) in ["data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"].into_iter().enumerate() {
        stream.send(piece);
        let message = pieces.message().await.unwrap().unwrap();
        assert_eq!(message.data, piece);
        assert_eq!(message.content_type, if place == 0 { "text/event-stream; charset=utf-8" } else { "" });
    }
    stream.end();
    assert!(pieces.message().await.unwrap().is_none());
}

/// JSON text in any of its spellings, `depth` levels at most.
fn spelled(depth: u32) -> BoxedStrategy<String> {
    let number = r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        number.prop_map(String::from),
        text().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        let member = (space(), text(), space(), inner.clone(), space());
        let member = member.prop_map(|(a, name, b, value, c)| format!("{a}\"{name}\"{b}:{value}{c}"));
        prop_oneof![
            prop::collection::vec((space(), inner, space()), 0..4).prop_map(|entries| {
                let entries: Vec<_> =
                    entries.into_iter().map(|(a, value, b)| format!("{a}{value}{b}")).collect();
                format!("[{}]", entries.join(","))
            }),
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
    .boxed()
}

fn space() -> BoxedStrategy<String> {
    "[ \t\r\n]{0,3}".boxed()
}

/// The inside of a JSON text.
fn text() -> BoxedStrategy<String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9_ ]{1,6}".prop_map(String::from),
        1 => r#"\\(["\\/bfnrt]|u[0-9a-cA-C][0-9a-fA-F]{3})"#.prop_map(String::from),
        1 => Just(r"\uD83D\ude00".to_owned()),
        1 => "[äß東\u{1F600}\u{200B}\u{7f}]".prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat()).boxed()
}

/// A request that has what decides once, and anything else besides.
fn request() -> impl Strategy<Value = String> {
    // The prefix keeps the names apart from those that decide, and from each other.
    let members = prop::collection::vec((space(), spelled(4), space()), 0..5);
    (members, spelled(3), space(), space()).prop_map(|(members, parameters, before, after)| {
        let others: String = members
            .into_iter()
            .enumerate()
            .map(|(i, (a, value, b))| format!(",{a}\"x{i}\"{b}:{value}"))
            .collect();
        format!(
            "{before}{{\"model\":\"gpt-4o\"{before},\"messages\":[{parameters}]{others},\"tools\":[{{\"type\":\
             \"function\",\"function\":{{\"name\":\"f\",\"parameters\":{parameters}}}{after}}}]}}{after}"
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_request_that_is_json_arrives_as_it_was_sent() {
    let house = House::new().await;
    let agent: Agent = house.agent().await;
    let runtime = Handle::current();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&request(), |body| {
            let answer = runtime.block_on(agent.posts(body.clone()));
            prop_assert_eq!(answer.status.as_u16(), 200, "{:?}", answer);
            let received = house.upstream.last();
            prop_assert_eq!(received.text(), body);
            Ok(())
        })
    });
    outcome.unwrap();
}
