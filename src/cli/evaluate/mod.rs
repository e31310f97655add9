//! `orqen evaluate`: what pruning would have kept and saved of somebody's own requests.
//!
//! Every case goes the way that a request goes: read, lists (none), pruner, splice. Only the clock is left out: no
//! time budget, no learning sample, nothing random, and neither store nor configuration. So the same file and flags
//! give the same figures, but for the times.

mod case;
mod figures;
mod report;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use chrono::DateTime;
use clap::{Args, ValueEnum};
use uuid::Uuid;

use self::{
    case::Case,
    figures::{Figures, Outcome},
};
use crate::{
    domain::{
        chat_request::{Bounds, ChatRequest, PermittedRequest, PreparedRequest, Selection, slimmed},
        key::{AccountId, ToolMode},
        policy::PruneMode,
        toollist::Toollist,
    },
    prune::{Ask, Choice, Pruner, Settings, Skipped},
};

/// The longest line, in bytes: the largest chat request that is taken by default, and what stands around it.
const LINE_MAX: u64 = 64 * 1024 * 1024;
/// How deep a request may nest.
const DEPTH: usize = 128;

pub(super) const ABOUT: &str = "\
Says what pruning would keep and save of requests like yours, without sending one anywhere.

Each line of FILE is a case: {\"id\": \"1\", \"request\": {a chat request}, \"needed\": [\"names of the tools that were
called\"]}; \"source\" groups the figures, \"group\" names the conversation (for --pin), \"plan\": true sets a case apart;
other members are ignored. A case is kept when every needed tool that it offers is. Tokens are counted as the bytes
of the tools' JSON divided by four.";

/// The arguments of `orqen evaluate`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A file of JSON lines; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// How much may be pruned
    #[arg(long, value_enum, default_value_t = Mode::Safe)]
    mode: Mode,
    /// Feed the calls of each case back before the next one, as answers would
    #[arg(long)]
    learn: bool,
    /// Keep each conversation's tools together, by the cases' `group`
    #[arg(long)]
    pin: bool,
    /// Write the cases that lost a needed tool to this file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    misses: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// `PruneMode` as a flag.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Off,
    Safe,
    Balanced,
    Aggressive,
}

impl From<Mode> for PruneMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Off => PruneMode::Off,
            Mode::Safe => PruneMode::Safe,
            Mode::Balanced => PruneMode::Balanced,
            Mode::Aggressive => PruneMode::Aggressive,
        }
    }
}

/// Reads the cases and prints the figures.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut evaluation = Evaluation::new(arguments);
    let mut misses = match &arguments.misses {
        Some(path) => Some(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => None,
    };
    let (mut lines, length) = open(&arguments.file)?;
    let mut progress = report::Progress::new(length);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = io::Read::take(&mut lines, LINE_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if line.len() as u64 >= LINE_MAX {
            bail!(
                "line {number} is longer than {LINE_MAX} bytes: shorten the request, or leave the case out"
            );
        }
        progress.advance(read as u64);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let case = Case::read(&line).with_context(|| format!("line {number} is no case"))?;
        let missed = evaluation.take(&case).with_context(|| format!("line {number}"))?;
        if let (Some(missed), Some(file)) = (missed, &mut misses) {
            writeln!(file, "{missed}")?;
        }
    }
    progress.finish();
    if evaluation.figures.is_empty() {
        bail!(
            "there is no case in {}: give a line for each request, see `orqen evaluate --help`",
            arguments.file.display()
        );
    }
    if arguments.json {
        report::json(&evaluation.figures, out)
    } else {
        report::table(&evaluation.figures, out)
    }
}

fn open(path: &PathBuf) -> anyhow::Result<(Box<dyn BufRead>, Option<u64>)> {
    if path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            bail!("name a file of cases, or pipe one in: see `orqen evaluate --help`");
        }
        return Ok((Box::new(BufReader::new(io::stdin())), None));
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = file.metadata()?.len();
    Ok((Box::new(BufReader::with_capacity(1 << 20, file)), Some(length)))
}

/// The figures so far, and the pruner that they are of.
struct Evaluation {
    pruner: Pruner,
    mode: PruneMode,
    learn: bool,
    pin: bool,
    figures: BTreeMap<String, Figures>,
}

impl Evaluation {
    fn new(arguments: &Arguments) -> Self {
        let settings = Settings {
            least_tools: 20,
            least_tokens: 2000,
            scoring_budget: None,
            indexing_budget: None,
            learning_share: 0.0,
            pins: arguments.pin,
            cache_bytes: 256 * 1024 * 1024,
            conversations: 1_000_000,
            depth: DEPTH,
        };
        Self {
            pruner: Pruner::new(settings),
            mode: arguments.mode.into(),
            learn: arguments.learn,
            pin: arguments.pin,
            figures: BTreeMap::new(),
        }
    }

