//! Which upstream a model name leads to.
//!
//! In this order: `orqen/demo`; `name/model`, where `name` is a configured upstream; a literal name in the
//! configuration; a pattern. Upstreams come in configuration order. A prefix that names an upstream is decisive:
//! when that upstream's `models` has entries, the rest of the name must match one of them, and no other upstream is
//! tried. The operator's list is a boundary, and a name must not lead elsewhere because it ran into it.

use std::{collections::HashSet, sync::Arc};

use super::{
    endpoint::Upstream,
    settings::{self, CatalogError, Environment},
    transport,
};
use crate::{config, domain::violation::shown};

/// The in-process model's name.
pub const DEMO_MODEL: &str = "orqen/demo";
/// How long the list of models in a message may get, in bytes.
const LONGEST_HINT: usize = 600;

/// Every upstream, with the models that lead to it.
#[derive(Debug)]
pub struct Catalog {
    pub(super) upstreams: Vec<Arc<Upstream>>,
    pub(super) demo: Option<Arc<Upstream>>,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The model as the upstream knows it, when that is not what the client wrote: a prefix was stripped, or there
    /// was no model and the default was taken.
    pub model: Option<String>,
}

/// No upstream serves the model that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelNotFound {
    /// Says which model, and which there are.
    pub message: String,
    /// The request named no model at all: a fault of the request rather than a model that is not there.
    pub missing: bool,
}

impl Catalog {
    /// Reads every upstream's credential and checks every value; the first fault is the error.
    pub fn new(
        upstreams: &[config::Upstream],
        demo: &config::Demo,
        environment: Environment<'_>,
    ) -> Result<Self, CatalogError> {
        let tls = transport::tls(upstreams.iter().any(settings::is_https)).map_err(CatalogError::Roots)?;
        let mut names = HashSet::new();
        let mut built = Vec::with_capacity(upstreams.len());
        for settings in upstreams {
            if !names.insert(settings.name.as_str()) {
                return Err(CatalogError::Invalid {
                    upstream: shown(&settings.name),
                    field: "name",
                    problem: "is there twice: each upstream needs a name of its own".into(),
                });
            }
            built.push(Arc::new(settings::upstream(settings, environment, &tls)?));
        }
        Ok(Self { upstreams: built, demo: demo.enabled.then(|| Arc::new(Upstream::demo())) })
    }

    /// The upstream of this name; `None` where none is configured.
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|upstream| upstream.name() == name)
    }

    /// Where a request for `model` goes. Without a model that is the demo while no upstream is configured.
    pub fn resolve(&self, model: Option<&str>) -> Result<Route, ModelNotFound> {
        let Some(model) = model.filter(|model| !model.is_empty()) else {
            return self.default_route();
        };
        self.find(model).ok_or_else(|| self.not_found(model))
    }

    /// As `resolve`, for a name that is there.
    pub(super) fn find(&self, model: &str) -> Option<Route> {
        if let Some((prefix, rest)) = model.split_once('/') {
            if prefix == "orqen" {
                return self.demo.clone().filter(|_| model == DEMO_MODEL).map(as_written);
            }
            if let Some(upstream) = self.upstreams.iter().find(|upstream| upstream.name() == prefix) {
                let served = !rest.is_empty() && (upstream.models.is_empty() || upstream.serves(rest));
                return served
                    .then(|| Route { upstream: Arc::clone(upstream), model: Some(rest.to_owned()) });
            }
        }
        self.named(model).cloned().map(as_written)
    }

    /// The upstream whose list has `model`, literally or else by pattern.
    fn named(&self, model: &str) -> Option<&Arc<Upstream>> {
        let literal = |upstream: &&Arc<Upstream>| {
            upstream.models.iter().any(|name| name.is_literal() && name.as_str() == model)
        };
        self.upstreams
            .iter()
            .find(literal)
            .or_else(|| self.upstreams.iter().find(|upstream| upstream.serves(model)))
    }

    fn default_route(&self) -> Result<Route, ModelNotFound> {
        match &self.demo {
            Some(demo) if self.upstreams.is_empty() => {
                Ok(Route { upstream: Arc::clone(demo), model: Some(DEMO_MODEL.to_owned()) })
            }
            _ => Err(ModelNotFound { message: format!("`model` is needed: {}", self.hint()), missing: true }),
        }
    }

    fn not_found(&self, model: &str) -> ModelNotFound {
        let message = format!("there is no model {}: {}", shown(model), self.hint());
        ModelNotFound { message, missing: false }
    }

    /// The names and patterns there are, as far as they have room in a message.
    fn hint(&self) -> String {
        let listed = self.upstreams.iter().flat_map(|upstream| {
            let any = upstream.models.is_empty().then(|| format!("{}/*", upstream.name));
            any.into_iter().chain(upstream.models.iter().map(|pattern| pattern.as_str().to_owned()))
        });
        let mut hint = String::new();
        for name in self.demo.iter().map(|_| DEMO_MODEL.to_owned()).chain(listed) {
            if hint.len() + name.len() > LONGEST_HINT {
                hint.push_str(", …");
                break;
            }
            hint.push_str(if hint.is_empty() { "there are " } else { ", " });
            hint.push_str(&name);
        }
        if hint.is_empty() {
            return "no upstream is configured and the demo is off; the operator adds `[[upstreams]]`".into();
        }
        hint.push_str(" (`*` stands for anything; GET /v1/models lists them)");
        hint
    }
}

fn as_written(upstream: Arc<Upstream>) -> Route {
    Route { upstream, model: None }
}
