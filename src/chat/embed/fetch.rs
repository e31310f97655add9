//! The calls for vectors, and what is known of those that came.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use moka::sync::Cache;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{
    cooldown::{Cooldown, Permit},
    flights::{Claim, Flights, Landing},
};
use crate::{
    prune::{Likeness, Question},
    upstream::{Embedding, EmbeddingModel, EmbeddingProblem},
};

/// The most texts of one call. Servers that run one model on one machine commonly take 32, hosted ones 96 and more.
const BATCH: usize = 32;
/// The most calls at once for one request that brings many new tools.
const ABREAST: usize = 4;
/// The share of the memory that is for what was said: a text is seen in a few turns, a tool in thousands.
const SAID_SHARE: u64 = 8;
/// What an entry takes in memory beside its numbers.
const ENTRY: usize = 64;
/// How long texts that the upstream refused are not sent again, and how many are remembered.
const ASIDE_FOR: Duration = Duration::from_secs(60);
const ASIDE_MAX: u64 = 10_000;

/// Fetches vectors and keeps them.
pub(super) struct Fetcher {
    model: EmbeddingModel,
    seed: u64,
    tools: Cache<u128, Embedding>,
    said: Cache<u128, Embedding>,
    aside: Cache<u128, ()>,
    flights: Arc<Flights>,
    pub(super) cooldown: Cooldown,
    answered: AtomicBool,
    failures: AtomicU64,
}

/// What is known of a question's texts: the hashes of what they are made from, in the question's order.
pub(super) struct Keys {
    said: u128,
    tools: Vec<u128>,
}

/// A text to be sent.
#[derive(Debug)]
pub(super) struct Wanted {
    key: u128,
    is_tool: bool,
    text: String,
}

impl Fetcher {
    pub(super) fn new(model: EmbeddingModel, cache_bytes: u64, seed: u64) -> Self {
        let cache = |bytes: u64| {
            let weigh = |_: &u128, vector: &Embedding| (size_of_val::<[f32]>(vector) + ENTRY) as u32;
            Cache::builder().weigher(weigh).max_capacity(bytes).build()
        };
        let said = cache_bytes / SAID_SHARE;
        Self {
            model,
            seed,
            tools: cache(cache_bytes - said),
            said: cache(said),
            aside: Cache::builder().max_capacity(ASIDE_MAX).time_to_live(ASIDE_FOR).build(),
            flights: Arc::default(),
            cooldown: Cooldown::default(),
            answered: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        }
    }

    /// The keys of a question. A tool's is the hash of its definition, so that its text is only made when it is sent;
    /// seeded, so that nobody can make two definitions that share one.
    pub(super) fn keys(&self, question: &Question<'_>) -> Keys {
        let hash = |bytes: &[u8], seed: u64| xxh3_128_with_seed(bytes, seed);
        Keys {
            said: hash(question.said.as_bytes(), !self.seed),
            tools: question.tools.iter().map(|tool| hash(tool.json, self.seed)).collect(),
        }
    }

    /// What comes of the vectors, if all are at hand and can be compared.
    pub(super) fn find(&self, keys: &Keys) -> Option<Likeness> {
        let said = self.said.get(&keys.said)?;
        let tools: Vec<Embedding> =
            keys.tools.iter().map(|key| self.tools.get(key)).collect::<Option<_>>()?;
        let likeness = Likeness::new(&said, &tools);
        if likeness.is_none() {
            // Another model answers to the same name: what the one before it said is of no use.
            self.said.invalidate_all();
            self.tools.invalidate_all();
        }
        likeness
    }

    /// Whether the upstream has lately refused one of the texts.
    pub(super) fn is_set_aside(&self, keys: &Keys) -> bool {
        keys.all().any(|key| self.aside.contains_key(&key))
    }

    /// Claims what is missing.
    pub(super) fn claim(&self, keys: &Keys) -> (Option<Claim>, Vec<Landing>) {
        let known = |key: u128| self.tools.contains_key(&key) || self.said.contains_key(&key);
        let missing: Vec<u128> = keys.all().filter(|key| !known(*key)).collect();
        self.flights.claim(&missing, known)
    }

    /// Sends the texts and keeps what comes. The first failure ends it: what it would have brought the next will.
    pub(super) async fn run(&self, texts: Vec<Wanted>, permit: Permit) {
        let mut calls = stream::iter(batches(texts)).map(|batch| self.call(batch)).buffer_unordered(ABREAST);
        while let Some((batch, result)) = calls.next().await {
            if let Err(problem) = result {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if self.is_about_the_texts(&problem) {
                    tracing::debug!(upstream = self.model.upstream(), %problem, "texts were refused an embedding");
                    batch.iter().for_each(|wanted| self.aside.insert(wanted.key, ()));
                } else {
                    self.failed(permit, &problem);
                }
                return;
            }
        }
    }

    async fn call(&self, mut batch: Vec<Wanted>) -> (Vec<Wanted>, Result<(), EmbeddingProblem>) {
        let texts: Vec<String> = batch.iter_mut().map(|wanted| std::mem::take(&mut wanted.text)).collect();
        let result = self.model.embed(&texts).await.map(|vectors| {
            self.answered.store(true, Ordering::Relaxed);
            for (wanted, vector) in batch.iter().zip(vectors) {
                let cache = if wanted.is_tool { &self.tools } else { &self.said };
                cache.insert(wanted.key, vector);
            }
        });
        (batch, result)
    }

    /// Whether the upstream, which is known to answer, found fault with what one request brought: too long for the
    /// model, say. That must not put it out of reach for everybody.
    fn is_about_the_texts(&self, problem: &EmbeddingProblem) -> bool {
        matches!(problem, EmbeddingProblem::Status(400 | 413 | 422)) && self.answered.load(Ordering::Relaxed)
    }

    /// Takes note of a failure, and tells of it once for all that failed together.
    pub(super) fn failed(&self, permit: Permit, problem: &EmbeddingProblem) {
        if let Some(pause) = self.cooldown.failed(permit, Instant::now()) {
            let upstream = self.model.upstream();
            tracing::warn!(upstream, %problem, ?pause, "no embeddings: tools are chosen by words alone for a while");
        }
    }

    /// Takes note that the upstream answered in time.
    pub(super) fn succeeded(&self) {
        if self.cooldown.succeeded() {
            tracing::info!(upstream = self.model.upstream(), "embeddings are there again");
        }
    }

    /// How many calls failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Keys {
    /// All of them, that of what was said first.
    fn all(&self) -> impl Iterator<Item = u128> {
        std::iter::once(self.said).chain(self.tools.iter().copied())
    }

    /// The texts of the claimed keys.
    pub(super) fn texts(&self, question: &Question<'_>, claim: &Claim) -> Vec<Wanted> {
        let places: HashMap<u128, usize> = self.tools.iter().copied().zip(0..).collect();
        let text = |key: &u128| match places.get(key) {
            Some(place) => Wanted { key: *key, is_tool: true, text: question.tool_text(*place) },
            None => Wanted { key: *key, is_tool: false, text: question.said.clone() },
        };
        claim.keys.iter().map(text).collect()
    }
}

fn batches(texts: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut texts = texts.into_iter();
    let mut batches = Vec::new();
    loop {
        let batch: Vec<Wanted> = texts.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return batches;
        }
        batches.push(batch);
    }
}
