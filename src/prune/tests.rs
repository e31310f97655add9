//! The pruner as `chat` uses it: what it keeps, what it never loses, and that nothing that goes wrong in it matters.

mod explaining;

use std::{fmt::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::domain::{
    chat_request::{Bounds, ChatRequest, PreparedRequest},
    key::ToolMode,
    tool_health::FindingKind,
    toollist::Toollist,
};

const SETTINGS: Settings = Settings {
    least_tools: 20,
    least_tokens: 500,
    scoring_budget: None,
    indexing_budget: None,
    learning_share: 0.0,
    pins: true,
    cache_bytes: 64 * 1024 * 1024,
    conversations: 1000,
    depth: 128,
};

const ASK: Ask<'static> = Ask {
    account: AccountId(Uuid::from_u128(1)),
    key: None,
    mode: PruneMode::Safe,
    least: 0,
    session: None,
    now: DateTime::UNIX_EPOCH,
};

/// What the tools of a large agent are called, each with what it does.
const SUBJECTS: [(&str, &str); 12] = [
    ("weather_forecast", "the weather forecast of a city"),
    ("calendar_event", "an event in the user's calendar"),
    ("invoice", "an invoice of a customer"),
    ("playlist", "a playlist of songs"),
    ("pull_request", "a pull request of a repository"),
    ("flight_booking", "a booking of a flight"),
    ("hotel_room", "a room in a hotel"),
    ("database_backup", "a backup of the database"),
    ("blog_article", "an article of the blog"),
    ("support_ticket", "a ticket of the help desk"),
    ("warehouse_stock", "the stock of a warehouse"),
    ("thermostat", "a thermostat in the house"),
];
const VERBS: [(&str, &str); 6] = [
    ("get", "Reads"),
    ("list", "Lists every one like"),
    ("create", "Makes"),
    ("update", "Changes"),
    ("delete", "Deletes"),
    ("export", "Writes to a file"),
];

fn tool(name: &str, description: &str) -> String {
    format!(
        r#"{{"type":"function","function":{{"name":"{name}","description":"{description}. It answers with an object that has its id, when it was made and by whom.","parameters":{{"type":"object","properties":{{"id":{{"type":"string","description":"Which one it is"}},"note":{{"type":"string","description":"What to remember about it"}}}},"required":["id"]}}}}}}"#
    )
}

fn tools() -> Vec<String> {
    SUBJECTS
        .iter()
        .flat_map(|(subject, what)| {
            VERBS
                .iter()
                .map(move |(verb, does)| tool(&format!("{verb}_{subject}"), &format!("{does} {what}")))
        })
        .collect()
}

fn message(role: &str, text: &str) -> String {
    serde_json::json!({"role": role, "content": text}).to_string()
}

fn body(messages: &[String], tools: &[String], more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{}],"tools":[{}]{more}}}"#, messages.join(","), tools.join(","))
}

fn permitted(body: &str, list: &Toollist) -> PermittedRequest {
    ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()), &Bounds { depth: 128 })
        .unwrap_or_else(|malformed| panic!("{malformed}"))
        .permit(list, ToolMode::Filter, &[])
        .unwrap()
}

fn asked(text: &str) -> String {
    body(&[message("user", text)], &tools(), "")
}

