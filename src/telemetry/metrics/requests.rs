//! Chat requests, from their records. The upstream's name is the only label that is not a word of ours, and it comes
//! from the configuration; the model is none, since clients write it.

use std::sync::{Mutex, PoisonError};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::Histogram,
    },
    registry::Registry,
};

use super::class;
use crate::domain::usage::{Ended, Record, Routing};

/// Seconds of our own work: from what a request without tools takes to what nobody should ever see.
const OWN: [f64; 14] = [5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 0.01, 0.025, 0.1, 0.5, 2.5];
/// Seconds of a provider's work; up to the time that it is given by default.
const UPSTREAM: [f64; 14] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0];

/// How tools may have been compared.
const ROUTINGS: [Routing; 3] = [Routing::Keyword, Routing::Semantic, Routing::Limit];

const LISTS: &str = "lists";
const PRUNING: &str = "pruning";

type Labels<const N: usize> = [(&'static str, &'static str); N];
type ByUpstream = [(&'static str, String); 1];

/// Histograms of a provider's times.
#[derive(Debug, Clone, Copy)]
struct UpstreamTimes;

impl MetricConstructor<Histogram> for UpstreamTimes {
    fn new_metric(&self) -> Histogram {
        Histogram::new(UPSTREAM)
    }
}

/// Members of a family that were used before, found by a look at each: there are few, and a record asks for three of them,
/// each of which would else be looked up by a hash of labels made for it.
#[derive(Debug)]
struct Known<L, M>(Mutex<Vec<(L, M)>>);

impl<L, M> Default for Known<L, M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L, M: Clone> Known<L, M> {
    fn find(&self, is: impl Fn(&L) -> bool, new: impl FnOnce() -> (L, M)) -> M {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, member)) = known.iter().find(|(labels, _)| is(labels)) {
            return member.clone();
        }
        let new = new();
        let member = new.1.clone();
        known.push(new);
        member
    }
}

/// What requests are counted by.
#[derive(Debug)]
struct Fate {
    ended: Ended,
    class: &'static str,
    streamed: bool,
    upstream: String,
}

/// Times by upstream.
#[derive(Debug)]
struct Times {
    family: Family<ByUpstream, Histogram, UpstreamTimes>,
    known: Known<String, Histogram>,
}

impl Times {
    fn observe(&self, upstream: &str, micros: Option<i64>) {
        let Some(micros) = micros else { return };
        let new = || {
            let histogram = self.family.get_or_create_owned(&[("upstream", upstream.to_owned())]);
            (upstream.to_owned(), histogram)
        };
        self.known.find(|known| known == upstream, new).observe(seconds(micros));
    }
}

