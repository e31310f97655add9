//! Requests that try to bring a denied tool to the provider: repeated members, shapes, choices, spellings, bodies that
//! are several documents or none. Each is sent over REST, over gRPC as bytes, and, where it can be expressed, typed; by
//! a key that denies the tool and by one that allows another alone.

use bytes::Bytes;
use serde_json::json;

use crate::{
    attacks::{
        DENIED,
        readers::{finds_denied, finds_other},
        typed,
    },
    chat::{DOORS, House, Outcome, spellings::SPELLINGS},
    support::actors::Agent,
};

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on without the tool.
    Cleaned,
    /// It is refused, and nothing goes on.
    Refused,
}
use Fate::{Cleaned, Refused};

/// What it is, the body, and what becomes of it under a denylist. `@` stands for the denied tool's name.
pub(super) type Row = (&'static str, &'static str, Fate);

/// Members that are there twice, or nearly.
const REPEATED: &[Row] = &[
    ("tools twice", r#"{"tools":[],"tools":[{"name":"@"}]}"#, Refused),
    ("tools twice, the other way round", r#"{"tools":[{"name":"@"}],"tools":[]}"#, Refused),
    ("tools and null", r#"{"tools":[{"name":"@"}],"tools":null}"#, Refused),
    ("tools, escaped, and tools", r#"{"\u0074ools":[{"name":"@"}],"tools":[{"name":"keep"}]}"#, Refused),
    ("Tools", r#"{"Tools":[{"name":"@"}]}"#, Refused),
    ("TOOLS beside tools", r#"{"tools":[{"name":"keep"}],"TOOLS":[{"name":"@"}]}"#, Refused),
    ("full-width tools", "{\"\u{ff54}ools\":[{\"name\":\"@\"}]}", Refused),
    ("tools with a long s", "{\"tool\u{17f}\":[{\"name\":\"@\"}]}", Refused),
    ("tools with a blank", r#"{"tools ":[{"name":"@"}]}"#, Refused),
    ("tools with a zero-width space", "{\"to\u{200b}ols\":[{\"name\":\"@\"}]}", Refused),
    ("tools with a NUL", r#"{"tools\u0000":[{"name":"@"}]}"#, Refused),
    ("tools with a byte order mark", "{\"\u{feff}tools\":[{\"name\":\"@\"}]}", Refused),
    ("functions twice", r#"{"functions":[{"name":"@"}],"functions":[]}"#, Refused),
    ("Functions", r#"{"Functions":[{"name":"@"}]}"#, Refused),
    ("name twice, denied last", r#"{"tools":[{"name":"keep","name":"@"}]}"#, Refused),
    ("name twice, denied first", r#"{"tools":[{"name":"@","name":"keep"}]}"#, Refused),
    ("name in another case", r#"{"tools":[{"name":"keep","Name":"@"}]}"#, Refused),
    ("only in another case", r#"{"tools":[{"type":"function","Function":{"name":"@"}}]}"#, Refused),
    (
        "function twice",
        r#"{"tools":[{"type":"function","function":{"name":"keep"},"function":{"name":"@"}}]}"#,
        Refused,
    ),
    (
        "name twice in function",
        r#"{"tools":[{"type":"function","function":{"name":"keep","n\u0061me":"@"}}]}"#,
        Refused,
    ),
    ("NAME in function", r#"{"tools":[{"type":"function","function":{"name":"keep","NAME":"@"}}]}"#, Refused),
    ("type twice", r#"{"tools":[{"type":"function","type":"@","function":{"name":"keep"}}]}"#, Refused),
    (
        "custom twice",
        r#"{"tools":[{"type":"custom","custom":{"name":"keep"},"custom":{"name":"@"}}]}"#,
        Refused,
    ),
    (
        "tool_choice twice",
        r#"{"tools":[{"name":"keep"}],"tool_choice":"auto","tool_choice":{"name":"@"}}"#,
        Refused,
    ),
    ("Tool_Choice", r#"{"tools":[{"name":"keep"}],"Tool_Choice":{"name":"@"}}"#, Refused),
    (
        "name twice in tool_choice",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"name":"keep","name":"@"}}"#,
        Refused,
    ),
    ("web_search_options twice", r#"{"web_search_options":null,"web_search_options":{}}"#, Refused),
    ("Web_Search_Options", r#"{"Web_Search_Options":{}}"#, Refused),
    ("model twice", r#"{"model":"o1","tools":[{"name":"@"}]}"#, Refused),
];

/// Tools in shapes that some provider reads.
const SHAPES: &[Row] = &[
    ("nested", r#"{"tools":[{"name":"keep"},{"type":"function","function":{"name":"@"}}]}"#, Cleaned),
    ("flat", r#"{"tools":[{"name":"keep"},{"type":"function","name":"@"}]}"#, Cleaned),
    ("both, of one name", r#"{"tools":[{"name":"keep"},{"function":{"name":"@"},"name":"@"}]}"#, Cleaned),
    ("both, of two names", r#"{"tools":[{"name":"keep","function":{"name":"@"}}]}"#, Refused),
    ("custom", r#"{"tools":[{"name":"keep"},{"type":"custom","custom":{"name":"@"}}]}"#, Cleaned),
    ("custom without a type", r#"{"tools":[{"name":"keep"},{"custom":{"name":"@"}}]}"#, Cleaned),
    ("function and custom", r#"{"tools":[{"function":{"name":"keep"},"custom":{"name":"@"}}]}"#, Refused),
    ("function, and a custom object", r#"{"tools":[{"type":"function","custom":{"name":"@"}}]}"#, Refused),
    ("hosted", r#"{"tools":[{"name":"keep"},{"type":"@"}]}"#, Cleaned),
    ("hosted, under a harmless name", r#"{"tools":[{"name":"keep"},{"type":"@","name":"keep"}]}"#, Cleaned),
    ("hosted, the name denied", r#"{"tools":[{"name":"keep"},{"type":"x_2025","name":"@"}]}"#, Cleaned),
    ("a search", r#"{"tools":[{"name":"keep"},{"type":"web_search"}]}"#, Cleaned),
    (
        "a search of a day",
        r#"{"tools":[{"name":"keep"},{"type":"web_search_20250305","name":"keep"}]}"#,
        Cleaned,
    ),
    ("a search by options", r#"{"tools":[{"name":"keep"}],"web_search_options":{}}"#, Cleaned),
    ("a search by false options", r#"{"tools":[{"name":"keep"}],"web_search_options":false}"#, Cleaned),
    ("hosted, as a member", r#"{"tools":[{"name":"keep"},{"type":"keep","@":{}}]}"#, Cleaned),
    ("hosted, as a member of an array", r#"{"tools":[{"name":"keep"},{"name":"keep","@":[1]}]}"#, Cleaned),
    (
        "hosted, as an escaped member",
        r#"{"tools":[{"name":"keep"},{"name":"keep","\u0074ask_kill":{}}]}"#,
        Cleaned,
    ),
    ("old functions", r#"{"functions":[{"name":"keep"},{"name":"@"}]}"#, Cleaned),
    ("functions beside tools", r#"{"tools":[{"name":"keep"}],"functions":[{"name":"@"}]}"#, Cleaned),
    ("a function with a function", r#"{"functions":[{"name":"keep","function":{"name":"@"}}]}"#, Refused),
    ("tools within a tool", r#"{"tools":[{"name":"keep"},{"name":"keep","tools":[{"name":"@"}]}]}"#, Cleaned),
    (
        "declarations",
        r#"{"tools":[{"name":"keep"},{"name":"g","functionDeclarations":[{"name":"@"}]}]}"#,
        Cleaned,
    ),
    (
        "declarations, in snake case",
        r#"{"tools":[{"name":"keep"},{"name":"g","function_declarations":[{"name":"@"}]}]}"#,
        Cleaned,
    ),
    ("a map service", r#"{"tools":[{"name":"keep"},{"name":"keep","google_search":{"@":{}}}]}"#, Cleaned),
    ("an MCP server's", r#"{"tools":[{"name":"keep"},{"type":"mcp","allowed_tools":["@"]}]}"#, Cleaned),
    (
        "an MCP server's, nested",
        r#"{"tools":[{"name":"keep"},{"type":"mcp","allowed_tools":{"tool_names":["@"]}}]}"#,
        Cleaned,
    ),
    (
        "an MCP server without names",
        r#"{"tools":[{"name":"keep"},{"type":"mcp","server_url":"x"}]}"#,
        Cleaned,
    ),
    (
        "an MCP server in upper case",
        r#"{"tools":[{"name":"keep"},{"type":"MCP","server_url":"x"}]}"#,
        Cleaned,
    ),
    ("no name at all", r#"{"tools":[{"description":"@"}]}"#, Refused),
    ("a null name and a type", r#"{"tools":[{"name":"keep"},{"type":"@","name":null}]}"#, Cleaned),
    ("a name that is an object", r#"{"tools":[{"name":{"name":"@"}}]}"#, Refused),
    ("a name that is an array", r#"{"tools":[{"name":["@"]}]}"#, Refused),
    ("a name that is a number", r#"{"tools":[{"name":1,"type":"@"}]}"#, Refused),
    ("a type that is an array", r#"{"tools":[{"type":["@"],"name":"keep"}]}"#, Refused),
    ("a function that is an array", r#"{"tools":[{"type":"function","function":[{"name":"@"}]}]}"#, Refused),
    ("a function that is a text", r#"{"tools":[{"type":"function","function":"@"}]}"#, Refused),
    ("a tool that is a text", r#"{"tools":["@"]}"#, Refused),
    ("a tool that is an array", r#"{"tools":[[{"name":"@"}]]}"#, Refused),
    ("a tool that is null", r#"{"tools":[null,{"name":"@"}]}"#, Refused),
    ("tools that are an object", r#"{"tools":{"name":"@"}}"#, Refused),
    ("tools by their numbers", r#"{"tools":{"0":{"name":"@"}}}"#, Refused),
    ("tools that are a text", r#"{"tools":"[{\"name\":\"@\"}]"}"#, Refused),
    ("functions that are an object", r#"{"functions":{"@":{}}}"#, Refused),
];

/// Ways to speak of a tool that is not there.
const CHOICES: &[Row] = &[
    ("forced, flat", r#"{"tools":[{"name":"keep"}],"tool_choice":{"name":"@"}}"#, Refused),
    (
        "forced, nested",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"function","function":{"name":"@"}}}"#,
        Refused,
    ),
    (
        "forced, custom",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"custom","custom":{"name":"@"}}}"#,
        Refused,
    ),
    ("forced by a type", r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"@"}}"#, Refused),
    ("forced as a tool", r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"tool","name":"@"}}"#, Refused),
    ("forced by its bare name", r#"{"tools":[{"name":"keep"}],"tool_choice":"@"}"#, Refused),
    (
        "forced by its bare name in upper case",
        r#"{"tools":[{"name":"keep"}],"tool_choice":"TASK_KILL"}"#,
        Refused,
    ),
    (
        "forced, two names",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"name":"keep","function":{"name":"@"}}}"#,
        Refused,
    ),
    ("forced and offered", r#"{"tools":[{"name":"@"}],"tool_choice":{"name":"@"}}"#, Refused),
    ("required, and nothing left", r#"{"tools":[{"name":"@"}],"tool_choice":"required"}"#, Refused),
    ("any, and nothing left", r#"{"tools":[{"name":"@"}],"tool_choice":{"type":"any"}}"#, Refused),
    ("auto, and nothing left", r#"{"tools":[{"name":"@"}],"tool_choice":"auto"}"#, Cleaned),
    (
        "a call in parallel, and nothing left",
        r#"{"tools":[{"name":"@"}],"parallel_tool_calls":true}"#,
        Cleaned,
    ),
    (
        "allowed, flat",
        r#"{"tools":[{"name":"keep"},{"name":"@"}],"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"name":"@"},{"name":"keep"}]}}"#,
        Cleaned,
    ),
    (
        "allowed, nested",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"tools":[{"function":{"name":"@"}},{"name":"keep"}]}}}"#,
        Cleaned,
    ),
    (
        "allowed alone",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"allowed_tools","tools":[{"name":"@"}]}}"#,
        Cleaned,
    ),
    (
        "allowed alone, required",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"name":"@"}]}}"#,
        Refused,
    ),
    (
        "allowed twice",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"allowed_tools","tools":[],"allowed_tools":{"tools":[{"name":"@"}]}}}"#,
        Refused,
    ),
    (
        "allowed and forced",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"name":"@","tools":[{"name":"keep"}]}}"#,
        Refused,
    ),
    (
        "allowed, as texts",
        r#"{"tools":[{"name":"keep"}],"tool_choice":{"type":"allowed_tools","tools":["@"]}}"#,
        Refused,
    ),
    ("a choice that is an array", r#"{"tools":[{"name":"keep"}],"tool_choice":[{"name":"@"}]}"#, Refused),
    ("a choice that is a number", r#"{"tools":[{"name":"keep"}],"tool_choice":1}"#, Refused),
    ("function_call", r#"{"functions":[{"name":"keep"}],"function_call":{"name":"@"}}"#, Refused),
    ("function_call, bare", r#"{"functions":[{"name":"keep"}],"function_call":"@"}"#, Refused),
    (
        "function_call, twice",
        r#"{"functions":[{"name":"keep"}],"function_call":"auto","function_call":{"name":"@"}}"#,
        Refused,
    ),
    ("function_call, and nothing left", r#"{"functions":[{"name":"@"}],"function_call":"auto"}"#, Cleaned),
];

/// Bodies that are not one document, or hardly.
const DOCUMENTS: &[Row] = &[
    ("two documents", r#"{"tools":[]}{"tools":[{"name":"@"}]}"#, Refused),
    ("two lines", "{\"tools\":[]}\n{\"tools\":[{\"name\":\"@\"}]}", Refused),
    ("an array of requests", r#"[{"tools":[{"name":"@"}]}]"#, Refused),
    ("a text with a request", r#""{\"tools\":[{\"name\":\"@\"}]}""#, Refused),
    ("bytes behind", r#"{"tools":[{"name":"keep"}]} x"#, Refused),
    ("a NUL behind", "{\"tools\":[{\"name\":\"@\"}]}\0", Refused),
    ("a comma behind", r#"{"tools":[{"name":"@"}],}"#, Refused),
    ("a comma in tools", r#"{"tools":[{"name":"@"},]}"#, Refused),
    ("a comment", r#"{"tools":[{"name":"keep"}/*,{"name":"@"}*/]}"#, Refused),
    ("a line comment", "{\"tools\":[{\"name\":\"keep\"}//]}\n,{\"name\":\"@\"}]}", Refused),
    ("single quotes", r#"{'tools':[{'name':'@'}]}"#, Refused),
    ("bare names", r#"{tools:[{name:"@"}]}"#, Refused),
    ("a byte order mark before", "\u{feff}{\"tools\":[{\"name\":\"@\"}]}", Refused),
    ("a form feed between", "{\"tools\":\u{c}[{\"name\":\"@\"}]}", Refused),
    ("a no-break space between", "{\"tools\":\u{a0}[{\"name\":\"@\"}]}", Refused),
    ("a raw line break in a name", "{\"tools\":[{\"name\":\"task\n_kill\"}]}", Refused),
    ("an unknown escape", r#"{"tools":[{"name":"\task_kill\x"}]}"#, Refused),
    ("a lone surrogate in a name", r#"{"tools":[{"name":"@\ud800"}]}"#, Refused),
    ("a lone surrogate in a member", r#"{"tools":[{"name":"keep","@\ud800":{}}]}"#, Refused),
    ("an unclosed body", r#"{"tools":[{"name":"@"}]"#, Refused),
];

/// The rows of the tables, and the spellings.
pub(super) const ROWS: usize =
    REPEATED.len() + SHAPES.len() + CHOICES.len() + DOCUMENTS.len() + SPELLINGS.len();

/// A body and its name, with the model that leads to the upstream.
fn bodies() -> impl Iterator<Item = (String, String, Option<Fate>)> {
    let tables = [REPEATED, SHAPES, CHOICES, DOCUMENTS].into_iter().flatten();
    let rows = tables.map(|(what, body, fate)| {
        let body = body.replace('@', DENIED).replacen("{\"", "{\"model\":\"gpt-4o\",\"", 1);
        ((*what).to_owned(), body, Some(*fate))
    });
    // In places that the tests of tools' own spellings do not try.
    let spelled = SPELLINGS.iter().map(|(what, name)| {
        let body = format!(
            r#"{{"model":"gpt-4o","tools":[{{"name":"keep"}}],"tool_choice":{{"type":"allowed_tools","tools":[{{"name":"{name}"}},{{"name":"keep"}}]}}}}"#
        );
        (format!("allowed, as {what}"), body, Some(Cleaned))
    });
    rows.chain(spelled)
}

/// Attempts that are built, since they are large.
pub(super) const BUILT: usize = 8;

fn built() -> [(&'static str, Bytes); BUILT] {
    let tools = |tools: &str| Bytes::from(format!(r#"{{"model":"gpt-4o","tools":[{tools}]}}"#));
    let many = |name: &str| vec![format!(r#"{{"name":"{name}"}}"#); 9_999].join(",");
    let long = "x".repeat(1 << 20);
    let deep = format!("{}{}", r#"{"a":"#.repeat(60), "1".to_owned() + &"}".repeat(60));
    [
        ("the last of 10,000", tools(&format!("{},{{\"name\":\"{DENIED}\"}}", many("keep")))),
        ("10,000 of it", tools(&many(DENIED))),
        ("more than are read", tools(&vec![format!("{{\"name\":\"{DENIED}\"}}"); 20_000].join(","))),
        ("behind a name of 1 MB", tools(&format!("{{\"name\":\"{long}\"}},{{\"name\":\"{DENIED}\"}}"))),
        ("with 1 MB of nothing", tools(&format!("{{\"name\":\"{DENIED}{}\"}}", "\u{200b}".repeat(60_000)))),
        ("with 1 MB of blanks", tools(&format!("{{\"name\":\"{}{DENIED}\"}}", " ".repeat(1 << 20)))),
        ("beside a deep member", tools(&format!("{{\"x\":{deep},\"name\":\"{DENIED}\"}}"))),
        ("every letter escaped, 1,000 times", tools(&vec![escaped(); 1_000].join(","))),
    ]
}

fn escaped() -> String {
    let letters: String = DENIED.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    format!("{{\"name\":\"{letters}\"}}")
}

/// What became of an attempt, and what is wrong about it.
async fn attempt(house: &House, agent: &Agent, body: Bytes, finds: fn(&[u8]) -> Option<String>) -> Vec<Fate> {
    let mut fates = Vec::new();
    for door in DOORS {
        let before = house.upstream.received().len();
        let outcome = agent.enters(door, body.clone()).await;
        let after = house.upstream.received();
        fates.push(match outcome {
            Outcome::Answered { .. } => {
                assert_eq!(after.len(), before + 1);
                let arrived = &after[before].body;
                let found = finds(arrived);
                assert_eq!(found, None, "{door:?}: {}", &String::from_utf8_lossy(arrived));
                Cleaned
            }
            Outcome::Refused { code, .. } => {
                assert!(matches!(code.as_str(), "invalid_request_error" | "tool_not_allowed"), "{code}");
                assert_eq!(after.len(), before, "{door:?}: nothing goes on of what is refused");
                Refused
            }
        });
    }
    if let Some(sent) = typed::told(&body) {
        let before = house.upstream.received().len();
        typed::call(agent, sent).await;
        for arrived in &house.upstream.received()[before..] {
            assert_eq!(finds(&arrived.body), None, "typed: {}", arrived.text());
        }
    }
    fates
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_denied_tool_to_the_provider() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED, "web_search*"]).await;
    let mut wrong = Vec::new();
    for (what, body, expected) in bodies() {
        let fates = attempt(&house, &agent, body.into(), finds_denied).await;
        if fates.iter().any(|fate| Some(*fate) != expected) {
            wrong.push(format!("{what}: {fates:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_more_than_the_allowed_tool_to_the_provider() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": ["keep"]})).await;
    for (_, body, _) in bodies() {
        attempt(&house, &agent, body.into(), finds_other).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn size_is_no_way_round() {
    let house = House::new().await;
    let denying = house.denied(&[DENIED, "web_search*"]).await;
    let allowing = house.agent_with(json!({"allowed_tools": ["keep"]})).await;
    for (what, body) in built() {
        let fates = attempt(&house, &denying, body.clone(), finds_denied).await;
        assert_eq!(fates[0], fates[1], "{what}");
        attempt(&house, &allowing, body, finds_other).await;
    }
}
