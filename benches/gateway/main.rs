//! What Orqen costs beside a plain proxy: the whole binary under load, next to the least that a proxy in Rust can
//! be, and next to nginx.
//!
//! `cargo bench --bench gateway`, with `-- --rounds 5 --seconds 3` and more (`settings` has them all). A mock provider
//! and the load run on core 1; the plain proxy, nginx and Orqen (`off`: no lists, no limits, no pruning; `on`: all of it;
//! in closed loops also `on` with sums of usage instead of records) on core 0, all there from the begin, each driven in
//! turn, all of them in each round. What counts are ratios within a round, and processor time a request more than requests
//! a second. Metrics are always on; what the threads of SQLite take is said apart.
//!
//! Everything is on loopback and bounded in time. The mock and the proxy are this program under another role, so that
//! nothing needs to be there but what `cargo bench` builds, and nginx, which is left out where it cannot be had.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "it is a program of its own, with its own clock, tasks and environment"
)]

mod candidate;
mod check;
mod client;
mod figures;
mod load;
mod machine;
mod memory;
mod mock;
mod nginx;
mod orqen;
mod payload;
mod procs;
mod proxy;
mod rounds;
mod settings;
mod table;
mod tools;
mod wire;

use std::fmt::Write;

use crate::{candidate::Candidate, payload::Size, procs::Core, settings::Settings};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["role", "mock"] => return mock::run(),
        ["role", "proxy", upstream] => return proxy::run(upstream.parse().unwrap()),
        // `cargo test --benches` runs this too, without the word.
        words if !words.contains(&"--bench") => return println!("run it with `cargo bench --bench gateway`"),
        _ => {}
    }
    let settings = match Settings::read(&words) {
        Ok(settings) => settings,
        Err(problem) => return println!("{problem}\n\n{}", settings::HELP),
    };
    procs::pin_self();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(Box::pin(measured(&settings)));
    println!("\n{report}");
    if settings.save {
        let name = if settings.orqen.is_some() { "results-other.md" } else { "results.md" };
        std::fs::write(format!("{}/benches/gateway/{name}", env!("CARGO_MANIFEST_DIR")), report).unwrap();
        println!("written to benches/gateway/{name}");
    }
}

/// Starts everything, runs all rounds, and gives the report.
async fn measured(settings: &Settings) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (_mock, mock) = procs::role(Core::Driving, &["mock"]);
    let candidates = Candidate::all(folder.path(), mock, settings.orqen.as_deref()).await;
    let mut report = machine::described(settings);
    let memory =
        if settings.wants("memory") { memory::measured(&candidates, mock).await } else { Vec::new() };
    let results = rounds::run(settings, &candidates, mock).await;
    report.push_str(&table::all(&candidates, &results, &memory));
    report.push('\n');
    for candidate in candidates.iter().filter(|candidate| candidate.key.is_some()) {
        let (name, lost) = (candidate.name, check::records_lost(candidate).await);
        let _ = writeln!(report, "- {name}: records of usage that were lost: {lost}");
        for size in [Size::Medium, Size::Large] {
            let (sent, kept) = (size.tools(), check::tools_kept(candidate, mock, size).await);
            let kept = kept.map_or_else(|| "?".to_owned(), |kept| kept.to_string());
            let _ = writeln!(report, "- {name}: of {sent} tools the provider gets {kept}");
        }
    }
    let _ = writeln!(report, "- Load average at the end: {}", machine::load_average());
    report
}
