//! The figures as a table for people, as one JSON object for programs, and a bar while they are being counted.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
};

use serde_json::{Map, Value, json};

use super::{
    case::Case,
    figures::{Figures, Sums},
};
use crate::cli::table::Table;

/// How many characters the bar has.
const BAR: usize = 40;

/// A bar on a terminal, and nothing anywhere else.
pub(super) struct Progress {
    length: Option<u64>,
    at: u64,
    shown: usize,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(length: Option<u64>) -> Self {
        Self { length, at: 0, shown: usize::MAX, terminal: io::stderr().is_terminal() }
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.at += bytes;
        let (true, Some(length)) = (self.terminal, self.length.filter(|length| *length > 0)) else { return };
        let percent = (self.at.min(length) * 100 / length) as usize;
        if percent != self.shown {
            self.shown = percent;
            let full = percent * BAR / 100;
            let _ = write!(io::stderr(), "\r[{}{}] {percent:3} %", "#".repeat(full), "-".repeat(BAR - full));
        }
    }

    pub(super) fn finish(&self) {
        if self.terminal && self.length.is_some() {
            let _ = write!(io::stderr(), "\r{}\r", " ".repeat(BAR + 10));
        }
    }
}

/// The sums over all sources: of ordinary cases, and of plans.
fn totals(figures: &BTreeMap<String, Figures>) -> (Sums, Sums) {
    let (mut all, mut plans) = (Sums::default(), Sums::default());
    for of_source in figures.values() {
        all.merge(&of_source.ordinary);
        plans.merge(&of_source.plans);
    }
    (all, plans)
}

/// Prints the table.
pub(super) fn table(figures: &BTreeMap<String, Figures>, out: &mut dyn Write) -> anyhow::Result<()> {
    let (all, plans) = totals(figures);
    let mut table =
        Table::new(["SOURCE", "CASES", "KEPT %", "SAVED %", "TOOLS", "P50 µs", "P99 µs", "FIRST µs"]);
    let line = |name: &str, sums: &Sums| {
        [
            name.to_owned(),
            sums.cases.to_string(),
            format!("{:.1}", sums.kept() * 100.0),
            format!("{:.1}", sums.saved() * 100.0),
            format!("{:.1}", sums.mean_tools()),
            format!("{:.0}", sums.choosing_us(0.5)),
            format!("{:.0}", sums.choosing_us(0.99)),
            format!("{:.0}", sums.first_us()),
        ]
    };
    for (source, of_source) in figures {
        if of_source.ordinary.cases > 0 {
            table.line(line(source, &of_source.ordinary));
        }
        if of_source.plans.cases > 0 {
            table.line(line(&format!("{source} (plan)"), &of_source.plans));
        }
    }
    if all.cases > 0 {
        table.line(line("ALL", &all));
    }
    if plans.cases > 0 {
        table.line(line("ALL PLANS", &plans));
    }
    table.write(out)?;
    if let Some(changes) = all.changes_per_turn() {
        writeln!(out, "\nA conversation's tools changed {changes:.2} times a turn.")?;
    }
    if all.slim || plans.slim {
        writeln!(
            out,
            "\nSome tools went on slim: kept means callable, with a shortened definition or a whole one."
        )?;
    }
    Ok(())
}

/// Prints the object.
pub(super) fn json(figures: &BTreeMap<String, Figures>, out: &mut dyn Write) -> anyhow::Result<()> {
    let (all, plans) = totals(figures);
    let mut sources = Map::new();
    for (source, of_source) in figures {
        let sums = if of_source.ordinary.cases > 0 { &of_source.ordinary } else { &of_source.plans };
        sources.insert(source.clone(), object(sums));
    }
    let mut report = Map::new();
    report.insert("all".into(), object(&all));
    if plans.cases > 0 {
        report.insert("plan".into(), object(&plans));
    }
    report.insert("sources".into(), Value::Object(sources));
    writeln!(out, "{}", Value::Object(report))?;
    Ok(())
}

fn object(sums: &Sums) -> Value {
    let mut object = Map::new();
    object.insert("cases".into(), json!(sums.cases));
    object.insert("kept".into(), json!(sums.kept()));
    object.insert("saved".into(), json!(sums.saved()));
    if sums.slim {
        object.insert("callable".into(), json!(sums.kept()));
    }
    object.insert("mean_tools".into(), json!(sums.mean_tools()));
    object.insert("p50_us".into(), json!(sums.choosing_us(0.5)));
    object.insert("p99_us".into(), json!(sums.choosing_us(0.99)));
    object.insert("first_us".into(), json!(sums.first_us()));
    if let Some(changes) = sums.changes_per_turn() {
        object.insert("changes_per_turn".into(), json!(changes));
    }
    Value::Object(object)
}

/// What is told of a case that lost a tool.
pub(super) fn miss(case: &Case<'_>, offered: &[(String, usize)], kept: &[bool]) -> Value {
    let names = |want: bool| -> Vec<&str> {
        offered
            .iter()
            .zip(kept)
            .filter(|(_, kept)| **kept == want)
            .map(|((name, _), _)| name.as_str())
            .collect()
    };
    let gone = names(false);
    json!({
        "id": case.id,
        "source": case.source,
        "lost": case.needed.iter().filter(|name| gone.contains(&name.as_str())).collect::<Vec<_>>(),
        "needed": case.needed,
        "kept": names(true),
    })
}
