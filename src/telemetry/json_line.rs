//! A log event as a JSON object a line: the fields at its top level, so that log stores index them as they are.
//!
//! Why not the library's own: a line for each request was a sixth of what a request costs, most of it in building each
//! line through a tree of serializers. Here the text is written once, front to back. Spans are left out: there are none.

use std::{
    cell::RefCell,
    fmt::{self, Write},
    io::Write as _,
};

use chrono::{DateTime, SecondsFormat, Utc};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context};

use crate::domain::json::has_special;

/// Writes events so.
pub(super) struct JsonLines<W> {
    /// The time.
    pub(super) now: fn() -> DateTime<Utc>,
    /// Where to.
    pub(super) writer: W,
}

thread_local! {
    /// The line that is being written: one buffer for all lines of a thread.
    static LINE: RefCell<Line> = const { RefCell::new(Line::new()) };
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let now = (self.now)();
        // A log that cannot be written is nobody's to be told of.
        let write =
            |line: &str| drop(self.writer.make_writer_for(event.metadata()).write_all(line.as_bytes()));
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => write(line.of(event, now)),
            // Whoever logs while he is being written down himself, as an odd `Display` may, has a line of his own.
            Err(_) => write(Line::new().of(event, now)),
        });
    }
}

/// A line as it grows.
struct Line {
    text: String,
    /// The second of the last line, and how it was written: lines come many a second.
    second: i64,
    written: String,
}

impl Line {
    const fn new() -> Self {
        Self { text: String::new(), second: i64::MIN, written: String::new() }
    }

    fn of(&mut self, event: &Event<'_>, now: DateTime<Utc>) -> &str {
        let metadata = event.metadata();
        self.text.clear();
        self.text.push_str(r#"{"timestamp":""#);
        self.time(now);
        self.text.push_str(r#"","level":""#);
        self.text.push_str(metadata.level().as_str());
        self.text.push('"');
        event.record(self);
        self.text.push_str(r#","target":""#);
        escape(&mut self.text, metadata.target());
        self.text.push_str("\"}\n");
        &self.text
    }

    /// The time in RFC 3339, with microseconds.
    fn time(&mut self, now: DateTime<Utc>) {
        if now.timestamp() != self.second {
            self.second = now.timestamp();
            self.written = now.to_rfc3339_opts(SecondsFormat::Secs, true);
            self.written.pop();
        }
        self.text.push_str(&self.written);
        // What is left of a leap second is shown as its last microsecond.
        self.fraction(u64::from(now.timestamp_subsec_micros().min(999_999)), 6);
        self.text.push('Z');
    }

    fn name(&mut self, field: &Field) {
        self.text.push_str(",\"");
        escape(&mut self.text, field.name());
        self.text.push_str("\":");
    }

    /// A point and so many digits.
    fn fraction(&mut self, value: u64, digits: usize) {
        let mut buffer = itoa::Buffer::new();
        let written = buffer.format(value);
        self.text.push('.');
        self.text.push_str(&"000000"[..digits.saturating_sub(written.len()).min(6)]);
        self.text.push_str(written);
    }

    fn integer(&mut self, field: &Field, value: impl itoa::Integer) {
        self.name(field);
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.text, "{value}");
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.text.push('"');
        escape(&mut self.text, value);
        self.text.push('"');
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.text.push('"');
        let _ = write!(Escaped(&mut self.text), "{value:?}");
        self.text.push('"');
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.name(field);
        self.text.push('"');
        let _ = write!(Escaped(&mut self.text), "{value}");
        self.text.push('"');
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.integer(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Those that are whole thousandths, as times in milliseconds are: the general way takes as long as the rest of a
        // line.
        let thousandths = (value * 1000.0).round();
        if (0.0..THOUSANDTHS_MAX).contains(&thousandths) && thousandths / 1000.0 == value {
            let thousandths = thousandths as u64;
            self.integer(field, thousandths / 1000);
            let part = thousandths % 1000;
            if part > 0 {
                self.fraction(part, 3);
            }
            return;
        }
        match value.is_finite() {
            true => self.plain(field, value),
            // JSON has no such numbers.
            false => self.plain(field, "null"),
        }
    }
}

/// Beyond it a number does not hold every thousandth.
const THOUSANDTHS_MAX: f64 = 1e12;

/// Writes text as it stands within the quotes of a JSON string.
struct Escaped<'t>(&'t mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

fn escape(into: &mut String, text: &str) {
    if !has_special(text) {
        into.push_str(text);
        return;
    }
    for char in text.chars() {
        match char {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\0'..'\x20' => drop(write!(into, "\\u{:04x}", u32::from(char))),
            char => into.push(char),
        }
    }
}
