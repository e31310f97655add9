//! The effective configuration as text: valid TOML, each value with where it came from, secrets as `***`.

use std::fmt::Write;

use toml::{Table, Value};

use crate::config::{
    Loaded,
    reference::{self, FIELDS},
};

/// The sections, in the order of the reference.
const SECTIONS: [&str; 12] = [
    "server",
    "store",
    "auth",
    "upstreams",
    "demo",
    "policy",
    "pruning",
    "usage",
    "limits",
    "redis",
    "log",
    "otel",
];

/// The column in which origins begin, where the value leaves room.
const ORIGIN_COLUMN: usize = 48;

impl Loaded {
    /// Every effective value as a line of TOML, with its origin as a comment. Secrets are `***`; what is not set
    /// is a comment that says so.
    pub fn show(&self) -> String {
        let mut text = String::new();
        // `Serialize` hides secrets, so nothing that follows can show one.
        let effective = Table::try_from(&self.config).expect("every section is a table of plain values");
        for name in SECTIONS {
            match (name, effective.get(name)) {
                ("upstreams", Some(Value::Array(all))) if !all.is_empty() => {
                    for (i, upstream) in all.iter().enumerate() {
                        let table = upstream.as_table().expect("an upstream is a table");
                        text.push_str("\n[[upstreams]]\n");
                        self.fields(&mut text, &format!("upstreams[{i}]"), table, reference::upstream());
                    }
                }
                (_, Some(Value::Table(table))) => self.section(&mut text, name, table),
                _ => write_unset(&mut text, name),
            }
        }
        text.trim_start().to_owned()
    }

    fn section(&self, text: &mut String, at: &str, table: &Table) {
        let known = at.split('.').try_fold(&*FIELDS, |table, name| table.get(name)?.as_table());
        let known = known.expect("the reference has every section");
        text.push_str(&format!("\n[{at}]\n"));
        self.fields(text, at, table, known);
        for (name, _) in known.iter().filter(|(_, example)| example.is_table()) {
            let at = format!("{at}.{name}");
            match table.get(name) {
                Some(Value::Table(inner)) => self.section(text, &at, inner),
                _ => write_unset(text, &at),
            }
        }
    }

    fn fields(&self, text: &mut String, at: &str, table: &Table, known: &Table) {
        for (name, example) in known {
            match table.get(name) {
                None if example.is_table() => {}
                None => text.push_str(&format!("# {name} is not set\n")),
                Some(Value::Table(_)) if !reference::is_free(name) => {}
                Some(value) => {
                    let line = format!("{name} = {value}");
                    let origin = self.origins.of(&format!("{at}.{name}"));
                    writeln!(text, "{line:ORIGIN_COLUMN$} # {origin}").expect("a String takes all");
                }
            }
        }
    }
}

fn write_unset(text: &mut String, at: &str) {
    text.push_str(&format!("\n# [{at}] is not set\n"));
}
