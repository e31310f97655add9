//! Reads what an upstream received as other readers of JSON might: of members that are there twice the first or the
//! last, members whatever their case, names whatever their spelling.

use std::fmt;

use orqen::domain::toollist::Toollist;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::attacks::DENIED;

/// JSON of which nothing is lost: members that are there twice are.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    Null,
    Other,
}

/// Which of several members of one name a reader takes, and whether it tells upper case from lower.
#[derive(Debug, Clone, Copy)]
struct Reader {
    first: bool,
    any_case: bool,
}

const READERS: [Reader; 4] = [
    Reader { first: true, any_case: false },
    Reader { first: false, any_case: false },
    Reader { first: true, any_case: true },
    Reader { first: false, any_case: true },
];

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Every;
        impl<'de> Visitor<'de> for Every {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Json::Array(elements))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }
        }
        deserializer.deserialize_any(Every)
    }
}

impl Json {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            panic!("what arrives is JSON ({error}): {}", String::from_utf8_lossy(bytes))
        })
    }

    /// What this reader takes for the member of that name.
    fn member(&self, name: &str, reader: Reader) -> Option<&Json> {
        let Self::Object(members) = self else { return None };
        let is = |known: &str| if reader.any_case { known.eq_ignore_ascii_case(name) } else { known == name };
        let mut found = members.iter().filter(|(known, _)| is(known)).map(|(_, value)| value);
        if reader.first { found.next() } else { found.next_back() }
    }

    /// Every text of the members of this name, whatever its case, wherever they stand, one after the other.
    pub(crate) fn texts(&self, name: &str, into: &mut String) {
        match self {
            Self::Array(elements) => elements.iter().for_each(|element| element.texts(name, into)),
            Self::Object(members) => {
                for (known, value) in members {
                    match value {
                        Self::Text(text) if known.eq_ignore_ascii_case(name) => into.push_str(text),
                        other => other.texts(name, into),
                    }
                }
            }
            Self::Text(_) | Self::Null | Self::Other => {}
        }
    }

    /// Everything in here that some provider could take for a tool's name: each text, and each member that has more
    /// than a word; but for what is only described.
    fn names<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Text(text) => into.push(text),
            Self::Array(elements) => elements.iter().for_each(|element| element.names(into)),
            Self::Object(members) => {
                for (name, value) in members {
                    if !matches!(value, Self::Null | Self::Text(_) | Self::Other) {
                        into.push(name);
                    }
                    if !matches!(name.as_str(), "description" | "parameters" | "input_schema" | "format") {
                        value.names(into);
                    }
                }
            }
            Self::Null | Self::Other => {}
        }
    }
}

/// Every name of a tool that any reader finds in this request; bare words of a choice only where `words` says so.
fn tools(body: &Json, words: bool) -> Vec<(Reader, &str)> {
    let mut found = Vec::new();
    for reader in READERS {
        for member in ["tools", "functions", "tool_choice", "function_call"] {
            let mut names = Vec::new();
            match body.member(member, reader) {
                Some(Json::Text(_)) if !words => {}
                Some(value) => value.names(&mut names),
                None => {}
            }
            found.extend(names.into_iter().map(|name| (reader, name)));
        }
        if body.member("web_search_options", reader).is_some_and(|value| !matches!(value, Json::Null)) {
            found.push((reader, "web_search"));
        }
    }
    found
}

/// Whether some reader finds the denied tool, or a search, in what arrived; and who.
pub(crate) fn finds_denied(body: &[u8]) -> Option<String> {
    let list = Toollist::new(None, Some(vec![DENIED.into(), "web_search*".into()])).unwrap();
    let json = Json::read(body);
    let found = tools(&json, true).into_iter().find(|(_, name)| !list.permits(name));
    found.map(|(reader, name)| format!("{reader:?} finds {name:?}"))
}

/// Whether some reader finds a tool that is not named `keep`; and who. Words that are no names are none, and a bare
/// word as a choice is the provider's to judge under an allowlist: it brings no tool.
pub(crate) fn finds_other(body: &[u8]) -> Option<String> {
    const WORDS: [&str; 12] = [
        "keep",
        "function",
        "custom",
        "auto",
        "none",
        "required",
        "any",
        "allowed_tools",
        "tool",
        "object",
        "text",
        "tools",
    ];
    let json = Json::read(body);
    let found = tools(&json, false).into_iter().find(|(_, name)| !WORDS.contains(name));
    found.map(|(reader, name)| format!("{reader:?} finds {name:?}"))
}

#[test]
fn the_readers_see_what_a_strict_one_does_not() {
    for body in [
        r#"{"tools":[{"name":"keep"}],"tools":[{"name":"task_kill"}]}"#,
        r#"{"tools":[{"name":"task_kill"}],"tools":[]}"#,
        r#"{"Tools":[{"name":"TASK\u005fkill"}]}"#,
        r#"{"tools":[{"name":"keep","name":"task_kill"}]}"#,
        r#"{"tools":[{"name":"keep","task_kill":{}}]}"#,
        r#"{"tool_choice":"task_kill"}"#,
        r#"{"web_search_options":{}}"#,
    ] {
        assert!(finds_denied(body.as_bytes()).is_some(), "{body}");
    }
    let fine = r#"{"tools":[{"name":"keep","description":"not task_kill"}],"messages":["task_kill"]}"#;
    assert_eq!((finds_denied(fine.as_bytes()), finds_other(fine.as_bytes())), (None, None));
}
