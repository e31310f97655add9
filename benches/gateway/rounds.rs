//! The rounds: each load, each candidate in turn, again and again, so that what the machine does beside falls on all.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    candidate::{Candidate, OFF, SUMS},
    check, client,
    figures::Figures,
    load::{self, Plan},
    payload::{self, Size},
    settings::Settings,
};

/// Connections of the closed loops.
pub(crate) const CONNECTIONS: usize = 32;
/// Those of the sweep.
pub(crate) const SWEEP: [usize; 5] = [1, 8, 32, 128, 512];
/// Chunks of a stream that is written as fast as it goes.
const FAST: usize = 100;
/// Chunks of one that is written as models write, and the pause after each, in microseconds.
const SLOW: (usize, u32) = (20, 2_000);

/// What is driven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// A closed loop of 32 connections.
    Closed(Size),
    /// An open loop.
    Open(Size),
    /// Streams without a pause, 32 at a time.
    Streams,
    /// Streams with pauses, a fixed number a second.
    FirstChunk,
    /// A closed loop of so many connections, of Orqen alone.
    Sweep(usize),
}

/// The figures of each load and candidate, one for each round.
pub(crate) type Results = BTreeMap<(Load, usize), Vec<Figures>>;

impl Load {
    /// All that the settings want.
    fn all(settings: &Settings) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add =
            |part, loads: Vec<Self>| all.extend(settings.wants(part).then_some(loads).into_iter().flatten());
        add("closed", settings.sizes().map(Self::Closed).collect());
        add("open", settings.sizes().map(Self::Open).collect());
        add("streams", vec![Self::Streams, Self::FirstChunk]);
        add("sweep", SWEEP.map(Self::Sweep).to_vec());
        all
    }

    /// Whether the candidate at this place takes part.
    fn drives(self, place: usize) -> bool {
        match self {
            Self::Closed(_) => true,
            Self::Sweep(_) => (OFF..SUMS).contains(&place),
            _ => place < SUMS,
        }
    }

    /// The size of what is sent.
    fn size(self) -> Size {
        match self {
            Self::Closed(size) | Self::Open(size) => size,
            _ => Size::Small,
        }
    }

    /// The chunks of its answers, and the pause after each.
    fn stream(self) -> Option<(usize, u32)> {
        match self {
            Self::Streams => Some((FAST, 0)),
            Self::FirstChunk => Some(SLOW),
            _ => None,
        }
    }
}

/// Runs all rounds.
pub(crate) async fn run(settings: &Settings, candidates: &[Candidate], mock: SocketAddr) -> Results {
    let mut results = Results::new();
    for round in 1..=settings.rounds {
        for load in Load::all(settings) {
            for (place, candidate) in candidates.iter().enumerate() {
                if !load.drives(place) {
                    continue;
                }
                let figures = one(settings, load, candidate, mock).await;
                results.entry((load, place)).or_default().push(figures);
            }
        }
        println!("round {round} of {} is done", settings.rounds);
    }
    results
}

/// One load on one candidate, once what must be right is.
async fn one(settings: &Settings, load: Load, candidate: &Candidate, mock: SocketAddr) -> Figures {
    let Some(to) = candidate.address else { return Figures::refused("not there".into()) };
    let (chunks, pause) = load.stream().unwrap_or((FAST, 0));
    client::get(mock, &format!("/set?chunks={chunks}&pause_us={pause}")).await.unwrap();
    let bodies = payload::bodies(load.size(), load.stream().is_some());
    if let Err(problem) = check::of(candidate, mock, &bodies[0]).await {
        return Figures::refused(problem);
    }
    let plan = Plan {
        to,
        id: candidate.id(),
        requests: payload::requests(to, candidate.key.as_deref(), &bodies),
        chunks: load.stream().map(|_| chunks),
        warm: settings.warm,
        seconds: settings.seconds,
    };
    match load {
        Load::Closed(_) | Load::Streams => load::closed(&plan, CONNECTIONS).await,
        Load::Sweep(connections) => load::closed(&plan, connections).await,
        Load::Open(_) => load::open(&plan, settings.rate).await,
        Load::FirstChunk => load::open(&plan, settings.rate.div_ceil(5)).await,
    }
}