#[derive(Debug)]
pub(super) struct Requests {
    requests: Family<[(&'static str, String); 4], Counter>,
    known: Known<Fate, Counter>,
    own: Histogram,
    upstream: Times,
    first_byte: Times,
    selections: [Counter; ROUTINGS.len()],
    received: Counter,
    forwarded: Counter,
    removed: [Counter; 2],
    would_deny: Counter,
    called: Counter,
    misses: Counter,
    saved: [Counter; 2],
    prompt: Counter,
    completion: Counter,
    cached: Counter,
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let times = || Times { family: Family::new_with_constructor(UpstreamTimes), known: Known::default() };
        let selections = Family::<Labels<1>, Counter>::default();
        let new = Self {
            requests: Family::default(),
            known: Known::default(),
            own: Histogram::new(OWN),
            upstream: times(),
            first_byte: times(),
            selections: ROUTINGS
                .map(|routing| selections.get_or_create_owned(&[("routing", routing.as_str())])),
            removed: by_cause(registry, "tools_removed", "Tools taken out of requests, by what took them"),
            saved: by_cause(registry, "tokens_saved", "Tokens of the definitions that were taken out"),
            received: counter(registry, "tools_received", "Tools in requests as they came"),
            forwarded: counter(registry, "tools_forwarded", "Tools sent on to upstreams"),
            would_deny: counter(registry, "tools_would_deny", "Tools that lists in observe mode let through"),
            called: counter(registry, "tool_calls", "Tool calls in answers"),
            misses: counter(registry, "recall_misses", "Calls in answers to tools that pruning had removed"),
            prompt: counter(registry, "prompt_tokens", "Tokens of requests, as upstreams reported them"),
            completion: counter(
                registry,
                "completion_tokens",
                "Tokens of answers, as upstreams reported them",
            ),
            cached: counter(registry, "cached_tokens", "Those of the prompt tokens from an upstream's cache"),
        };
        let help = "From sending to the answer's last byte";
        registry.register("upstream_duration_seconds", help, new.upstream.family.clone());
        let help = "From a request's arrival to the answer's first byte";
        registry.register("time_to_first_byte_seconds", help, new.first_byte.family.clone());
        let help = "Orqen's own part of a request's time, without the upstream's";
        registry.register("own_duration_seconds", help, new.own.clone());
        let help = "Chat requests by how they ended, the status that the client was told, and upstream";
        registry.register("requests", help, new.requests.clone());
        let help = "Requests with tools by how these were compared with the conversation";
        registry.register("tool_selections", help, selections);
        new
    }

    pub(super) fn add(&self, record: &Record) {
        let upstream = record.upstream.as_deref().unwrap_or("none");
        self.alike(record, upstream).inc();
        let latency = record.latency;
        self.own.observe(seconds(latency.own_us));
        self.upstream.observe(upstream, latency.upstream_us);
        self.first_byte.observe(upstream, latency.first_byte_us);
        self.tools(record);
        for (counter, tokens) in [
            (&self.saved[0], Some(record.saved.lists)),
            (&self.saved[1], Some(record.saved.pruning)),
            (&self.prompt, record.tokens.prompt),
            (&self.completion, record.tokens.completion),
            (&self.cached, record.tokens.cached),
        ] {
            counter.inc_by(tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or_default());
        }
    }

    /// The counter of requests like this one.
    fn alike(&self, record: &Record, upstream: &str) -> Counter {
        let (ended, class, streamed) =
            (record.ended, class(record.status.unwrap_or_default()), record.streamed);
        let is = |fate: &Fate| {
            fate.ended == ended
                && fate.streamed == streamed
                && fate.class == class
                && fate.upstream == upstream
        };
        let new = || {
            let labels = [
                ("outcome", ended.as_str().to_owned()),
                ("status", class.to_owned()),
                ("streamed", streamed.to_string()),
                ("upstream", upstream.to_owned()),
            ];
            let fate = Fate { ended, class, streamed, upstream: upstream.to_owned() };
            (fate, self.requests.get_or_create_owned(&labels))
        };
        self.known.find(is, new)
    }

    fn tools(&self, record: &Record) {
        let tools = record.tools;
        self.received.inc_by(tools.input.into());
        self.removed[0].inc_by(tools.denied.into());
        self.would_deny.inc_by(tools.would_deny.into());
        self.called.inc_by(record.called.into());
        self.misses.inc_by(record.recall_misses.into());
        // Of a request that was refused nothing went on, which is not pruning's doing.
        if record.latency.upstream_us.is_some() {
            self.forwarded.inc_by(tools.output.into());
            let pruned = tools.input.saturating_sub(tools.denied).saturating_sub(tools.output);
            self.removed[1].inc_by(pruned.into());
        }
        if let Some(routing) = record.routing {
            let counters = ROUTINGS.iter().zip(&self.selections).filter(|(known, _)| **known == routing);
            for (_, counter) in counters {
                counter.inc();
            }
        }
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// What lists did, and what pruning did.
fn by_cause(registry: &mut Registry, name: &str, help: &str) -> [Counter; 2] {
    let family = Family::<Labels<1>, Counter>::default();
    let counters = [LISTS, PRUNING].map(|cause| family.get_or_create_owned(&[("by", cause)]));
    registry.register(name, help, family);
    counters
}

/// Seconds from microseconds.
fn seconds(micros: i64) -> f64 {
    // Exact up to centuries.
    micros as f64 / 1e6
}
