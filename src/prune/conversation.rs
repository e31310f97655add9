//! What of a conversation says which tools this turn needs.
//!
//! The last message of the user above all; then what was said before, what the model last said, what tools last
//! answered, and what was called. Messages are read from the end and only as far as they matter; what is called
//! anywhere in the conversation is found by a search for the member that holds it, so that two thousand turns cost
//! a look at their bytes. Nothing in a message is an error here: what is no text is passed over.

use memchr::memmem;

use crate::domain::json::{Invalid, Kind, Scanner};

/// Bytes that are read of the last user message (from both of its ends), and of each other text.
const LAST_MAX: usize = 6000;
const OTHER_MAX: usize = 1500;
/// Earlier user messages, assistant texts and tool results that are read.
const EARLIER: usize = 5;
const ASSISTANT: usize = 2;
const RESULTS: usize = 2;
/// How far back they are looked for, in messages.
const HORIZON: usize = 64;
/// The most calls that are remembered of a conversation.
const CALLS_MAX: usize = 4096;

/// A conversation, as far as it decides about tools.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// The last user message.
    pub(super) last: String,
    /// Those before it, the latest first.
    pub(super) earlier: Vec<String>,
    /// What the model said last, the latest first.
    pub(super) assistant: Vec<String>,
    /// What tools answered since, the latest first.
    pub(super) results: Vec<String>,
    /// The arguments of the latest calls.
    pub(super) arguments: Vec<String>,
    /// The names of all tools that were called, in order.
    pub(super) called: Vec<String>,
    /// Whether the last message is a tool's answer: the turn goes on.
    pub(super) after_tool: bool,
    /// Whether the last tool's answer speaks of an error.
    pub(super) failed: bool,
    /// How many user messages there are within the horizon.
    pub(super) user_turns: usize,
}

/// One message, read.
#[derive(Default)]
struct Message {
    role: String,
    text: String,
    calls: Vec<(String, String)>,
}

impl Conversation {
    /// Reads the messages; each is the JSON of one.
    pub(super) fn read(messages: &[&[u8]], depth: usize) -> Self {
        let mut conversation = Self::default();
        let mut last_seen = false;
        for (back, json) in messages.iter().rev().enumerate().take(HORIZON) {
            let most = if last_seen { OTHER_MAX } else { LAST_MAX };
            let message = Message::read(json, depth, most);
            if back == 0 {
                conversation.after_tool = matches!(message.role.as_str(), "tool" | "function");
                conversation.failed = conversation.after_tool && speaks_of_failure(&message.text);
            }
            if matches!(message.role.as_str(), "user") && !message.text.is_empty() {
                last_seen = true;
            }
            conversation.take(message);
            if conversation.is_full() {
                break;
            }
        }
        for json in messages {
            conversation.find_calls(json, depth);
        }
        conversation
    }

    fn is_full(&self) -> bool {
        self.earlier.len() >= EARLIER && self.assistant.len() >= ASSISTANT && self.results.len() >= RESULTS
    }

    fn take(&mut self, message: Message) {
        let mut text = message.text;
        match message.role.as_str() {
            "user" if !text.is_empty() => {
                self.user_turns += 1;
                if self.last.is_empty() {
                    self.last = text;
                } else if self.earlier.len() < EARLIER {
                    self.earlier.push(text);
                }
            }
            "assistant" => {
                if self.arguments.len() < RESULTS {
                    self.arguments.extend(message.calls.into_iter().map(|(_, arguments)| arguments));
                }
                if self.assistant.len() < ASSISTANT && !text.is_empty() {
                    text.truncate(text.floor_char_boundary(OTHER_MAX));
                    self.assistant.push(text);
                }
            }
            "tool" | "function" if self.results.len() < RESULTS => {
                text.truncate(text.floor_char_boundary(OTHER_MAX));
                self.results.push(text);
            }
            _ => {}
        }
    }

    fn find_calls(&mut self, json: &[u8], depth: usize) {
        // `tool_calls`, `function_call` and `tool_call_id` hold it. Whoever spells a member's name with escapes
        // has called nothing that is to be kept.
        if memmem::find(json, b"_call").is_none() || self.called.len() >= CALLS_MAX {
            return;
        }
        let message = Message::read(json, depth, 0);
        self.called.extend(message.calls.into_iter().map(|(name, _)| name));
    }
}

/// Whether a message is one of the user.
pub(super) fn is_of_user(json: &[u8], depth: usize) -> bool {
    Message::read(json, depth, 0).role == "user"
}