fn names(prepared: &PreparedRequest) -> Vec<String> {
    let sent: serde_json::Value = serde_json::from_slice(prepared.body()).unwrap();
    let tools = sent["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

/// What goes on of `body`, and why everything does where it does.
fn chosen(pruner: &Pruner, body: &str, ask: &Ask<'_>) -> (Vec<String>, Option<Skipped>) {
    let permitted = permitted(body, &Toollist::unbound());
    let choice = pruner.choose(&permitted, ask);
    (names(&permitted.keep(&choice.selection, None)), choice.skipped)
}

#[test]
fn a_turn_keeps_what_it_needs_in_the_clients_order_and_loses_most() {
    let pruner = Pruner::new(SETTINGS);
    for (text, needed) in [
        ("What will the weather be like in Oslo tomorrow?", "get_weather_forecast"),
        ("Erase the backup of our database from last week", "delete_database_backup"),
        ("Bitte sag mir das Wetter in Bergen", "get_weather_forecast"),
        ("오슬로 날씨 알려줘", "get_weather_forecast"),
        ("put a meeting with Ana into my calendar", "create_calendar_event"),
    ] {
        let (kept, skipped) = chosen(&pruner, &asked(text), &ASK);
        assert!(kept.iter().any(|name| name == needed), "{text}: {kept:?}");
        assert!(kept.len() < 60 && skipped.is_none(), "{text}: {} tools", kept.len());
        let order: Vec<String> =
            names(&permitted(&asked(text), &Toollist::unbound()).keep(&Selection::All, None));
        let places: Vec<_> = kept.iter().map(|name| order.iter().position(|other| other == name)).collect();
        assert!(places.is_sorted(), "{kept:?}");
    }
}

#[test]
fn meaning_adds_to_what_words_choose_and_takes_nothing_away() {
    let body = asked("Book me a hotel room, and mind the invoice");
    let request = permitted(&body, &Toollist::unbound());
    let by_words = Pruner::new(SETTINGS).choose(&request, &ASK);
    let kept = |choice: &Choice| match &choice.selection {
        Selection::Only(places) => places.clone(),
        other => panic!("{other:?}"),
    };
    let words = kept(&by_words);
    let tools = request.tools().len();
    let far: Vec<usize> = (0..tools).filter(|place| !words.contains(place)).take(2).collect();
    let vectors = |tools: usize| -> Vec<[f32; 2]> {
        (0..tools).map(|place| if far.contains(&place) { [1.0, 0.0] } else { [0.0, 1.0] }).collect()
    };
    let likeness = Likeness::new(&[1.0, 0.0], &vectors(tools)).unwrap();
    let pruner = Pruner::new(SETTINGS);
    let by_meaning = pruner.choose_by(&request, &ASK, Some(&likeness));
    assert_eq!(by_meaning.routing, Some(Routing::Semantic));
    let both = kept(&by_meaning);
    assert!(words.iter().chain(&far).all(|place| both.contains(place)) && both.len() <= words.len() + 3);
    let of_others = Likeness::new(&[1.0, 0.0], &vectors(tools - 1));
    let choice = Pruner::new(SETTINGS).choose_by(&request, &ASK, of_others.as_ref());
    assert_eq!((choice.routing, kept(&choice)), (Some(Routing::Keyword), words));
    assert!(pruner.choose(&request, &ASK).routing == Some(Routing::Keyword), "the vectors are gone");
    assert_eq!(kept(&pruner.choose(&request, &ASK)), both, "and the conversation keeps its tools");
    for (ask, body) in [
        (Ask { mode: PruneMode::Off, ..ASK }, body.clone()),
        (ASK, body.replace(r#""model""#, r#""tool_choice":"none","model""#)),
    ] {
        assert!(pruner.question(&permitted(&body, &Toollist::unbound()), &ask).is_none());
    }
}

#[test]
fn the_same_request_and_state_give_the_same_bytes() {
    let body = asked("Book me a hotel and a flight, and mind the invoice");
    let send = || {
        let permitted = permitted(&body, &Toollist::unbound());
        let choice = Pruner::new(SETTINGS).choose(&permitted, &ASK);
        permitted.keep(&choice.selection, None).body().clone()
    };
    assert_eq!(send(), send());
}

#[test]
fn what_is_named_called_or_forced_always_stays() {
    let pruner = Pruner::new(SETTINGS);
    let named = asked("What about the weather in Oslo? And run export_thermostat.");
    assert!(chosen(&pruner, &named, &ASK).0.contains(&"export_thermostat".to_owned()));

    let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"update_playlist","arguments":"{}"}}]}"#;
    let mut messages = vec![message("user", "Fix my songs"), call.to_owned()];
    messages.push(r#"{"role":"tool","tool_call_id":"c","content":"done"}"#.to_owned());
    messages.extend((0..200).map(|turn| message("user", &format!("and the weather, for the {turn}th time"))));
    assert!(chosen(&pruner, &body(&messages, &tools(), ""), &ASK).0.contains(&"update_playlist".to_owned()));

    let messages = [message("user", "the weather in Oslo")];
    let forced = r#","tool_choice":{"type":"function","function":{"name":"delete_invoice"}}"#;
    let (kept, skipped) = chosen(&pruner, &body(&messages, &tools(), forced), &ASK);
    assert_eq!((kept.len(), skipped), (72, Some(Skipped::Forced)));
    let (kept, skipped) = chosen(&pruner, &body(&messages, &tools(), r#","tool_choice":"none""#), &ASK);
    assert_eq!((kept.len(), skipped), (72, Some(Skipped::Forced)));
    let listed = r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"delete_invoice"}}]}}"#;
    assert!(
        chosen(&pruner, &body(&messages, &tools(), listed), &ASK).0.contains(&"delete_invoice".to_owned())
    );
}

