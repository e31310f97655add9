//! Sums of requests. Their names are written once, so that a figure cannot be left out where they are added,
//! stored or shown.

use std::ops::AddAssign;

use super::{Ended, Record};

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The sums of some requests.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Totals { $($(#[$doc])* pub $name: i64,)* }

        impl Totals {
            /// The names of the figures, in order.
            pub const NAMES: [&'static str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            /// The figures, in the order of `NAMES`.
            pub fn figures(&self) -> [i64; Self::NAMES.len()] {
                [$(self.$name),*]
            }

            /// The sums with these figures, in the order of `NAMES`.
            pub fn from_figures([$($name),*]: [i64; Self::NAMES.len()]) -> Self {
                Self { $($name),* }
            }
        }

        impl AddAssign for Totals {
            fn add_assign(&mut self, more: Self) {
                $(self.$name = self.$name.saturating_add(more.$name);)*
            }
        }
    };
}

totals! {
    /// Requests that were answered to the last byte.
    complete,
    /// Requests that the client left.
    client,
    /// Requests that the provider failed.
    upstream,
    /// Requests that Orqen refused or failed.
    error,
    /// Tools in the requests.
    tools_input,
    /// Tools removed by lists.
    tools_denied,
    /// Tools that the lists would have removed in `observe` mode.
    tools_would_deny,
    /// Tools forwarded.
    tools_output,
    /// Tool calls in the answers.
    tools_called,
    /// Calls to tools that pruning had removed.
    recall_misses,
    /// Tokens of the requests, as providers reported them.
    prompt_tokens,
    /// Tokens of the answers, as providers reported them.
    completion_tokens,
    /// Those of `prompt_tokens` that came from a provider's cache.
    cached_tokens,
    /// Tokens of the removed definitions: the next two, and of days before they were kept apart, both.
    tokens_saved,
    /// Tokens of the definitions that pruning removed.
    tokens_saved_pruning,
    /// Tokens of the definitions that lists removed.
    tokens_saved_lists,
}

impl Totals {
    /// All requests.
    pub fn requests(&self) -> i64 {
        [self.complete, self.client, self.upstream, self.error].into_iter().fold(0, i64::saturating_add)
    }
}

impl From<&Record> for Totals {
    fn from(record: &Record) -> Self {
        let one = |ended| i64::from(record.ended == ended);
        let tools = record.tools;
        Self {
            complete: one(Ended::Complete),
            client: one(Ended::Client),
            upstream: one(Ended::Upstream),
            error: one(Ended::Error),
            tools_input: tools.input.into(),
            tools_denied: tools.denied.into(),
            tools_would_deny: tools.would_deny.into(),
            tools_output: tools.output.into(),
            tools_called: record.called.into(),
            recall_misses: record.recall_misses.into(),
            prompt_tokens: record.tokens.prompt.unwrap_or(0),
            completion_tokens: record.tokens.completion.unwrap_or(0),
            cached_tokens: record.tokens.cached.unwrap_or(0),
            tokens_saved: record.saved.pruning.saturating_add(record.saved.lists),
            tokens_saved_pruning: record.saved.pruning,
            tokens_saved_lists: record.saved.lists,
        }
    }
}
