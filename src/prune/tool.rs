//! What there is to know of one tool, read once from its JSON and kept by the hash of it.
//!
//! Nothing here looks at other tools or at a conversation. A definition may be anything that is JSON: what does not
//! look like a tool's is passed over, and how much is read of it is bounded, so that one definition of a megabyte
//! costs no more than a long one.

use crate::domain::{
    chat_request::{EXAMPLES, sentence_end},
    json::{Invalid, Kind, Scanner},
};

use super::words::{Term, grams, term, terms, words};

/// The parts of a definition that are matched, in the order of `Tool::fields`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    /// The first sentence of the description.
    Summary,
    Description,
    Parameters,
    ParameterTexts,
    Values,
    /// `x-orqen-examples`: what a user might say.
    Examples,
}

/// How many there are.
pub(super) const FIELDS: usize = 7;

/// The most bytes of a definition's texts that are read; real ones have a tenth of it.
const TEXT_MAX: usize = 16 * 1024;
/// How deep a schema is followed. Deeper members are values of values, and nobody asks for them by name.
const DEPTH_MAX: usize = 12;
/// The most required parameters that are looked at.
const REQUIRED_MAX: usize = 16;

/// A tool, as it is matched.
#[derive(Debug)]
pub(super) struct Tool {
    /// For each field its terms, sorted, with how often each occurs.
    pub(super) fields: [Box<[(Term, u16)]>; FIELDS],
    /// How many terms each field has.
    pub(super) lengths: [u16; FIELDS],
    /// Groups of characters of name and summary, sorted, each once.
    pub(super) grams: Box<[u32]>,
    /// The words of the name, in order.
    pub(super) name: Box<[Term]>,
    /// For each required parameter the terms of its name.
    pub(super) required: Box<[Box<[Term]>]>,
    /// The terms of every parameter's name at the top, sorted.
    pub(super) parameters: Box<[Term]>,
    /// Whether there is a description that is not empty.
    pub(super) described: bool,
    /// Whether it takes a path or a file.
    pub(super) takes_path: bool,
    /// The class of verb that its name begins with.
    pub(super) act: Option<u8>,
    /// Whether it is one of those that are useful whatever is asked.
    pub(super) core: bool,
}

impl Tool {
    /// Reads a definition. `name` is its decoded name.
    pub(super) fn read(name: &str, json: &[u8], depth: usize) -> Self {
        let mut reader = Reader { budget: TEXT_MAX, ..Reader::default() };
        reader.name(name);
        if let Ok(mut scan) = Scanner::new(json, depth) {
            // What is read before something odd stays read.
            let _ = reader.definition(&mut scan, 0);
        }
        reader.finish(name)
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let fields: usize = self.fields.iter().map(|field| field.len() * 16).sum();
        let required: usize = self.required.iter().map(|words| 16 + words.len() * 8).sum();
        size_of::<Self>()
            + fields
            + self.grams.len() * 4
            + required
            + (self.name.len() + self.parameters.len()) * 8
    }
}

#[derive(Default)]
struct Reader {
    fields: [Vec<Term>; FIELDS],
    grams: Vec<u32>,
    name: Vec<Term>,
    /// Names at the top of the schema, and which of them are required.
    parameters: Vec<String>,
    required: Vec<String>,
    described: bool,
    takes_path: bool,
    budget: usize,
}

impl Reader {
    fn name(&mut self, name: &str) {
        words(name, |word| {
            grams(word, |gram| self.grams.push(gram));
            if let Some(term) = term(word) {
                self.fields[Field::Name as usize].push(term);
                self.name.push(term);
            }
        });
    }

    /// The tool itself, or what stands in its `function` or `custom` member.
    fn definition(&mut self, scan: &mut Scanner<'_>, inside: usize) -> Result<(), Invalid> {
        if scan.kind()? != Kind::Object {
            return scan.skip().map(drop);
        }
        scan.object(|scan, member| {
            let source = scan.source();
            match &*member.decode(source).unwrap_or_default() {
                "function" | "custom" if inside == 0 => self.definition(scan, 1),
                "description" => {
                    let text = self.text(scan)?;
                    self.description(&text);
                    Ok(())
                }
                "parameters" | "input_schema" | "inputSchema" => self.schema(scan, 0),
                EXAMPLES => self.examples(scan),
                _ => scan.skip().map(drop),
            }
        })
        .map(drop)
    }