#[test]
fn what_is_not_worth_pruning_is_left_alone_and_says_why() {
    let pruner = Pruner::new(SETTINGS);
    let weather = [message("user", "the weather in Oslo")];
    let few = body(&weather, &tools()[..12], "");
    assert_eq!(chosen(&pruner, &few, &ASK).1, Some(Skipped::SmallToolset));
    let off = Ask { mode: PruneMode::Off, ..ASK };
    assert_eq!(chosen(&pruner, &asked("the weather"), &off).1, Some(Skipped::Off));
    assert_eq!(chosen(&pruner, &asked("zzz"), &ASK).1, Some(Skipped::NoEvidence));
    let image = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,"}}]}"#.to_owned();
    assert_eq!(chosen(&pruner, &body(&[image], &tools(), ""), &ASK).1, Some(Skipped::NoEvidence));
    let nothing = permitted(&body(&weather, &[], ""), &Toollist::unbound());
    let choice = pruner.choose(&nothing, &ASK);
    assert_eq!((choice.routing, choice.skipped), (None, None));
    let all = Pruner::new(Settings { learning_share: 1.0, ..SETTINGS });
    assert_eq!(chosen(&all, &asked("the weather"), &ASK).1, Some(Skipped::Learning));
}

#[test]
fn the_least_number_of_tools_is_kept() {
    let pruner = Pruner::new(SETTINGS);
    let ask = Ask { least: 60, ..ASK };
    assert!(chosen(&pruner, &asked("the weather in Oslo"), &ask).0.len() >= 60);
}

#[test]
fn a_conversation_keeps_its_tools_and_its_set_only_grows() {
    let pruner = Pruner::new(SETTINGS);
    let mut messages = vec![message("user", "What is the weather in Oslo?")];
    let first = chosen(&pruner, &body(&messages, &tools(), ""), &ASK).0;
    messages.push(message("assistant", "It rains."));
    messages.push(message("user", "And the weather in Bergen?"));
    assert_eq!(chosen(&pruner, &body(&messages, &tools(), ""), &ASK).0, first, "the prompt cache stays good");
    messages.push(message("assistant", "It rains too."));
    messages.push(message("user", "Then cancel my invoice and delete the playlist"));
    let later = chosen(&pruner, &body(&messages, &tools(), ""), &ASK).0;
    assert!(later.contains(&"delete_playlist".to_owned()));
    assert!(first.iter().all(|name| later.contains(name)));
    let other = Ask { session: Some("another"), ..ASK };
    assert!(chosen(&pruner, &body(&messages, &tools(), ""), &other).0.len() < later.len());
}

#[test]
fn a_missed_tool_is_counted_and_joins_the_conversation_at_once() {
    let pruner = Pruner::new(SETTINGS);
    let body = asked("What is the weather in Oslo?");
    let permitted = permitted(&body, &Toollist::unbound());
    let choice = pruner.choose(&permitted, &ASK);
    let sent = names(&permitted.keep(&choice.selection, None));
    let gone = names(&self::permitted(&body, &Toollist::unbound()).keep(&Selection::All, None))
        .into_iter()
        .find(|name| !sent.contains(name))
        .unwrap();
    let ticket = choice.ticket.unwrap();
    assert_eq!(pruner.learn(&ticket, &["get_weather_forecast", "no_such_tool"]), 0);
    assert_eq!(pruner.learn(&ticket, &[&gone]), 1);
    assert_eq!(pruner.recall_misses(), 1);
    assert!(chosen(&pruner, &body, &ASK).0.contains(&gone));
}

