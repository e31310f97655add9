//! Which models there are: the configuration's literal names, the providers' own lists as far as their patterns
//! let them through, and the demo.
//!
//! A provider's list is fetched by whoever asks while it is stale, one at a time for each provider and all providers
//! side by side, and nobody waits longer than two seconds: after that the last list, or the literal names alone,
//! are the answer. There is no background task to own, and an Orqen that nobody asks asks nobody.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    catalog::{Catalog, DEMO_MODEL},
    endpoint::{Endpoint, Kind, Upstream},
    headers,
};

/// How long one answer of `models` may take.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a provider's list is good for.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long a provider that failed is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// The largest list that is read. The largest known, of aggregators, has some hundred models in half a megabyte.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
const MOST_MODELS: usize = 10_000;
const LONGEST_NAME: usize = 256;

/// A model as `GET /v1/models` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name that leads to it.
    pub id: String,
    /// When it came about, in Unix seconds, as its provider says; 0 when it does not.
    pub created: i64,
    /// The upstream it belongs to; `orqen` for the demo.
    pub owned_by: String,
}

impl Catalog {
    /// The models there are, sorted by name, none twice. Takes at most two seconds.
    pub async fn models(&self) -> Vec<ModelInfo> {
        let deadline = Instant::now() + LONGEST_WAIT;
        let lists = join_all(self.upstreams.iter().map(|upstream| listed(upstream, deadline))).await;
        let mut models = BTreeMap::new();
        if self.demo.is_some() {
            add(&mut models, DEMO_MODEL.to_owned(), 0, "orqen");
        }
        for (upstream, list) in self.upstreams.iter().zip(&lists) {
            for model in list.iter() {
                if let Some(id) = self.public_name(upstream, &model.id) {
                    add(&mut models, id, model.created, upstream.name());
                }
            }
            for literal in upstream.models.iter().filter(|pattern| pattern.is_literal()) {
                if let Some(id) = self.public_name(upstream, literal.as_str()) {
                    add(&mut models, id, 0, upstream.name());
                }
            }
        }
        models.into_values().collect()
    }

    /// The name by which `find` leads to this upstream's `model`: with the prefix where the bare name leads
    /// elsewhere or nowhere; `None` when the upstream's own patterns leave it out.
    fn public_name(&self, upstream: &Arc<Upstream>, model: &str) -> Option<String> {
        let leads_here = |name: &str| {
            self.find(name).is_some_and(|route| {
                Arc::ptr_eq(&route.upstream, upstream) && route.model.as_deref().unwrap_or(name) == model
            })
        };
        if leads_here(model) {
            return Some(model.to_owned());
        }
        let prefixed = format!("{}/{model}", upstream.name());
        leads_here(&prefixed).then_some(prefixed)
    }
}

fn add(models: &mut BTreeMap<String, ModelInfo>, id: String, created: i64, owned_by: &str) {
    let model = || ModelInfo { id: id.clone(), created, owned_by: owned_by.to_owned() };
    models.entry(id.clone()).or_insert_with(model);
}

/// What is known of a provider's own list.
#[derive(Debug, Default)]
pub(super) struct Listing {
    last: ArcSwap<Vec<Listed>>,
    /// When to ask again. Its lock is what keeps it to one request at a time.
    next: Mutex<Option<Instant>>,
}

/// A model of a provider's list.
#[derive(Debug, Clone, Deserialize)]
struct Listed {
    id: String,
    #[serde(default, deserialize_with = "seconds")]
    created: i64,
}

/// OpenAI's shape, and the bare array that some compatible providers answer with.
#[derive(Deserialize)]
#[serde(untagged)]
enum Page {
    List { data: Vec<Listed> },
    Bare(Vec<Listed>),
}

/// Whatever is no whole number counts as unknown: one odd entry must not cost the list.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_i64().unwrap_or_default())
}

/// The provider's list, fetched when it is stale and there is time.
async fn listed(upstream: &Upstream, deadline: Instant) -> Arc<Vec<Listed>> {
    let Kind::Http(endpoint) = &upstream.kind else { return Arc::default() };
    // Literal names say it all: no need to ask.
    if !upstream.models.is_empty() && upstream.models.iter().all(|pattern| pattern.is_literal()) {
        return Arc::default();
    }
    let listing = &endpoint.listing;
    if let Ok(mut next) = timeout_at(deadline, listing.next.lock()).await
        && next.is_none_or(|next| next <= Instant::now())
    {
        // Set before the request, so that a caller who leaves in the middle of it counts as a failure: otherwise
        // every hung-up client would be one more request to a provider that is slow already.
        *next = Some(Instant::now() + LEFT_ALONE);
        match timeout_at(deadline, fetch(upstream, endpoint)).await {
            Ok(Ok(list)) => {
                listing.last.store(Arc::new(list));
                *next = Some(Instant::now() + FRESH);
            }
            Ok(Err(problem)) => tracing::warn!(upstream = upstream.name(), problem, "no list of models"),
            Err(_) => tracing::warn!(upstream = upstream.name(), problem = "too slow", "no list of models"),
        }
    }
    listing.last.load_full()
}

/// One request for the list. The error is a word for the log, and holds nothing that the provider wrote.
async fn fetch(upstream: &Upstream, endpoint: &Endpoint) -> Result<Vec<Listed>, String> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = endpoint.models.clone();
    *request.headers_mut() = headers::listing(endpoint);
    let response = endpoint.transport.call(request).await.map_err(|broken| format!("{broken:?}"))?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), LARGEST_BODY).collect().await;
    let body = body.map_err(|_| "it broke off or is too large".to_owned())?.to_bytes();
    let page = serde_json::from_slice(&body).map_err(|_| "it is no list of models".to_owned())?;
    let (Page::List { data } | Page::Bare(data)) = page;
    let fits = |model: &Listed| {
        (upstream.models.is_empty() || upstream.serves(&model.id))
            && !model.id.is_empty()
            && model.id.len() <= LONGEST_NAME
            && !model.id.chars().any(char::is_control)
    };
    Ok(data.into_iter().filter(fits).take(MOST_MODELS).collect())
}