    /// The string that stands here, as far as the budget goes; nothing for what is no string.
    fn text(&mut self, scan: &mut Scanner<'_>) -> Result<String, Invalid> {
        if scan.kind()? != Kind::Text {
            scan.skip()?;
            return Ok(String::new());
        }
        let text = scan.text()?;
        let source = scan.source();
        let length = text.span.end - text.span.start;
        if self.budget == 0 || length > 64 * TEXT_MAX {
            return Ok(String::new());
        }
        let mut text = text.decode(source).unwrap_or_default().into_owned();
        text.truncate(text.floor_char_boundary(self.budget));
        self.budget -= text.len();
        Ok(text)
    }

    fn description(&mut self, text: &str) {
        self.described |= !text.trim().is_empty();
        let summary = &text[..sentence_end(text)];
        words(summary, |word| {
            if let Some(term) = term(word) {
                self.fields[Field::Summary as usize].push(term);
                grams(word, |gram| self.grams.push(gram));
            }
        });
        terms(text, |term| self.fields[Field::Description as usize].push(term));
    }

    fn examples(&mut self, scan: &mut Scanner<'_>) -> Result<(), Invalid> {
        if scan.kind()? == Kind::Array {
            return scan.array(|scan, _| self.examples(scan)).map(drop);
        }
        let text = self.text(scan)?;
        terms(&text, |term| self.fields[Field::Examples as usize].push(term));
        Ok(())
    }

