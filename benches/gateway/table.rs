//! The report's tables, in Markdown: medians over rounds, and ratios within one.

use std::fmt::Write;

use crate::{
    candidate::{Candidate, NGINX, OFF, ON, PROXY},
    figures::{Figures, median},
    memory::Memory,
    payload::Size,
    rounds::{CONNECTIONS, Load, Results, SWEEP},
};

/// A figure of one run.
type Figure = fn(&Figures) -> f64;

/// All tables.
pub(crate) fn all(candidates: &[Candidate], results: &Results, memory: &[Option<Memory>]) -> String {
    let tables = Tables { candidates, results };
    [tables.closed(), tables.open(), tables.streams(), tables.sweep(), tables.memory(memory)].concat()
}

/// What the tables are made of.
struct Tables<'a> {
    candidates: &'a [Candidate],
    results: &'a Results,
}

impl Tables<'_> {
    /// The rounds of a load and a candidate.
    fn rounds(&self, load: Load, place: usize) -> &[Figures] {
        self.results.get(&(load, place)).map_or(&[], Vec::as_slice)
    }

    /// Whether a load was run.
    fn has(&self, load: Load) -> bool {
        !self.rounds(load, PROXY).is_empty() || !self.rounds(load, OFF).is_empty()
    }

    /// The median of a figure.
    fn middle(&self, load: Load, place: usize, figure: Figure) -> f64 {
        median(self.rounds(load, place).iter().map(figure).collect())
    }

    /// The median of what two figures of one round make.
    fn pairs(
        &self,
        load: Load,
        (place, base): (usize, usize),
        figure: impl Fn(&Figures, &Figures) -> f64,
    ) -> f64 {
        let (ours, theirs) = (self.rounds(load, place), self.rounds(load, base));
        median(ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours, theirs)).collect())
    }

    /// A figure over that of another candidate, in each round.
    fn ratio(&self, load: Load, places: (usize, usize), figure: Figure) -> String {
        shown(self.pairs(load, places, |ours, theirs| figure(ours) / figure(theirs)), 2)
    }

    /// A figure less that of the plain proxy, in each round.
    fn added(&self, load: Load, place: usize, figure: Figure) -> String {
        if place == PROXY {
            return "".into();
        }
        let added = self.pairs(load, (place, PROXY), |ours, theirs| figure(ours) - figure(theirs));
        if added.is_finite() { format!("{added:+.0}") } else { "–".into() }
    }

    /// What went wrong, which is said in the place of praise.
    fn errors(&self, load: Load, place: usize) -> String {
        let rounds = self.rounds(load, place);
        let problem = rounds.iter().find_map(|figures| figures.problem.as_deref());
        let errors: u64 = rounds.iter().map(|figures| figures.errors).sum();
        problem.map_or_else(|| "0".into(), |problem| format!("**{errors}: {problem}**"))
    }

    /// A row for each candidate, which begins with its name and ends with its errors.
    fn rows(&self, text: &mut String, (load, name): (Load, &str), cells: impl Fn(usize) -> Vec<String>) {
        let took_part = |(place, _): &(usize, &Candidate)| !self.rounds(load, *place).is_empty();
        for (place, candidate) in self.candidates.iter().enumerate().filter(took_part) {
            let (cells, errors) = (cells(place).join(" | "), self.errors(load, place));
            let _ = writeln!(text, "| {name} | {} | {cells} | {errors} |", candidate.name);
        }
    }

    /// The closed loop.
    fn closed(&self) -> String {
        if !Size::ALL.map(Load::Closed).into_iter().any(|load| self.has(load)) {
            return String::new();
        }
        let mut text = format!("\n## Closed loop, {CONNECTIONS} connections\n\n");
        text.push_str("µs: processor time a request; recording: what of it SQLite's threads take; busy: the share of core 0 that the candidate used (well below 100 % something else was the limit: the load, or other work on the machine).\n\n");
        head(
            &mut text,
            &[
                "payload",
                "",
                "requests/s",
                "× proxy",
                "µs",
                "of that recording",
                "µs × proxy",
                "µs × nginx",
                "busy",
                "errors",
            ],
        );
        for load in Size::ALL.map(Load::Closed).into_iter().filter(|load| self.has(*load)) {
            let Load::Closed(size) = load else { continue };
            self.rows(&mut text, (load, size.name()), |place| {
                let recording = if place < OFF {
                    String::new()
                } else {
                    shown(self.middle(load, place, Figures::writer_cost), 1)
                };
                vec![
                    shown(self.middle(load, place, Figures::rate), 0),
                    self.ratio(load, (place, PROXY), Figures::rate),
                    shown(self.middle(load, place, Figures::cost), 1),
                    recording,
                    self.ratio(load, (place, PROXY), Figures::cost),
                    self.ratio(load, (place, NGINX), Figures::cost),
                    format!("{} %", shown(self.middle(load, place, Figures::share), 0)),
                ]
            });
        }
        text
    }

    /// The open loop.
    fn open(&self) -> String {
        if !Size::ALL.map(Load::Open).into_iter().any(|load| self.has(load)) {
            return String::new();
        }
        let mut text =
            String::from("\n## Open loop: µs from the intended start to the end of the answer\n\n");
        head(
            &mut text,
            &["payload", "", "p50", "p50 added to the proxy's", "p99", "p99 added", "requests/s", "errors"],
        );
        for load in Size::ALL.map(Load::Open).into_iter().filter(|load| self.has(*load)) {
            let Load::Open(size) = load else { continue };
            self.rows(&mut text, (load, size.name()), |place| {
                vec![
                    shown(self.middle(load, place, |figures| figures.latency.p50), 0),
                    self.added(load, place, |figures| figures.latency.p50),
                    shown(self.middle(load, place, |figures| figures.latency.p99), 0),
                    self.added(load, place, |figures| figures.latency.p99),
                    shown(self.middle(load, place, Figures::rate), 0),
                ]
            });
        }
        text
    }

    /// Streams, fast and slow.
    fn streams(&self) -> String {
        if !self.has(Load::Streams) {
            return String::new();
        }
        let mut text = format!("\n## Streams of 100 chunks as fast as they go, {CONNECTIONS} at a time\n\n");
        head(
            &mut text,
            &[
                "payload",
                "",
                "chunks/s",
                "× proxy",
                "µs a chunk",
                "µs × proxy",
                "µs × nginx",
                "busy",
                "errors",
            ],
        );
        let load = Load::Streams;
        self.rows(&mut text, (load, "small"), |place| {
            vec![
                shown(self.middle(load, place, Figures::chunk_rate), 0),
                self.ratio(load, (place, PROXY), Figures::chunk_rate),
                shown(self.middle(load, place, Figures::chunk_cost), 2),
                self.ratio(load, (place, PROXY), Figures::chunk_cost),
                self.ratio(load, (place, NGINX), Figures::chunk_cost),
                format!("{} %", shown(self.middle(load, place, Figures::share), 0)),
            ]
        });
        text.push_str("\n## Streams with pauses, open loop: µs to the first chunk, and of a chunk from the mock to the client\n\n");
        head(
            &mut text,
            &[
                "payload",
                "",
                "first p50",
                "added",
                "first p99",
                "added",
                "chunk p50",
                "added",
                "chunk p99",
                "added",
                "errors",
            ],
        );
        let load = Load::FirstChunk;
        let figures: [Figure; 4] =
            [|of| of.first.p50, |of| of.first.p99, |of| of.transit.p50, |of| of.transit.p99];
        self.rows(&mut text, (load, "small"), |place| {
            let cells = figures.iter().flat_map(|figure| {
                [shown(self.middle(load, place, *figure), 0), self.added(load, place, *figure)]
            });
            cells.collect()
        });
        text
    }

    /// More and more connections, without governance and with it.
    fn sweep(&self) -> String {
        if !self.has(Load::Sweep(SWEEP[0])) {
            return String::new();
        }
        let mut text = String::from("\n## Small requests by connections, closed loop\n\n");
        head(
            &mut text,
            &[
                "connections",
                "off, requests/s",
                "on",
                "on × off",
                "off, µs",
                "on",
                "on × off",
                "off, p99 in µs",
                "on",
                "errors",
            ],
        );
        for load in SWEEP.map(Load::Sweep) {
            let Load::Sweep(connections) = load else { continue };
            let mut cells = vec![connections.to_string()];
            let figures: [(Figure, usize); 2] = [(Figures::rate, 0), (Figures::cost, 1)];
            for (figure, digits) in figures {
                cells.extend([OFF, ON].map(|place| shown(self.middle(load, place, figure), digits)));
                cells.push(self.ratio(load, (ON, OFF), figure));
            }
            cells.extend([OFF, ON].map(|place| shown(self.middle(load, place, |of| of.latency.p99), 0)));
            cells.push([OFF, ON].map(|place| self.errors(load, place)).join(", "));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    /// Resident memory.
    fn memory(&self, memory: &[Option<Memory>]) -> String {
        if memory.is_empty() {
            return String::new();
        }
        let mut text = String::from("\n## Resident memory, MiB\n\n");
        let names = ["", "idle", "1,000 open streams", "10 s after", "60 s after", "streams that failed"];
        head(&mut text, &names);
        for (candidate, memory) in self.candidates.iter().zip(memory) {
            let cells = memory.as_ref().map_or_else(
                || "not there | – | – | – | –".into(),
                |Memory { idle, streaming, after: [soon, later], errors }| {
                    format!("{idle:.1} | {streaming:.1} | {soon:.1} | {later:.1} | {errors}")
                },
            );
            let _ = writeln!(text, "| {} | {cells} |", candidate.name);
        }
        text
    }
}

/// The first two lines of a table.
fn head(text: &mut String, names: &[&str]) {
    let _ = writeln!(text, "| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()));
}

/// A figure with so many digits, or a dash where there is none.
fn shown(figure: f64, digits: usize) -> String {
    if figure.is_finite() { format!("{figure:.digits$}") } else { "–".into() }
}
