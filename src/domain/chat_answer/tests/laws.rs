//! What holds for every answer.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;

const NAMES: [&str; 8] =
    ["a", "gone", "GONE", "gоne", "get_weather", "github_get", "q\"\\\u{1}", "web_search"];

fn lists() -> impl Strategy<Value = Toollist> {
    let names = || vec(select(vec!["a", "gone", "git*", "get_weather", "*_search", "*"]), 0..3);
    (prop::option::of(names()), names()).prop_map(|(allowed, denied)| list(allowed.as_deref(), &denied))
}

fn call() -> impl Strategy<Value = Value> {
    (select(NAMES.to_vec()), 0..6, select(vec!["", "{}", "{\"name\":\"gone\"}"])).prop_map(
        |(name, shape, arguments)| match shape {
            0 => json!({"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}),
            1 => json!({"function": {"arguments": arguments, "name": name}}),
            2 => json!({"type": "custom", "custom": {"name": name, "input": arguments}}),
            3 => json!({"name": name, "arguments": arguments}),
            4 => json!({"type": name}),
            _ => json!({"type": "hosted", "name": name}),
        },
    )
}

fn names_of(call: &Value) -> Vec<String> {
    let said = [&call["function"]["name"], &call["custom"]["name"], &call["name"], &call["type"]];
    let texts = said.into_iter().filter_map(Value::as_str);
    texts.filter(|name| !matches!(*name, "function" | "custom")).map(str::to_owned).collect()
}

fn passes(call: &Value, list: &Toollist) -> bool {
    names_of(call).iter().all(|name| list.permits(name))
}

/// An answer as it should be: the same, less the calls that go.
fn filtered(answer: &Value, list: &Toollist) -> Value {
    let mut left = answer.clone();
    for choice in left["choices"].as_array_mut().unwrap() {
        let message = choice["message"].as_object_mut().unwrap();
        let before = message.len();
        let mut some = false;
        if let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
            let all = calls.len();
            calls.retain(|call| passes(call, list));
            let (none_left, gone) = (calls.is_empty(), calls.len() < all);
            some |= !none_left;
            if none_left && gone {
                message.remove("tool_calls");
            }
        }
        match message.get("function_call").map(|call| passes(call, list)) {
            Some(true) => some = true,
            Some(false) => drop(message.remove("function_call")),
            None => {}
        }
        if message.len() < before && !some && choice["finish_reason"] == "tool_calls" {
            choice["finish_reason"] = json!("stop");
        }
    }
    left
}

fn answer() -> impl Strategy<Value = Value> {
    let others =
        vec(("[m-p]{1,2}", select(vec![json!(0.1), json!("tool_calls"), json!({"tool_calls": [1]})])), 0..3);
    let choice = (prop::option::of(vec(call(), 0..5)), prop::option::of(call()), others).prop_map(
        |(calls, function, others)| {
            let mut message = serde_json::Map::from_iter(others);
            calls.into_iter().for_each(|calls| drop(message.insert("tool_calls".into(), json!(calls))));
            function.into_iter().for_each(|call| drop(message.insert("function_call".into(), call)));
            json!({"message": message, "finish_reason": "tool_calls"})
        },
    );
    vec(choice, 0..3).prop_map(|choices| json!({"id": "x", "choices": choices}))
}

/// A call in a stream: its name in pieces, its arguments in pieces.
fn parts_of(number: usize, name: &str, cut: usize, arguments: &str) -> Vec<Value> {
    let at = (0..=name.len()).filter(|at| name.is_char_boundary(*at)).nth(cut).unwrap_or(name.len());
    let (one, other) = name.split_at(at);
    let mut parts = vec![
        json!({"index": number, "id": format!("call_{number}"), "function": {"name": one, "arguments": ""}}),
    ];
    if !other.is_empty() {
        parts.push(json!({"index": number, "function": {"name": other}}));
    }
    parts.extend(arguments.chars().map(|c| json!({"index": number, "function": {"arguments": c}})));
    parts
}

/// What a client makes of a stream: the calls by number, and the reason of the end.
fn gathered(texts: &[String]) -> (Vec<(String, String)>, Option<String>) {
    let (mut calls, mut reason): (Vec<(String, String)>, _) = (Vec::new(), None);
    for text in texts {
        let chunk: Value = serde_json::from_str(text).unwrap();
        let choice = &chunk["choices"][0];
        reason = choice["finish_reason"].as_str().map(str::to_owned).or(reason);
        for part in choice["delta"]["tool_calls"].as_array().unwrap_or(&Vec::new()) {
            let number = part["index"].as_u64().unwrap() as usize;
            assert!(number <= calls.len(), "numbers leave none out: {texts:?}");
            if number == calls.len() {
                calls.push(Default::default());
            }
            calls[number].0.push_str(part["function"]["name"].as_str().unwrap_or_default());
            calls[number].1.push_str(part["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    (calls, reason)
}

proptest! {
    #[test]
    fn what_is_left_is_the_same_document_less_the_calls(answer in answer(), list in lists()) {
        let Some(mut guard) = AnswerGuard::new(&list, ToolMode::Filter) else { return Ok(()) };
        let left = guard.whole(Bytes::from(answer.to_string())).unwrap();
        let left: Value = serde_json::from_slice(&left).unwrap();
        prop_assert_eq!(left, filtered(&answer, &list));
    }

    #[test]
    fn a_stream_gives_a_client_the_calls_that_pass_however_they_are_mixed(
        all in vec((select(NAMES.to_vec()), 0_usize..4, "[{}x]{0,3}", any::<bool>()), 0..4),
        list in lists(),
        seed in any::<u64>(),
    ) {
        let Some(guard) = AnswerGuard::new(&list, ToolMode::Filter) else { return Ok(()) };
        let mut queues: Vec<_> = all.iter().enumerate()
            .map(|(number, (name, cut, arguments, _))| std::collections::VecDeque::from(parts_of(number, name, *cut, &format!("{arguments}."))))
            .collect();
        // The first parts in order, or the client cannot tell the order; then by lot.
        let mut order: Vec<Value> = queues.iter_mut().filter_map(|queue| queue.pop_front()).collect();
        let mut seed = seed;
        // Names before arguments, as every provider has it; the pieces of all names may be mixed.
        while let Some(most) = queues.iter().map(|queue| queue.front().is_some_and(|part| part["function"]["name"].is_string())).position(|named| named) {
            order.extend(queues[most].pop_front());
        }
        while queues.iter().any(|queue| !queue.is_empty()) {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let place = (seed >> 33) as usize % queues.len();
            order.extend(queues[place].pop_front());
        }
        let mut texts: Vec<String> = order.iter().map(|part| parts(&part.to_string())).collect();
        texts.push(finish("tool_calls"));
        let left = streamed(guard, &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        // A piece of a name that is denied by itself takes the call with it: see `a_name_in_pieces…`.
        let pieces = |name: &str, cut: usize| parts_of(0, name, cut, "").iter().filter_map(|part| part["function"]["name"].as_str().map(str::to_owned)).collect::<Vec<_>>();
        let expected: Vec<(String, String)> = all.iter()
            .filter(|(name, cut, ..)| list.permits(name) && pieces(name, *cut).iter().all(|piece| piece.is_empty() || !list.denies(piece)))
            .map(|(name, _, arguments, _)| ((*name).to_owned(), format!("{arguments}.")))
            .collect();
        let reason = if expected.is_empty() && !all.is_empty() { "stop" } else { "tool_calls" };
        let (mut calls, told) = gathered(&left);
        let mut expected = expected;
        calls.sort();
        expected.sort();
        prop_assert_eq!(calls, expected);
        prop_assert_eq!(told.as_deref(), Some(reason));
    }

    #[test]
    fn anything_at_all_is_read_without_a_panic(json in "[\\[\\]{}\":,a-z_0-9 ]{0,60}") {
        let _ = denying().whole(Bytes::from(json));
    }

    #[test]
    fn nothing_is_called_where_neither_the_word_nor_an_escape_stands(
        text in "[cCaAlL\\\\ux ]{0,40}",
    ) {
        let lower = text.to_ascii_lowercase();
        prop_assert_eq!(calls_nothing(text.as_bytes()), !lower.contains("call") && !text.contains("\\u"));
    }
}
