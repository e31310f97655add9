//! No denied tool reaches the provider: every shape that carries a tool, times every spelling of its name, through
//! every door.
//!
//! What is expected is written beside what is sent, byte for byte, so that a test cannot pass by losing the rest.

use crate::{
    chat::{DOORS, House},
    support::actors::Agent,
};

/// The tool that the key may not use.
const DENIED: &str = "task_kill";

/// Spellings of it as the inside of a JSON text: what a client may write, and what a lenient provider may read.
pub(crate) const SPELLINGS: &[(&str, &str)] = &[
    ("as it is", "task_kill"),
    ("an escape", r"\u0074ask_kill"),
    ("every letter an escape", r"\u0074\u0061\u0073\u006B\u005f\u006b\u0069\u006c\u006C"),
    ("upper case", "TASK_KILL"),
    ("mixed case", "Task_Kill"),
    ("letters that fold to others: long s and Kelvin", "ta\u{17f}k_\u{212a}ill"),
    ("full width", "ｔａｓｋ＿ｋｉｌｌ"),
    ("mathematical bold", "\u{1d42d}ask_kill"),
    ("mathematical bold, as surrogates", r"\ud835\udc2dask_kill"),
    ("a zero-width space", "task\u{200b}_kill"),
    ("a zero-width space, escaped", r"task\u200B_kill"),
    ("a zero-width joiner", "task\u{200d}_kill"),
    ("a byte order mark", "\u{feff}task_kill"),
    ("a soft hyphen", "task_\u{ad}kill"),
    ("a combining grapheme joiner", "task_k\u{34f}ill"),
    ("a variation selector", "task_kill\u{fe0f}"),
    ("a tag character", "task_kill\u{e0041}"),
    ("a direction override", "\u{202e}task_kill"),
    ("a blank behind", "task_kill "),
    ("blanks around", r" \ttask_kill\n\r "),
    ("a no-break space behind", "task_kill\u{a0}"),
    ("an ideographic space before", "\u{3000}task_kill"),
    ("a NUL behind", r"task_kill\u0000"),
    ("a NUL within", r"task\u0000_kill"),
    ("a delete", "task_kill\u{7f}"),
];

