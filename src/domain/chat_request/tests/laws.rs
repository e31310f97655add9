//! What holds for every request.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::*;

const NAMES: [&str; 8] =
    ["a", "b", "get_weather", "Get_Weather", "github_get", "é", "web_search", "q\"\\\u{1}"];

fn name() -> impl Strategy<Value = String> {
    select(NAMES.to_vec()).prop_map(str::to_owned)
}

fn tool() -> impl Strategy<Value = Value> {
    let filler =
        vec(("[x-z]{1,3}", select(vec![json!(1), json!("}],"), json!({"name": "a"}), json!([{}])])), 0..3);
    (name(), 0..7, filler).prop_map(|(name, shape, filler)| {
        let mut tool = match shape {
            0 => json!({"type": "function", "function": {"name": name, "parameters": {"name": "b"}}}),
            1 => json!({"type": "function", "name": name}),
            2 => json!({"function": {"name": name}}),
            3 => json!({"type": "custom", "custom": {"name": name}}),
            4 => json!({"name": name, "input_schema": {}}),
            5 => json!({"type": name}),
            _ => json!({"type": "hosted", "name": name}),
        };
        tool.as_object_mut().unwrap().extend(filler);
        tool
    })
}

/// What a tool is called, by any of its names.
fn names_of(tool: &Value) -> Vec<String> {
    let mut names = said_names(tool);
    let members = tool.as_object().unwrap().iter();
    let unknown = members.filter(|(name, value)| {
        !matches!(name.as_str(), "function" | "custom" | "input_schema")
            && (value.is_object() || value.is_array())
    });
    names.extend(unknown.map(|(name, _)| name.clone()));
    names
}

/// What it is called by the members that are there for it.
fn said_names(tool: &Value) -> Vec<String> {
    let texts = [&tool["function"]["name"], &tool["custom"]["name"], &tool["name"]];
    let mut names: Vec<String> = texts.iter().filter_map(|name| name.as_str()).map(str::to_owned).collect();
    match tool["type"].as_str() {
        Some("function" | "custom") | None => {}
        Some(kind) => names.push(kind.to_owned()),
    }
    names
}

/// A request, and the same with random white space.
fn request() -> impl Strategy<Value = (Value, String)> {
    let tools = || option::of(vec(tool(), 0..6));
    let functions = option::of(vec(name().prop_map(|name| json!({"name": name})), 0..4));
    let others = vec(("[m-p]{1,2}", select(vec![json!(0.1), json!("tools"), json!({"tools": []})])), 0..4);
    let choice = option::of(select(vec![json!("auto"), json!("none"), Value::Null]));
    (tools(), functions, others, choice, option::of(Just(json!({}))), any::<u64>()).prop_map(
        |(tools, functions, others, choice, search, seed)| {
            let mut root = Map::new();
            root.extend(others);
            tools.into_iter().for_each(|tools| drop(root.insert("tools".into(), json!(tools))));
            functions.into_iter().for_each(|list| drop(root.insert("functions".into(), json!(list))));
            choice.into_iter().for_each(|choice| drop(root.insert("tool_choice".into(), choice)));
            search.into_iter().for_each(|search| drop(root.insert("web_search_options".into(), search)));
            let value = Value::Object(root);
            let text = spaced(&value, seed);
            (value, text)
        },
    )
}

/// Writes a value with white space that depends on `seed`.
fn spaced(value: &Value, mut seed: u64) -> String {
    let (mut text, mut quoted, mut escaped) = (String::new(), false, false);
    for c in value.to_string().chars() {
        text.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '{' | '}' | '[' | ']' | ',' | ':' if !quoted => {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(["", "", " ", "\n\t"][(seed >> 62) as usize]);
            }
            _ => {}
        }
    }
    text
}

fn toollist() -> impl Strategy<Value = Toollist> {
    let entries =
        || option::of(vec(select(vec!["a", "b", "get_*", "GET_WEATHER", "É", "*s*", "q*", "hosted"]), 0..5));
    let owned = |list: Option<Vec<&str>>| list.map(|list| list.into_iter().map(str::to_owned).collect());
    (entries(), entries()).prop_map(move |(a, d)| Toollist::new(owned(a), owned(d)).unwrap())
}

/// What a request is after the lists, by way of a tree.
fn expected(mut value: Value, list: &Toollist) -> Value {
    let root = value.as_object_mut().unwrap();
    for (member, dependants) in
        [("tools", ["tool_choice", "parallel_tool_calls"]), ("functions", ["function_call", ""])]
    {
        let Some(tools) = root.get_mut(member).and_then(Value::as_array_mut) else { continue };
        let before = tools.len();
        tools.retain(|tool| names_of(tool).iter().all(|name| list.permits(name)));
        if tools.is_empty() && before > 0 {
            root.remove(member);
            dependants.iter().for_each(|dependant| drop(root.remove(*dependant)));
        }
    }
    if !list.permits("web_search") {
        root.remove("web_search_options");
    }
    value
}

