//! Laws: what is written is read back, nothing panics, and JSON is what others take for JSON.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::Engine as _;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::DynamicMessage;
use prost_types::Timestamp;
use tokio::runtime::{Builder, Runtime};

use super::Rest;
use crate::{
    proto::{POOL, v1},
    rest::{
        base64 as ours,
        json::{self, Json},
        names::Taken,
        refusal::Findings,
        request::BodyReader,
        response,
    },
};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// A message to JSON and back.
fn round_trip<M: Message + Default>(name: &str, message: &M) -> M {
    let of = POOL.get_message_by_name(name).unwrap();
    let dynamic = DynamicMessage::decode(of.clone(), message.encode_to_vec().as_slice()).unwrap();
    let text = response::text(&dynamic, None);
    let mut findings = Findings::default();
    let Json::Object(members) = json::parse(&text, 128, &mut findings).unwrap() else { panic!("no object") };
    let mut back = DynamicMessage::new(of);
    BodyReader::new(&mut findings).fill(&mut back, &members, &Taken::NOTHING);
    findings.into_result().unwrap();
    M::decode(back.encode_to_vec().as_slice()).unwrap()
}

prop_compose! {
    fn times()(seconds in -62_135_596_800_i64..253_402_300_800, nanos in prop_oneof![Just(0), 0..1_000_000_000_i32])
        -> Timestamp { Timestamp { seconds, nanos } }
}

prop_compose! {
    fn lists()(values in prop::collection::vec(any::<String>(), 0..4)) -> v1::StringList { v1::StringList { values } }
}

prop_compose! {
    fn requests()(
        name in any::<String>(), expires_at in prop::option::of(times()),
        scopes in prop::option::of(prop::collection::vec(1..4_i32, 0..4)), rate_limit_rpm: Option<i64>,
        daily_token_budget: Option<i64>, allowed_tools in prop::option::of(lists()),
        denied_tools in prop::option::of(lists()), tool_mode in 0..4_i32,
    ) -> v1::CreateKeyRequest {
        let scopes = scopes.map(|values| v1::ScopeList { values });
        v1::CreateKeyRequest {
            name, expires_at, scopes, rate_limit_rpm, daily_token_budget, allowed_tools, denied_tools, tool_mode,
            ..v1::CreateKeyRequest::default()
        }
    }
}

/// JSON, and what is nearly JSON.
fn json_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\u"),
        Just("\\"),
        Just("d83d"),
        Just("\\ude00"),
        Just("1"),
        Just("0"),
        Just("-"),
        Just("."),
        Just("e"),
        Just("null"),
        Just("true"),
        Just(" "),
        Just("\n"),
        Just("\"a\""),
        Just("\"name\":"),
        Just("é"),
        Just("\u{0}"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn tree(value: &Json<'_>) -> Option<serde_json::Value> {
    Some(match value {
        Json::Null => serde_json::Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(text) => serde_json::from_str(text).ok()?,
        Json::String(text) => text.clone().into_owned().into(),
        Json::Array(entries) => serde_json::Value::Array(entries.iter().map(tree).collect::<Option<_>>()?),
        Json::Object(members) => {
            let members: Option<BTreeMap<String, _>> =
                members.iter().map(|(name, value)| Some((name.clone().into_owned(), tree(value)?))).collect();
            serde_json::to_value(members?).ok()?
        }
    })
}

proptest! {
    #[test]
    fn requests_survive_the_round_trip(request in requests()) {
        prop_assert_eq!(round_trip("orqen.v1.CreateKeyRequest", &request), request);
    }

    #[test]
    fn keys_survive_the_round_trip(
        id: String, status in 0..5_i32, scopes in prop::collection::vec(1..4_i32, 0..4),
        allowed_tools in prop::option::of(lists()), created_at in prop::option::of(times()),
        value: Option<i64>, source in 0..3_i32, revision: i64,
    ) {
        let limits = Some(v1::KeyLimits { k_target: Some(v1::Limit { value, source }), ..v1::KeyLimits::default() });
        let key = v1::Key { id, status, scopes, allowed_tools, created_at, limits, revision, ..v1::Key::default() };
        prop_assert_eq!(round_trip("orqen.v1.Key", &key), key);
    }

    #[test]
    fn answers_are_json_for_others(key_id: String, values in prop::collection::vec(any::<String>(), 0..4)) {
        let key = v1::Key { id: key_id.clone(), allowed_tools: Some(v1::StringList { values: values.clone() }), ..v1::Key::default() };
        let of = POOL.get_message_by_name("orqen.v1.Key").unwrap();
        let dynamic = DynamicMessage::decode(of, key.encode_to_vec().as_slice()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&response::text(&dynamic, None)).unwrap();
        prop_assert_eq!(&read["id"], &serde_json::json!(key_id));
        prop_assert_eq!(&read["allowed_tools"], &serde_json::json!(values));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..256), text in json_like()) {
        let rest = Rest::orqen();
        for body in [body, text.into_bytes()] {
            let answer = RUNTIME.block_on(rest.json("PUT", "/v1/keys/k/toollist", body));
            prop_assert!(matches!(answer.status, 200 | 400));
        }
    }

    #[test]
    fn arbitrary_paths_and_queries_never_panic(path in "[!-~]{0,40}", query in "[!-~]{0,60}") {
        let rest = Rest::orqen();
        for uri in [format!("/v1/keys/{path}"), format!("/v1/keys?{query}"), format!("/v1/keys?page_token={query}")] {
            if uri.parse::<http::Uri>().is_ok() {
                let answer = RUNTIME.block_on(rest.get(&uri));
                prop_assert!(matches!(answer.status, 200 | 400 | 404 | 405), "{} {}", uri, answer.status);
            }
        }
    }

    #[test]
    fn json_is_what_serde_json_takes_for_json(text in json_like()) {
        let mut findings = Findings::default();
        let ours = json::parse(text.as_bytes(), 100, &mut findings);
        let whole = findings.into_result().is_ok();
        match (ours, serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) if whole => prop_assert_eq!(tree(&ours), Some(theirs)),
            // Repeated members, which serde_json passes over.
            (Ok(_), Ok(_)) => {}
            (Err(_), Err(_)) => {}
            // Lone surrogates, or numbers beyond `f64`.
            (Ok(ours), Err(_)) => prop_assert!(!whole || tree(&ours).is_none()),
            (Err(error), Ok(_)) => prop_assert!(false, "{} refused: {}", text, error),
        }
    }

    #[test]
    fn base64_is_what_others_take_for_base64(bytes: Vec<u8>, text in "[A-Za-f0-3+/_=-]{0,9}") {
        let theirs = base64::prelude::BASE64_STANDARD.encode(&bytes);
        prop_assert_eq!(&ours::encode(&bytes), &theirs);
        prop_assert_eq!(ours::decode(&theirs), Some(bytes));
        if let Ok(decoded) = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(&text) {
            prop_assert_eq!(ours::decode(&text), Some(decoded));
        }
        if let Some(decoded) = ours::decode(&text) {
            let bare = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
            prop_assert_eq!(base64::prelude::BASE64_STANDARD_NO_PAD.decode(bare).ok(), Some(decoded));
        }
    }
}