#[test]
fn what_was_called_often_is_kept_although_nobody_speaks_of_it_and_only_for_that_key() {
    let pruner = Pruner::new(Settings { pins: false, ..SETTINGS });
    let body = asked("What is the weather in Oslo?");
    let before = chosen(&pruner, &body, &ASK).0;
    let missing = names(&permitted(&body, &Toollist::unbound()).keep(&Selection::All, None))
        .into_iter()
        .rfind(|name| !before.contains(name))
        .unwrap();
    for _ in 0..40 {
        let choice = pruner.choose(&permitted(&body, &Toollist::unbound()), &ASK);
        pruner.learn(&choice.ticket.unwrap(), &[&missing]);
    }
    assert!(chosen(&pruner, &body, &ASK).0.contains(&missing));
    let other = Ask { key: Some(KeyId(Uuid::from_u128(9))), ..ASK };
    assert_eq!(chosen(&pruner, &body, &other).0, before);
}

#[test]
fn examples_find_a_tool_that_nothing_else_would_and_are_not_sent_on() {
    let pruner = Pruner::new(SETTINGS);
    let mut all = tools();
    let plain = all[40].clone();
    all[40] =
        plain.replace(r#""parameters""#, r#""x-orqen-examples":["is my gizmo frobnicated"],"parameters""#);
    let body = body(&[message("user", "please check whether the gizmo was frobnicated")], &all, "");
    let permitted = permitted(&body, &Toollist::unbound());
    let choice = pruner.choose(&permitted, &ASK);
    let sent = permitted.keep(&choice.selection, None);
    let text = std::str::from_utf8(sent.body()).unwrap();
    assert!(text.contains(&plain) && !text.contains("x-orqen"), "{text}");
    assert!(sent.tally().output < 72);
}

#[test]
fn slim_tools_are_callable_and_smaller() {
    for mode in [PruneMode::Balanced, PruneMode::Aggressive] {
        let permitted = permitted(&asked("What is the weather in Oslo?"), &Toollist::unbound());
        let choice = Pruner::new(SETTINGS).choose(&permitted, &Ask { mode, ..ASK });
        let Selection::Slimmed { whole, slim } = &choice.selection else { panic!("{:?}", choice.selection) };
        assert!(!whole.is_empty() && !slim.is_empty());
        let whole = whole.len();
        let sent = permitted.keep(&choice.selection, None);
        let sent: serde_json::Value = serde_json::from_slice(sent.body()).unwrap();
        let long = |tool: &&serde_json::Value| {
            tool["function"]["description"].as_str().unwrap().contains("It answers")
        };
        assert_eq!(sent["tools"].as_array().unwrap().iter().filter(long).count(), whole);
        for tool in sent["tools"].as_array().unwrap() {
            assert_eq!(tool["function"]["parameters"]["properties"]["id"]["type"], "string");
            assert_eq!(tool["function"]["parameters"]["required"][0], "id");
        }
    }
}

#[test]
fn whatever_goes_wrong_the_filtered_set_goes_on_and_the_lists_hold() {
    let denied = Toollist::new(None, Some(vec!["*_invoice".to_owned()])).unwrap();
    let all = || permitted(&asked("What is the weather in Oslo?"), &denied);
    let expect = |pruner: &Pruner, skipped: Skipped| {
        let request = all();
        let choice = pruner.choose(&request, &ASK);
        assert_eq!(choice.skipped, Some(skipped));
        let kept = names(&request.keep(&choice.selection, None));
        assert_eq!(kept.len(), 66);
        assert!(!kept.iter().any(|name| name.ends_with("_invoice")));
    };
    let panicking = Pruner::new(SETTINGS);
    *panicking.fault.lock().unwrap() = Some(|| panic!("on purpose"));
    expect(&panicking, Skipped::Error);
    *panicking.fault.lock().unwrap() = None;
    assert_eq!(panicking.choose(&all(), &ASK).skipped, None, "and it goes on afterwards");

    let slow = Pruner::new(Settings { scoring_budget: Some(Duration::from_millis(1)), ..SETTINGS });
    *slow.fault.lock().unwrap() = Some(|| std::thread::sleep(Duration::from_millis(3)));
    expect(&slow, Skipped::Timeout);

    let late = Pruner::new(Settings { indexing_budget: Some(Duration::ZERO), ..SETTINGS });
    expect(&late, Skipped::Budget);
}

#[test]
fn new_tools_beyond_the_budget_are_read_a_few_more_with_each_request() {
    let pruner = Pruner::new(Settings { indexing_budget: Some(Duration::ZERO), ..SETTINGS });
    let requests =
        (0..).take_while(|_| chosen(&pruner, &asked("the weather"), &ASK).1 == Some(Skipped::Budget));
    let waited = requests.take(1000).count();
    assert!((1..=72).contains(&waited), "{waited}");
}

#[test]
fn a_poisoned_cache_chooses_among_permitted_tools_all_the_same() {
    let pruner = Pruner::new(SETTINGS);
    let request = permitted(&asked("What is the weather in Oslo?"), &Toollist::unbound());
    let wrong = Arc::new(index::Index::new(Vec::new(), Box::default(), &[]));
    pruner.caches.poison(&request.tools(), wrong);
    let choice = pruner.choose(&request, &ASK);
    assert!(names(&request.keep(&choice.selection, None)).contains(&"get_weather_forecast".to_owned()));
}

#[test]
fn odd_tools_and_conversations_cost_little_and_fail_nothing() {
    let pruner = Pruner::new(SETTINGS);
    let mut odd = tools();
    let deep = format!("{}{}", r#"{"properties":{"a":"#.repeat(40), "1".to_owned() + &"}}".repeat(40));
    odd.push(format!(r#"{{"type":"function","function":{{"name":"deep","parameters":{deep}}}}}"#));
    odd.push(format!(
        r#"{{"type":"function","function":{{"name":"long","description":"{}"}}}}"#,
        "word ".repeat(200_000)
    ));
    odd.push(r##"{"type":"function","function":{"name":"loop","parameters":{"$ref":"#","$defs":{"a":{"$ref":"#/$defs/a"}}}}}"##.into());
    odd.push(r#"{"type":"function","function":{"name":"bare"}}"#.into());
    odd.push(r#"{"type":"web_search"}"#.into());
    odd.push(r#"{"type":"custom","custom":{"name":"名前_ツール","description":"日本語"}}"#.into());
    odd.push(r#"{"type":"function","function":{"name":"types","description":7,"parameters":[1,{"properties":3}],"x-orqen-examples":{"a":1}}}"#.into());
    odd.extend([tool("twice", "One"), tool("twice", "Two")]);
    let mut turns: Vec<String> = Vec::new();
    for turn in 0..2000 {
        let mut text = String::new();
        let _ = write!(text, "turn {turn} about everything and nothing");
        turns.push(message(if turn % 2 == 0 { "user" } else { "assistant" }, &text));
    }
    turns.push(message("user", ""));
    turns.push(r#"{"role":"user","content":null}"#.into());
    turns.push(r#"{"role":7,"content":[1,null,{"type":"text"}],"tool_calls":[3,{"function":"x"}]}"#.into());
    turns.push("17".into());
    turns.push(message("user", "the weather in Oslo, and 名前_ツール"));
    let all = body(&turns, &odd, "");
    let permitted = permitted(&all, &Toollist::unbound());
    let choice = pruner.choose(&permitted, &ASK);
    assert_eq!(choice.skipped, None);
    let sent = permitted.keep(&choice.selection, None);
    let text = std::str::from_utf8(sent.body()).unwrap();
    assert!(text.contains("get_weather_forecast") && text.contains("\"名前_ツール\""));
    let many: Vec<String> = (0..5_000).map(|n| tool(&format!("tool_{n}"), "Does it")).collect();
    assert_eq!(chosen(&pruner, &body(&turns, &many, ""), &ASK).1, Some(Skipped::Budget));
}

/// The health of these tools once `times` requests offered them and `called` was called in the last.
fn health_of(pruner: &Pruner, tools: &[String], times: usize, called: &[&str]) -> Vec<ToolHealth> {
    let request = permitted(&body(&[message("user", "hello")], tools, ""), &Toollist::unbound());
    for turn in 0..times {
        let ticket = pruner.choose(&request, &ASK).ticket.unwrap();
        pruner.learn(&ticket, if turn + 1 == times { called } else { &[] });
    }
    pruner.tool_health(ASK.account)
}

#[test]
fn tools_that_say_nothing_or_what_others_say_are_found() {
    let does = "Searches the customer database by e-mail address and returns the matching record";
    let plain = |name: &str, description: &str| {
        format!(r#"{{"type":"function","function":{{"name":"{name}","description":"{description}"}}}}"#)
    };
    let tools = [
        plain("find_customer", does),
        plain("lookup_client", &format!("{does}.")),
        plain("get_invoice", "Gets the invoice"),
        plain("mystery", ""),
        plain("send_mail", "Sends a letter to a recipient over the company's own mail server"),
        plain("twin", "Turns the lights of a room on, at a brightness from one to ten"),
        plain("Twin", "Plays a song on the loudspeakers of the living room"),
    ];
    let health = health_of(&Pruner::new(SETTINGS), &tools, 1, &["send_mail"]);
    let kinds = |name: &str| -> Vec<FindingKind> {
        let tool = health.iter().find(|tool| tool.name == name);
        tool.unwrap().findings.iter().map(|finding| finding.kind).collect()
    };
    assert_eq!(kinds("find_customer"), [FindingKind::CollidingDescription]);
    assert_eq!(kinds("lookup_client"), [FindingKind::CollidingDescription]);
    assert_eq!(kinds("get_invoice"), [FindingKind::VagueDescription]);
    assert_eq!(kinds("mystery"), [FindingKind::NoDescription]);
    assert_eq!(kinds("send_mail"), []);
    assert_eq!(kinds("twin"), [FindingKind::DuplicateName]);
    assert_eq!(kinds("Twin"), [FindingKind::DuplicateName]);
    let found = health.iter().find(|tool| tool.name == "find_customer").unwrap();
    assert_eq!(found.findings[0].others, ["lookup_client"]);

    let often = health_of(&Pruner::new(SETTINGS), &tools, 200, &["send_mail"]);
    let idle: Vec<&str> = often
        .iter()
        .filter(|tool| tool.findings.iter().any(|finding| finding.kind == FindingKind::NeverCalled))
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!((idle.len(), idle.contains(&"send_mail")), (6, false), "{idle:?}");
}

#[test]
fn counts_outlive_the_sets_they_were_made_with_and_memory_stays_bounded() {
    let pruner = Pruner { health: Health::bounded(200_000, 200_000), ..Pruner::new(SETTINGS) };
    for turn in 0..60 {
        // A description that changes with every request makes a new set of each.
        let tools: Vec<String> =
            (0..24).map(|n| tool(&format!("tool_{n}"), &format!("{turn} orders of customer {n}"))).collect();
        health_of_one(&pruner, &tools);
    }
    let health = pruner.tool_health(ASK.account);
    assert_eq!(health.len(), 24);
    assert!(health.iter().all(|tool| tool.offered == 60), "{:?}", health[0]);
    assert!(pruner.health.bytes() < 400_000, "{}", pruner.health.bytes());
    let stranger = Ask { account: AccountId(Uuid::from_u128(2)), ..ASK };
    assert!(pruner.tool_health(stranger.account).is_empty(), "accounts see their own tools");
}

fn health_of_one(pruner: &Pruner, tools: &[String]) {
    let request = permitted(&body(&[message("user", "hello")], tools, ""), &Toollist::unbound());
    drop(pruner.choose(&request, &ASK));
}