/// A tool as one shape writes it; `@` stands for its name.
const TOOLS: &[(&str, &str)] = &[
    ("a function", r#"{"type":"function","function":{"name":"@","parameters":{"type":"object"}}}"#),
    ("a function, name last", r#"{"function":{"description":"d","name":"@"},"type":"function"}"#),
    ("a function without a type", r#"{"function":{"name":"@"}}"#),
    ("a function, its type null", r#"{"type":null,"function":{"name":"@"}}"#),
    ("a custom tool", r#"{"type":"custom","custom":{"name":"@","format":{"type":"text"}}}"#),
    ("a flat function", r#"{"type":"function","name":"@","parameters":{}}"#),
    ("a flat custom tool", r#"{"type":"custom","name":"@"}"#),
    ("only a name", r#"{"name":"@","input_schema":{"type":"object"}}"#),
    ("a tool that the provider runs", r#"{"type":"@","x":1}"#),
    ("a tool that the provider runs, by its type", r#"{"type":"@","name":"harmless"}"#),
    ("a tool that the provider runs, by its name", r#"{"type":"hosted_20250305","name":"@"}"#),
    ("escapes in the members' names", r#"{"\u0074ype":"function","f\u0075nction":{"\u006eame":"@"}}"#),
    ("the same name twice", r#"{"type":"function","function":{"name":"@"},"name":"@"}"#),
    ("odd white space", "{ \"type\"\t:\"function\" ,\n\"function\" : { \"name\"\r: \"@\" } }"),
];

/// A request with a place for a tool, and what arrives of it when the tool is gone.
const PLACES: &[(&str, &str, &str)] = &[
    (
        "first",
        r#"{"model":"gpt-4o","tools":[@ , {"type":"function","function":{"name":"keep"}}],"n":1}"#,
        r#"{"model":"gpt-4o","tools":[{"type":"function","function":{"name":"keep"}}],"n":1}"#,
    ),
    (
        "in the middle",
        r#"{"tools":[ {"type":"function","function":{"name":"one"}} , @ ,{"name":"two"} ] , "model":"gpt-4o"}"#,
        r#"{"tools":[ {"type":"function","function":{"name":"one"}} ,{"name":"two"} ] , "model":"gpt-4o"}"#,
    ),
    (
        "last",
        r#"{"model":"gpt-4o","tools":[{"type":"custom","custom":{"name":"keep"}},  @],"tool_choice":"required"}"#,
        r#"{"model":"gpt-4o","tools":[{"type":"custom","custom":{"name":"keep"}}],"tool_choice":"required"}"#,
    ),
    (
        "twice",
        r#"{"model":"gpt-4o","tools":[@,{"type":"web_search"},@]}"#,
        r#"{"model":"gpt-4o","tools":[{"type":"web_search"}]}"#,
    ),
    (
        "alone",
        r#"{"model":"gpt-4o","tool_choice":"auto","tools":[@],"parallel_tool_calls":true,"messages":[]}"#,
        r#"{"model":"gpt-4o","messages":[]}"#,
    ),
];

/// The same for `functions`.
const FUNCTION_PLACES: &[(&str, &str)] = &[
    (
        r#"{"model":"gpt-4","functions":[{"name":"keep"}, @ ],"function_call":"auto"}"#,
        r#"{"model":"gpt-4","functions":[{"name":"keep"} ],"function_call":"auto"}"#,
    ),
    (
        r#"{"model":"gpt-4","function_call":"auto","functions":[ @ ],"messages":[ ]}"#,
        r#"{"model":"gpt-4","messages":[ ]}"#,
    ),
];

async fn arrives(house: &House, agent: &Agent, sent: &str, expected: &str, what: &str) {
    for door in DOORS {
        let outcome = agent.enters(door, sent.to_owned()).await;
        let denied = outcome.header("x-orqen-tools-denied");
        assert!(denied.is_some_and(|count| count != "0"), "{what}, {door:?}: {denied:?}");
        assert_eq!(house.upstream.last().text(), expected, "{what}, {door:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_denied_name_reaches_the_provider_in_any_shape() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED]).await;
    let (_, request, expected) = PLACES[1];
    for (shape, tool) in TOOLS {
        for (spelling, name) in SPELLINGS {
            let sent = request.replace('@', &tool.replace('@', name));
            arrives(&house, &agent, &sent, expected, &format!("{shape}, {spelling}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_tool_goes_from_every_place_with_its_comma_and_nothing_else() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED]).await;
    for (place, request, expected) in PLACES {
        for (shape, tool) in TOOLS {
            let sent = request.replace('@', &tool.replace('@', DENIED));
            arrives(&house, &agent, &sent, expected, &format!("{shape}, {place}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_functions_are_tools_too() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED]).await;
    for (request, expected) in FUNCTION_PLACES {
        for (spelling, name) in SPELLINGS {
            let function = format!("{{\"description\":\"d\",\"name\":\"{name}\",\"parameters\":{{}}}}");
            arrives(&house, &agent, &request.replace('@', &function), expected, spelling).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_name_may_be_written_in_any_spelling_too() {
    let house = House::new().await;
    let (_, request, expected) = PLACES[0];
    let sent = request.replace('@', &TOOLS[0].1.replace('@', DENIED));
    for (spelling, name) in SPELLINGS.iter().filter(|(_, name)| !name.contains("\\u0000")) {
        let name: String = serde_json::from_str(&format!("\"{name}\"")).unwrap();
        let agent = house.denied(&[&name]).await;
        arrives(&house, &agent, &sent, expected, spelling).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn composed_and_decomposed_letters_are_the_same() {
    let house = House::new().await;
    let (_, request, expected) = PLACES[0];
    for (denied, sent) in [("caf\u{e9}_menu", "cafe\u{301}_menu"), ("cafe\u{301}_menu", "CAF\u{c9}_menu")] {
        let agent = house.denied(&[denied]).await;
        let sent = request.replace('@', &TOOLS[0].1.replace('@', sent));
        arrives(&house, &agent, &sent, expected, denied).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_patterns_reach_every_name_that_they_describe() {
    let house = House::new().await;
    let (_, request, expected) = PLACES[0];
    for (pattern, name) in [
        ("github_*", "github_delete_repo"),
        ("github_*", "github_"),
        ("github_*", "GitHub_Delete"),
        ("*_delete", r"a\u200b_DELETE"),
        ("*admin*", "superADMINtool"),
        ("GIT*_*", "github_x"),
        ("a*b*c", "aXXbYYc"),
        ("task_*", r"task\u0000_kill"),
    ] {
        let agent = house.denied(&[pattern]).await;
        let sent = request.replace('@', &TOOLS[0].1.replace('@', name));
        arrives(&house, &agent, &sent, expected, &format!("{pattern}, {name}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_option_is_the_tool_web_search() {
    let house = House::new().await;
    let sent = r#"{"model":"gpt-4o","web_search_options": {"search_context_size":"low"} , "messages":[]}"#;
    for denied in ["web_search", "WEB_SEARCH", "web_*"] {
        let agent = house.denied(&[denied]).await;
        arrives(&house, &agent, sent, r#"{"model":"gpt-4o" , "messages":[]}"#, denied).await;
    }
    let spelled = sent.replace("web_search_options", r"w\u0065b_search_options");
    let agent = house.denied(&["web_search"]).await;
    arrives(&house, &agent, &spelled, r#"{"model":"gpt-4o" , "messages":[]}"#, "an escape").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_the_configuration_calls_tools_are_tools() {
    let house = House::with(|settings| {
        settings.toml("tool_members = { search_parameters = \"live_search\", enable_code = \"code\" }")
    })
    .await;
    let sent = r#"{"search_parameters":{"mode":"on"},"model":"gpt-4o","enable_code":true,"other":1}"#;
    for (denied, expected) in [
        ("live_search", r#"{"model":"gpt-4o","enable_code":true,"other":1}"#),
        ("code", r#"{"search_parameters":{"mode":"on"},"model":"gpt-4o","other":1}"#),
        ("*", r#"{"model":"gpt-4o","other":1}"#),
    ] {
        arrives(&house, &house.denied(&[denied]).await, sent, expected, denied).await;
    }
    let agent = house.denied(&["live_search"]).await;
    for door in DOORS {
        let sent = sent.replace("search_parameters", "Search_Parameters");
        assert_eq!(agent.enters(door, sent).await.refused("invalid_request_error").0, "Search_Parameters");
    }
}