    /// A schema, or a part of one. `$ref` is not followed: what it names stands in the same document or nowhere.
    fn schema(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<(), Invalid> {
        match scan.kind()? {
            Kind::Object if depth <= DEPTH_MAX => {}
            Kind::Array if depth <= DEPTH_MAX => {
                return scan.array(|scan, _| self.schema(scan, depth + 1)).map(drop);
            }
            _ => return scan.skip().map(drop),
        }
        scan.object(|scan, member| {
            let source = scan.source();
            match &*member.decode(source).unwrap_or_default() {
                "properties" if scan.kind()? == Kind::Object => self.properties(scan, depth),
                "description" | "title" if depth > 0 => {
                    let text = self.text(scan)?;
                    terms(&text, |term| self.fields[Field::ParameterTexts as usize].push(term));
                    self.kinds(&text);
                    Ok(())
                }
                "enum" if scan.kind()? == Kind::Array => scan
                    .array(|scan, _| {
                        let value = self.text(scan)?;
                        terms(&value, |term| self.fields[Field::Values as usize].push(term));
                        Ok(())
                    })
                    .map(drop),
                "required" if depth == 0 && scan.kind()? == Kind::Array => scan
                    .array(|scan, index| {
                        let name = self.text(scan)?;
                        if index < REQUIRED_MAX && !name.is_empty() {
                            self.required.push(name);
                        }
                        Ok(())
                    })
                    .map(drop),
                "items" | "anyOf" | "oneOf" | "allOf" | "additionalProperties" | "$defs" | "definitions" => {
                    self.schema(scan, depth + 1)
                }
                _ => scan.skip().map(drop),
            }
        })
        .map(drop)
    }

    fn properties(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<(), Invalid> {
        scan.object(|scan, member| {
            let source = scan.source();
            let name = member.decode(source).unwrap_or_default();
            let name = &name[..name.floor_char_boundary(256)];
            if self.budget > 0 {
                self.budget = self.budget.saturating_sub(name.len());
                terms(name, |term| self.fields[Field::Parameters as usize].push(term));
                self.kinds(name);
                if depth == 0 {
                    self.parameters.push(name.to_owned());
                }
            }
            self.schema(scan, depth + 1)
        })
        .map(drop)
    }

    /// Whether a parameter's name or text speaks of a path.
    fn kinds(&mut self, text: &str) {
        words(text, |word| {
            self.takes_path |=
                matches!(word, "path" | "file" | "filename" | "filepath" | "directory" | "folder");
        });
    }

    fn finish(mut self, name: &str) -> Tool {
        self.grams.sort_unstable();
        self.grams.dedup();
        let lengths =
            std::array::from_fn(|field| u16::try_from(self.fields[field].len()).unwrap_or(u16::MAX));
        let names = |names: &[String]| -> Vec<Vec<Term>> {
            names
                .iter()
                .map(|name| {
                    let mut found = Vec::new();
                    terms(name, |term| found.push(term));
                    found
                })
                .collect()
        };
        let mut parameters = names(&self.parameters).concat();
        parameters.sort_unstable();
        parameters.dedup();
        let required = names(&self.required).into_iter().map(Vec::into_boxed_slice).collect();
        let mut first = None;
        words(name, |word| first = first.or_else(|| act(word)));
        Tool {
            fields: self.fields.map(counted),
            lengths,
            grams: self.grams.into(),
            name: self.name.into(),
            required,
            parameters: parameters.into(),
            described: self.described,
            takes_path: self.takes_path,
            act: first,
            core: is_core(name),
        }
    }
}

fn counted(mut terms: Vec<Term>) -> Box<[(Term, u16)]> {
    terms.sort_unstable();
    let mut counted: Vec<(Term, u16)> = Vec::with_capacity(terms.len());
    for term in terms {
        match counted.last_mut() {
            Some((last, count)) if *last == term => *count = count.saturating_add(1),
            _ => counted.push((term, 1)),
        }
    }
    counted.into()
}

/// Classes of verbs: a tool that reads does not do what a tool that deletes does.
pub(super) fn act(word: &str) -> Option<u8> {
    ACTS.iter().position(|class| class.contains(&word)).and_then(|place| u8::try_from(place).ok())
}

/// How many classes of verbs there are.
pub(super) const ACT_CLASSES: usize = ACTS.len();

const ACTS: [&[&str]; 10] = [
    &["create", "add", "make", "new", "insert", "register", "build", "generate", "open", "write", "schedule"],
    &["delete", "remove", "drop", "erase", "clear", "destroy", "uninstall", "cancel", "revoke"],
    &["update", "modify", "edit", "change", "set", "rename", "replace", "adjust", "patch"],
    &["list", "show", "display", "view", "enumerate"],
    &["get", "retrieve", "fetch", "read", "obtain", "check", "lookup", "describe", "details"],
    &["search", "find", "query", "look", "locate", "discover"],
    &["send", "post", "message", "email", "notify", "share", "publish", "forward", "reply"],
    &["book", "reserve", "buy", "purchase", "order", "pay"],
    &["calculate", "compute", "convert", "estimate", "solve", "evaluate", "count", "sum"],
    &["start", "run", "execute", "launch", "stop", "restart", "enable", "disable", "turn", "trigger"],
];

/// Whether a tool is one that agents reach for whatever is asked, and that no user names: the shell, files, plans,
/// sums, the time, logging in, handing over, finishing, and those that can find out anything: the web, a query.
fn is_core(name: &str) -> bool {
    let mut plain = String::with_capacity(name.len());
    words(name, |word| {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    });
    CORE.contains(&plain.as_str())
}

const CORE: [&str; 98] = [
    "bash",
    "shell",
    "terminal",
    "exec",
    "execute command",
    "run command",
    "run terminal cmd",
    "run terminal command",
    "execute bash",
    "run shell command",
    "local shell",
    "exec command",
    "read",
    "read file",
    "file read",
    "view",
    "view file",
    "open file",
    "read files",
    "edit",
    "edit file",
    "multi edit",
    "write",
    "write file",
    "write to file",
    "create file",
    "apply patch",
    "str replace",
    "str replace editor",
    "str replace based edit tool",
    "replace in file",
    "file edit",
    "file write",
    "notebook edit",
    "grep",
    "glob",
    "ls",
    "list files",
    "list dir",
    "list directory",
    "search files",
    "grep search",
    "file search",
    "codebase search",
    "search code",
    "find files",
    "todo write",
    "todo read",
    "update plan",
    "plan",
    "think",
    "task",
    "exit plan mode",
    "manage todo list",
    "calculator",
    "calculate",
    "get current time",
    "get current date",
    "current time",
    "get time",
    "now",
    "get user token",
    "get token",
    "login",
    "log in",
    "authenticate",
    "sign in",
    "transfer to human agents",
    "transfer to human",
    "escalate to human",
    "hand off",
    "handoff",
    "finish",
    "attempt completion",
    "submit",
    "done",
    "final answer",
    "complete task",
    "web search",
    "search web",
    "web fetch",
    "fetch",
    "fetch url",
    "google search",
    "internet search",
    "search the web",
    "browser search",
    "search",
    "brave web search",
    "tavily search",
    "query",
    "read query",
    "run query",
    "execute query",
    "execute sql",
    "run sql",
    "sql query",
    "run sql query",
];