/// Whether `part` comes out of `whole` by leaving bytes out.
fn is_less(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|byte| whole.any(|other| other == byte))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn what_is_sent_is_the_same_document_less_the_removed_tools((value, body) in request(), list in toollist()) {
        let permitted = permit(&body, &list, ToolMode::Filter).unwrap();
        let prepared = permitted.keep(&Selection::All, None);
        let sent: Value = serde_json::from_slice(prepared.body()).unwrap();
        prop_assert_eq!(&sent, &expected(value, &list));
        prop_assert!(is_less(prepared.body(), body.as_bytes()), "bytes are only left out");
        let tally = prepared.tally();
        prop_assert_eq!(tally.input, tally.denied + tally.output);
        // What was sent has nothing left to remove, and reads the same again.
        let again = permit(&text(&prepared), &list, ToolMode::Block).unwrap();
        prop_assert_eq!(again.tally().denied, 0);
        let again = again.keep(&Selection::All, None);
        prop_assert_eq!(again.body(), prepared.body());
    }

    #[test]
    fn no_selection_brings_a_denied_tool_back(
        (_, body) in request(), list in toollist(), places in vec(0..12_usize, 0..8)
    ) {
        let permitted = permit(&body, &list, ToolMode::Filter).unwrap();
        let offered: Vec<_> = permitted.tools().iter().map(|tool| (tool.name.to_owned(), tool.json.to_vec())).collect();
        for (name, _) in &offered {
            prop_assert!(list.permits(name));
        }
        let prepared = permitted.keep(&Selection::Only(places.clone()), None);
        let sent: Value = serde_json::from_slice(prepared.body()).unwrap();
        let left: Vec<_> = ["tools", "functions"].iter().filter_map(|list| sent[list].as_array()).flatten().collect();
        let chosen: Vec<Value> = (0..offered.len())
            .filter(|place| places.contains(place))
            .map(|place| serde_json::from_slice(&offered[place].1).unwrap())
            .collect();
        prop_assert_eq!(left, chosen.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_model_is_the_only_change_when_it_is_the_only_one((value, body) in request(), model in any::<String>()) {
        let prepared = permit(&body, &Toollist::unbound(), ToolMode::Filter).unwrap().keep(&Selection::All, Some(&model));
        let mut sent: Value = serde_json::from_slice(prepared.body()).unwrap();
        let written = sent.as_object_mut().unwrap().remove("model");
        prop_assert_eq!(written, Some(Value::String(model)));
        prop_assert_eq!(sent, value);
    }

    #[test]
    fn a_mutated_request_is_taken_only_when_it_is_json(
        (_, body) in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(), kind in 0..3, list in toollist()
    ) {
        let mut body = body.into_bytes();
        let original = body.clone();
        let at = at.index(body.len());
        match kind {
            0 => body[at] = byte,
            1 => drop(body.remove(at)),
            _ => body.insert(at, byte),
        }
        let json = serde_json::from_slice::<Value>(&body);
        let arrays = ToolArrays::eager();
        let familiar = Familiar { arrays: &arrays, owner: uuid::Uuid::from_u128(1), keeps: true };
        let _ = ChatRequest::parse_familiar(Bytes::from(original), &BOUNDS, familiar);
        let known = ChatRequest::parse_familiar(Bytes::copy_from_slice(&body), &BOUNDS, familiar);
        let read = ChatRequest::parse(Bytes::from(body), &BOUNDS);
        prop_assert_eq!(known.as_ref().err(), read.as_ref().err());
        if let (Ok(known), Ok(read)) = (known, &read) {
            let prepared = |request: ChatRequest| request.permit(&list, ToolMode::Filter, &[]).map(|request| request.keep(&Selection::All, None));
            let (known, read) = (prepared(known), prepared(ChatRequest::parse(read.body.clone(), &BOUNDS).unwrap()));
            prop_assert_eq!(known.as_ref().err(), read.as_ref().err());
            if let (Ok(known), Ok(read)) = (known, read) {
                prop_assert_eq!(known.body(), read.body());
                prop_assert_eq!(definitions(known.removed_by_lists()), definitions(read.removed_by_lists()));
            }
        }
        match read {
            Ok(request) => {
                prop_assert!(json.is_ok_and(|json| json.is_object()));
                let prepared = request.permit(&Toollist::unbound(), ToolMode::Filter, &[]).unwrap();
                drop(prepared.keep(&Selection::All, Some("m")));
            }
            // What is no JSON has no path; what is refused as a request has one, and was JSON up to there.
            Err(malformed) => prop_assert!(json.is_err() || malformed.param.is_some() || !json.unwrap().is_object()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in vec(any::<u8>(), 0..64), list in toollist()) {
        if let Ok(request) = ChatRequest::parse(Bytes::from(body), &BOUNDS) {
            drop(request.permit(&list, ToolMode::Filter, &[]).map(|request| request.keep(&Selection::All, Some("m"))));
        }
    }

    #[test]
    fn no_choice_of_any_shape_leaves_a_denied_name(
        tools in vec(tool(), 0..4), forced in tool(), entries in vec(tool(), 0..4), form in 0..4, required in any::<bool>(),
        list in toollist()
    ) {
        let mode = if required { "required" } else { "auto" };
        let choice = match form {
            0 => json!({"type": "allowed_tools", "mode": mode, "tools": entries}),
            1 => json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": entries}}),
            2 => json!(mode),
            _ => forced,
        };
        let body = json!({"tools": tools, "tool_choice": choice}).to_string();
        if let Ok(permitted) = permit(&body, &list, ToolMode::Filter) {
            let prepared = permitted.keep(&Selection::All, None);
            let sent: Value = serde_json::from_slice(prepared.body()).unwrap();
            let choice = &sent["tool_choice"];
            let named = [&choice["tools"], &choice["allowed_tools"]["tools"]];
            let listed = named.into_iter().filter_map(Value::as_array).flatten();
            let forced = (form == 3 && choice.is_object()).then_some(choice);
            for tool in sent["tools"].as_array().into_iter().flatten().chain(listed) {
                prop_assert!(names_of(tool).iter().all(|name| list.permits(name)), "{sent}");
            }
            for name in forced.map(said_names).unwrap_or_default() {
                prop_assert!(list.permits(&name), "{sent}");
            }
            let still_required = choice == "required" || named.iter().any(|_| choice["mode"] == "required");
            prop_assert!(!still_required || sent["tools"].as_array().is_some_and(|left| !left.is_empty() || tools.is_empty()));
        }
    }
}
