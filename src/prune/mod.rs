//! Chooses, of the tools that the lists let through, those that this turn needs.
//!
//! It does no I/O and cannot widen anything: it sees only a `PermittedRequest`, and the `Selection` it gives can
//! only remove. Whatever goes wrong in here, what goes on is what the lists let through, never what the client sent.

use crate::{
    config,
    domain::chat_request::{PermittedRequest, Selection},
};

/// How tools are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// All that the lists let through go on.
    KeepAll,
}

/// Chooses tools.
#[derive(Debug, Clone)]
pub struct Pruner {
    strategy: Strategy,
}

impl Pruner {
    /// A pruner as configured. Keeping everything is the only strategy so far, so that `pruning.enabled` has
    /// nothing to switch off yet.
    pub fn new(_config: &config::Pruning) -> Self {
        Self { strategy: Strategy::KeepAll }
    }

    /// Which of the permitted tools go on.
    pub fn choose(&self, _request: &PermittedRequest) -> Selection {
        match self.strategy {
            Strategy::KeepAll => Selection::All,
        }
    }
}
