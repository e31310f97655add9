//! What other modules count for themselves. Read when `/metrics` is asked for, so that counting costs them what it
//! did, and written down here, so that every name and its words stand in one place.

use prometheus_client::{
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};

use super::PREFIX;

/// Figures with one label.
type Labelled<M> = Family<[(&'static str, &'static str); 1], M>;

/// Requests that went on unpruned, by the reason's word.
pub type Skips = Vec<(&'static str, u64)>;

/// The state of one process at one moment. Counts are since the start.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// Records that wait for the writer of usage.
    pub queue_depth: u64,
    /// How many may.
    pub queue_capacity: u64,
    /// Records that were lost.
    pub records_dropped: u64,
    /// Records that are in the sums alone.
    pub records_unlisted: u64,
    /// Records whose removed tools were not counted.
    pub records_uncounted: u64,
    /// Keys found in the cache.
    pub key_cache_hits: u64,
    /// Keys that the store was asked for.
    pub key_cache_misses: u64,
    /// Secrets in the cache, about.
    pub key_cache_entries: u64,
    /// Fetches of the keys of the issuer of JWTs, by how they ended.
    pub issuer_fetches: [(&'static str, u64); 2],
    /// Seconds since every change of the store was last known to be seen.
    pub store_staleness: f64,
    /// Changes of keys and accounts learnt of from the store.
    pub changes_applied: u64,
    /// Whether the store tells of changes.
    pub listening: bool,
    /// Refusals by the word for the limit.
    pub refusals: Vec<(&'static str, u64)>,
    /// Keys and accounts whose limits are counted.
    pub limiter_subjects: u64,
    /// Whether limits are to be shared and are not.
    pub limiter_away: bool,
    /// How often Redis went away.
    pub limiter_outages: u64,
    /// Requests counted by this process alone meanwhile.
    pub limiter_counted_apart: u64,
    /// Slots that could not be given back in Redis at once.
    pub limiter_releases_lost: u64,
    /// How often the store could not say what was saved so far.
    pub limiter_seeds_failed: u64,
    /// Requests that went on unpruned, by reason.
    pub skips: Skips,
    /// Requests that were to be compared by meaning: vectors at hand, waited for, gone on without.
    pub embeddings: [(&'static str, u64); 3],
    /// Calls for vectors that failed.
    pub embedding_failures: u64,
    /// Calls in answers to tools that keys may not use: taken out, and let through by `observe`.
    pub calls_withheld: [(&'static str, u64); 2],
    /// Answers that could not be checked for such calls.
    pub answers_refused: u64,
    /// Requests whose last byte is not out.
    pub requests_under_way: u64,
    /// Spans that no collector took.
    pub spans_lost: u64,
    /// Refused attempts that are not in the audit trail.
    pub refusals_unwritten: u64,
    /// When the process began, in seconds since 1970.
    pub started_at: f64,
}

impl Readings {
    /// A registry of what was read.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        self.gauges(&mut registry);
        self.counters(&mut registry);
        let mut words = |name: &str, help: &str, label, counts: &[(&'static str, u64)]| {
            registry.register(name, help, labelled(label, counts));
        };
        words("refusals", "Requests that a limit refused", "limit", &self.refusals);
        words("prune_skipped", "Requests whose tools all went on, by reason", "reason", &self.skips);
        let help = "Calls in answers to tools that the key may not use";
        words("tool_calls_denied", help, "result", &self.calls_withheld);
        words(
            "jwks_fetches",
            "Fetches of the issuer's keys from `auth.jwt.jwks_url`",
            "result",
            &self.issuer_fetches,
        );
        words("embedding_lookups", "Requests to compare by meaning", "result", &self.embeddings);
        registry
    }

    fn gauges(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, value: f64| {
            registry.register(name, help, ConstGauge::new(value));
        };
        add("usage_queue_depth", "Records that wait for the writer of usage", self.queue_depth as f64);
        add("usage_queue_capacity", "Records that may wait for it", self.queue_capacity as f64);
        add("key_cache_entries", "Secrets in the key cache, about", self.key_cache_entries as f64);
        let help = "Seconds since every change of the store was last known to be seen";
        add("store_staleness_seconds", help, self.store_staleness);
        let help = "1 while PostgreSQL tells of changes at once, 0 while they are found by polling";
        add("store_listening", help, f64::from(u8::from(self.listening)));
        let help = "Requests under way, streams to their last byte";
        add("requests_under_way", help, self.requests_under_way as f64);
        add("limiter_subjects", "Keys and accounts whose limits are counted", self.limiter_subjects as f64);
        let help = "1 while limits are to be shared through Redis and it is away";
        add("limiter_redis_away", help, f64::from(u8::from(self.limiter_away)));
        add("start_time_seconds", "When the process began, in seconds since 1970", self.started_at);
        registry.register("build_info", "The version that runs", build_info());
    }

    fn counters(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, count: u64| {
            registry.register(name, help, ConstCounter::new(count));
        };
        add("usage_records_dropped", "Records of usage that were lost", self.records_dropped);
        add("usage_records_unlisted", "Records kept in the sums alone", self.records_unlisted);
        let help = "Records kept without the tokens of their removed tools";
        add("usage_records_uncounted", help, self.records_uncounted);
        add("key_cache_hits", "Keys found in the cache", self.key_cache_hits);
        add("key_cache_misses", "Keys that the store was asked for", self.key_cache_misses);
        let help = "Changes of keys and accounts that were learnt of from the store";
        add("store_changes_applied", help, self.changes_applied);
        add("limiter_redis_outages", "How often Redis went away", self.limiter_outages);
        let help = "Requests counted by this process alone while Redis was away";
        add("limiter_counted_apart", help, self.limiter_counted_apart);
        let help = "Slots that came back by the end of their lease, not at once";
        add("limiter_releases_lost", help, self.limiter_releases_lost);
        let help = "Times that the store could not say what was saved so far";
        add("limiter_seeds_failed", help, self.limiter_seeds_failed);
        let help = "Answers kept back since they could not be checked for calls";
        add("answers_unreadable", help, self.answers_refused);
        let help =
            "Refused attempts that are not in the audit trail: too many of one key, or the store was away";
        add("audit_refusals_unwritten", help, self.refusals_unwritten);
        add("otel_spans_dropped", "Spans that no collector took", self.spans_lost);
        add("embedding_failures", "Calls for vectors that failed", self.embedding_failures);
    }
}

fn labelled(label: &'static str, counts: &[(&'static str, u64)]) -> Labelled<Counter> {
    let family = Labelled::<Counter>::default();
    for (word, count) in counts {
        family.get_or_create_owned(&[(label, *word)]).inc_by(*count);
    }
    family
}

fn build_info() -> Labelled<Gauge> {
    let family = Labelled::<Gauge>::default();
    family.get_or_create_owned(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
    family
}
