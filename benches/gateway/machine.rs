//! Where and with what a run was done: without it no figure means anything.

use std::{fmt::Write, fs, process::Command};

use crate::{nginx, procs, settings::Settings};

/// The head of the report.
pub(crate) fn described(settings: &Settings) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("-V").output();
    let rustc = rustc.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default();
    let pinned =
        if procs::pinned() { "candidates on core 0, mock and load on core 1" } else { "nothing pinned" };
    let mut text =
        String::from("# Orqen beside a plain proxy\n\nWritten by `cargo bench --bench gateway`.\n\n");
    let lines = [
        ("Date", chrono::Utc::now().format("%F %R UTC").to_string()),
        ("Machine", format!("{cores} × {}, {pinned}", model.trim_start_matches([' ', '\t', ':']))),
        ("Kernel", kernel.trim().to_owned()),
        ("Compiler", rustc),
        (
            "Orqen",
            if settings.orqen.is_some() { "another build (`--orqen`)" } else { "of the same build" }.into(),
        ),
        ("nginx", nginx::version().unwrap_or_else(|| "not there".into())),
        ("Rounds", format!("{} of {:?} after {:?}", settings.rounds, settings.seconds, settings.warm)),
        ("Load average at the begin", load_average()),
    ];
    for (name, value) in lines {
        let _ = writeln!(text, "- {name}: {value}");
    }
    text.push_str(
        "\nThe plain proxy passes everything through on Orqen's HTTP stack. `off`: a key without lists or limits, \
         nothing pruned; `on`: both lists, all limits, pruning `safe`, with wide time limits, since on a busy core it \
         would else be skipped. Both record every request in SQLite and have metrics; `sums only` keeps sums by \
         day instead of records (`usage.records = false`). \
         Medians over rounds; ratios are of one round. Processor time is that of the candidate's whole process.\n",
    );
    text
}

/// The load average of the last minute.
pub(crate) fn load_average() -> String {
    let told = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split_whitespace().next().unwrap_or("unknown").to_owned()
}