    /// Takes a case; gives what is to be told of it when it lost a tool.
    fn take(&mut self, case: &Case<'_>) -> anyhow::Result<Option<serde_json::Value>> {
        let began = Instant::now();
        let permitted = permitted(case)?;
        let offered: Vec<(String, usize)> =
            permitted.tools().iter().map(|tool| (tool.name.to_owned(), tokens(tool.json))).collect();
        let session = if self.pin { case.group.as_deref().or(case.id.as_deref()) } else { None };
        let ask = Ask {
            account: AccountId(Uuid::nil()),
            key: None,
            mode: self.mode,
            least: 0,
            session,
            now: DateTime::UNIX_EPOCH,
        };
        // The index is made here, so that what is timed below is choosing; as another conversation, which leaves no
        // trace in the one that is measured.
        drop(self.pruner.choose(&permitted, &Ask { session: Some("first sight"), ..ask }));
        let first = began.elapsed();
        let began = Instant::now();
        let choice = self.pruner.choose(&permitted, &ask);
        let choosing = began.elapsed();
        let slim: Vec<Option<usize>> =
            permitted.tools().iter().map(|tool| self.slim_tokens(tool.json)).collect();
        let kept = Kept::of(&choice.selection, offered.len());
        let forced = choice.skipped == Some(Skipped::Forced);
        let called = self.needed(case, &offered);
        if let (true, Some(ticket)) = (self.learn, &choice.ticket) {
            self.pruner.learn(ticket, &case.needed);
        }
        let outcome = Outcome {
            kept: called.iter().all(|place| kept.whole[*place] || kept.slim[*place]),
            saved: kept.saved(&offered, &slim),
            tokens: offered.iter().map(|(_, tokens)| tokens).sum(),
            tools: kept.count(),
            choosing,
            first,
            changed: choice.changed,
            slim: kept.slim.contains(&true),
        };
        let sent = prepared(permitted, &choice);
        debug_assert!(forced || sent.tally().output as usize == kept.count());
        self.figures.entry(case.source.to_string()).or_default().add(
            &outcome,
            case.plan,
            self.pin.then(|| case.conversation()).flatten(),
        );
        Ok((!outcome.kept).then(|| report::miss(case, &offered, &kept.any())))
    }

    fn slim_tokens(&self, json: &[u8]) -> Option<usize> {
        (self.mode >= PruneMode::Balanced).then(|| tokens(&slimmed(json)))
    }

    /// The places of the needed tools that the request offers.
    fn needed(&self, case: &Case<'_>, offered: &[(String, usize)]) -> Vec<usize> {
        let place = |name: &str| offered.iter().position(|(offered, _)| offered == name);
        case.needed.iter().filter_map(|name| place(name)).collect()
    }
}

/// Which tools went on.
struct Kept {
    whole: Vec<bool>,
    slim: Vec<bool>,
}

impl Kept {
    fn of(selection: &Selection, tools: usize) -> Self {
        let mut kept = Self { whole: vec![false; tools], slim: vec![false; tools] };
        let (whole, slim): (&[usize], &[usize]) = match selection {
            Selection::All => {
                kept.whole.fill(true);
                return kept;
            }
            Selection::Only(whole) => (whole, &[]),
            Selection::Slimmed { whole, slim } => (whole, slim),
        };
        whole.iter().for_each(|place| kept.whole[*place] = true);
        slim.iter().for_each(|place| kept.slim[*place] = true);
        kept
    }

    fn any(&self) -> Vec<bool> {
        self.whole.iter().zip(&self.slim).map(|(whole, slim)| *whole || *slim).collect()
    }

    fn count(&self) -> usize {
        self.any().into_iter().filter(|kept| *kept).count()
    }

    fn saved(&self, offered: &[(String, usize)], slim: &[Option<usize>]) -> usize {
        let saved = offered.iter().enumerate().map(|(place, (_, tokens))| {
            match (self.whole[place], self.slim[place]) {
                (true, _) => 0,
                (false, true) => tokens - slim[place].unwrap_or(*tokens),
                (false, false) => *tokens,
            }
        });
        saved.sum()
    }
}

fn permitted(case: &Case<'_>) -> anyhow::Result<PermittedRequest> {
    let request =
        ChatRequest::parse(Bytes::copy_from_slice(case.request.as_bytes()), &Bounds { depth: DEPTH })
            .map_err(|malformed| anyhow::anyhow!("its request is none: {malformed}"))?;
    Ok(request.permit(&Toollist::unbound(), ToolMode::Filter, &[])?)
}

fn prepared(permitted: PermittedRequest, choice: &Choice) -> PreparedRequest {
    permitted.keep(&choice.selection, None)
}

/// How many tokens a definition is taken to have: those of the figures that others publish.
fn tokens(json: &[u8]) -> usize {
    json.len() / 4
}

#[cfg(test)]
mod tests;
