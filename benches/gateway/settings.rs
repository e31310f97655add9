//! What can be said on the command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use crate::payload::Size;

/// What is printed where the words are not understood.
pub(crate) const HELP: &str = "\
cargo bench --bench gateway -- [--rounds 5] [--seconds 3] [--warm 1] [--rate 500] [--only PARTS] [--payloads SIZES] [--orqen PATH]
    [--save]

  --rounds    how often each candidate is driven with each load
  --seconds   how long is measured each time, after --warm seconds that are not
  --rate      requests a second of the open loop, and five times the streams a second
  --only      a list of closed,open,streams,sweep,memory with commas; without it: all
  --payloads  a list of small,medium,large with commas, of closed and open; without it: all
  --orqen     the binary to measure instead of the one that cargo built for this, such as that of deploy/pgo/build
  --save      write the report to benches/gateway/results.md too, or with --orqen to results-other.md";

/// The parts that there are.
const PARTS: [&str; 5] = ["closed", "open", "streams", "sweep", "memory"];

/// How to run.
pub(crate) struct Settings {
    /// How often everything is done.
    pub(crate) rounds: u32,
    /// How long is measured.
    pub(crate) seconds: Duration,
    /// How long the load runs before.
    pub(crate) warm: Duration,
    /// Requests a second of the open loop.
    pub(crate) rate: u32,
    /// Whether the report is written to a file.
    pub(crate) save: bool,
    /// The binary to measure, if it is another one than this bench's own.
    pub(crate) orqen: Option<PathBuf>,
    only: Option<Vec<String>>,
    payloads: Option<Vec<String>>,
}

impl Settings {
    /// Reads the words after the program's name.
    pub(crate) fn read(words: &[&str]) -> Result<Self, String> {
        let mut settings = Self {
            rounds: 5,
            seconds: Duration::from_secs(3),
            warm: Duration::from_secs(1),
            rate: 500,
            save: false,
            orqen: None,
            only: None,
            payloads: None,
        };
        let mut words = words.iter().copied().filter(|word| *word != "--bench");
        while let Some(word) = words.next() {
            if word == "--save" {
                settings.save = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("`{word}` is not known, or wants a value"))?;
            match word {
                "--rounds" => settings.rounds = number(value)?,
                "--rate" => settings.rate = number(value)?,
                "--seconds" => settings.seconds = Duration::from_secs_f64(number(value)?),
                "--warm" => settings.warm = Duration::from_secs_f64(number(value)?),
                "--orqen" => {
                    // It is started in a folder of its own.
                    let path = std::path::absolute(value).map_err(|error| format!("`{value}`: {error}"))?;
                    settings.orqen = Some(path);
                }
                "--only" => settings.only = Some(parts(value, &PARTS)?),
                "--payloads" => settings.payloads = Some(parts(value, &Size::ALL.map(Size::name))?),
                _ => return Err(format!("`{word}` is not known")),
            }
        }
        Ok(settings)
    }

    /// Whether this part is run.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|wanted| wanted == part))
    }

    /// The payloads that closed and open loops send.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = Size> {
        let wanted = |size: &Size| {
            self.payloads.as_ref().is_none_or(|sizes| sizes.iter().any(|wanted| wanted == size.name()))
        };
        Size::ALL.into_iter().filter(wanted)
    }
}

/// A number above nought.
fn number<N: FromStr + PartialOrd + Default>(text: &str) -> Result<N, String> {
    let number = text.parse().ok().filter(|number| *number > N::default());
    number.ok_or_else(|| format!("`{text}` is no number above 0"))
}

/// Some of the parts.
fn parts(text: &str, known: &[&str]) -> Result<Vec<String>, String> {
    let unknown = text.split(',').find(|part| !known.contains(part));
    unknown.map_or_else(
        || Ok(text.split(',').map(str::to_owned).collect()),
        |part| Err(format!("there is no `{part}`, but {}", known.join(", "))),
    )
}