fn speaks_of_failure(result: &str) -> bool {
    let head = &result[..result.floor_char_boundary(400)];
    let head = head.to_ascii_lowercase();
    ["error", "exception", "failed", "not found", "invalid", "unable to"]
        .iter()
        .any(|word| head.contains(word))
}

impl Message {
    /// Reads a message, at most so many bytes of its text.
    fn read(json: &[u8], depth: usize, most: usize) -> Self {
        let mut message = Self::default();
        if let Ok(mut scan) = Scanner::new(json, depth)
            && matches!(scan.kind(), Ok(Kind::Object))
        {
            let _ = message.members(&mut scan, most);
        }
        message
    }

    fn members(&mut self, scan: &mut Scanner<'_>, most: usize) -> Result<(), Invalid> {
        scan.object(|scan, member| {
            let source = scan.source();
            match &*member.decode(source).unwrap_or_default() {
                "role" => {
                    self.role = string(scan, 16)?;
                    Ok(())
                }
                "content" => self.content(scan, most),
                "tool_calls" if scan.kind()? == Kind::Array => {
                    scan.array(|scan, _| self.call(scan)).map(drop)
                }
                "function_call" => self.call(scan),
                _ => scan.skip().map(drop),
            }
        })
        .map(drop)
    }

    /// A text, or an array of parts of which some are.
    fn content(&mut self, scan: &mut Scanner<'_>, most: usize) -> Result<(), Invalid> {
        match scan.kind()? {
            Kind::Text => {
                let room = most.saturating_sub(self.text.len());
                let text = string(scan, room)?;
                if !self.text.is_empty() && !text.is_empty() {
                    self.text.push('\n');
                }
                self.text.push_str(&text);
                Ok(())
            }
            Kind::Array => scan.array(|scan, _| self.part(scan, most)).map(drop),
            _ => scan.skip().map(drop),
        }
    }

    fn part(&mut self, scan: &mut Scanner<'_>, most: usize) -> Result<(), Invalid> {
        if scan.kind()? != Kind::Object {
            return scan.skip().map(drop);
        }
        scan.object(|scan, member| {
            let source = scan.source();
            match &*member.decode(source).unwrap_or_default() {
                "text" if scan.kind()? == Kind::Text => self.content(scan, most),
                _ => scan.skip().map(drop),
            }
        })
        .map(drop)
    }

    /// A call: `{"function": {"name", "arguments"}}`, `{"custom": {"name", "input"}}` or `{"name", "arguments"}`.
    fn call(&mut self, scan: &mut Scanner<'_>) -> Result<(), Invalid> {
        let (mut name, mut arguments) = (String::new(), String::new());
        called(scan, &mut name, &mut arguments, 0)?;
        if !name.is_empty() {
            self.calls.push((name, arguments));
        }
        Ok(())
    }
}

fn called(
    scan: &mut Scanner<'_>,
    name: &mut String,
    arguments: &mut String,
    depth: usize,
) -> Result<(), Invalid> {
    if scan.kind()? != Kind::Object {
        return scan.skip().map(drop);
    }
    scan.object(|scan, member| {
        let source = scan.source();
        match &*member.decode(source).unwrap_or_default() {
            "function" | "custom" if depth == 0 => called(scan, name, arguments, 1),
            "name" => {
                *name = string(scan, 1024)?;
                Ok(())
            }
            "arguments" | "input" => {
                *arguments = string(scan, OTHER_MAX)?;
                Ok(())
            }
            _ => scan.skip().map(drop),
        }
    })
    .map(drop)
}

/// The string that stands here, of a long one its two ends; empty for what is no string.
fn string(scan: &mut Scanner<'_>, most: usize) -> Result<String, Invalid> {
    if scan.kind()? != Kind::Text {
        scan.skip()?;
        return Ok(String::new());
    }
    let text = scan.text()?;
    if most == 0 {
        return Ok(String::new());
    }
    let source = scan.source();
    let raw = &source[text.span.start..text.span.end];
    if raw.len() <= 2 * most {
        let decoded = text.decode(source).unwrap_or_default();
        return Ok(if decoded.len() <= most { decoded.into_owned() } else { ends(&decoded, most) });
    }
    // Too long to be decoded as a whole: an escape that is cut in two is a few odd letters.
    Ok(plain(&ends(raw, most)))
}

/// The first and the last bytes of a long text, half of each.
fn ends(text: &str, most: usize) -> String {
    let head = text.floor_char_boundary(most / 2);
    let tail = text.ceil_char_boundary(text.len() - most / 2);
    format!("{}\n{}", &text[..head], &text[tail..])
}

/// Raw text with the commonest escapes read.
fn plain(raw: &str) -> String {
    raw.replace("\\n", "\n").replace("\\t", " ").replace("\\\"", "\"")
}
