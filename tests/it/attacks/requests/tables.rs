//! What is tried, and what becomes of it under a denylist.

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on without the tool.
    Cleaned,
    /// It is refused, and nothing goes on.
    Refused,
}
use Fate::{Cleaned, Refused};

/// What it is, the body, and what becomes of it under a denylist. `@` stands for the denied tool's name.
pub(crate) type Row = (&'static str, &'static str, Fate);

/// Members that are there twice, or nearly.
pub(super) const REPEATED: &[Row] = &[
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
pub(super) const SHAPES: &[Row] = &[
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
pub(super) const CHOICES: &[Row] = &[
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
pub(super) const DOCUMENTS: &[Row] = &[
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
