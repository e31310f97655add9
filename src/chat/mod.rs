//! A chat request from its bytes to its answer, in one function of six steps.
//!
//! The order is the product: admit, parse, permit, prune, send, meter, with the key already checked when it begins. It
//! is kept by types (`domain::chat_request`), so that no later step can work on what an earlier one took out.

mod answer;
mod arrival;
mod ask;
pub mod embed;
mod error;
mod explain;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod glance;
mod sieve;
pub mod sse;
pub mod typed;
mod watch;
mod withheld;

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use tokio::sync::Semaphore;

use crate::{
    clock::SharedClock,
    domain::{
        caller::Caller,
        chat_answer::AnswerGuard,
        chat_request::{
            Bounds, ChatRequest, Familiar, PermittedRequest, PreparedRequest, Refused, ToolArrays, ToolSet,
        },
        key::{AccountId, ToolMode},
        limits::{Limits, OwnLimits},
        policy::{Account, PruneMode},
        tool_health::ToolHealth,
        usage::{Ended, Routing, Saved},
    },
    limits::{self, Budget, RateLimiter, Requests, Rules, Standing},
    prune::{Ask, Likeness, Pruner, Ticket},
    tokens::{Part, Tokenizer},
    upstream::{Catalog, ModelInfo, UpstreamClient, UpstreamResponse},
    usage::{Pending, Spared, UsageRecorder},
};

use self::{answer::Running, embed::Embedder, watch::Watch, withheld::Received};
pub use self::{
    answer::{AnswerBody, ChatAnswer, Pruned},
    arrival::{Arrival, Arrivals},
    ask::Wish,
    error::{ChatError, ChatFailure},
    explain::{Explanation, Sent, ToolExplanation, ToolRule},
    withheld::Withheld,
};

pub use crate::prune::Reason;

/// What every chat request goes through.
pub struct ChatPipeline {
    /// Which upstream serves which model.
    pub catalog: Catalog,
    /// Who calls them.
    pub client: UpstreamClient,
    /// Who chooses tools.
    pub pruner: Arc<Pruner>,
    /// How much is pruned where an account's policy does not say; `None` switches it off for everybody.
    pub prune_mode: Option<PruneMode>,
    /// Who gives tools and texts a meaning; `None`: words alone decide.
    pub embedder: Option<Embedder>,
    /// Who says whether a request may go on.
    pub limiter: RateLimiter,
    /// Whether a spent budget of saved tokens refuses requests; otherwise they go on unpruned.
    pub refuses_spent: bool,
    /// Who knows how many tokens definitions have.
    pub tokenizer: Arc<Tokenizer>,
    /// What became of calls in answers that keys may not make.
    pub withheld: Withheld,
    /// Who remembers.
    pub recorder: UsageRecorder,
    /// The HTTP status that a client is told of an error, for the record.
    pub told: fn(&ChatError) -> u16,
    /// The time.
    pub clock: SharedClock,
    /// What a request may be at most.
    pub bounds: Bounds,
    /// The arrays of tools that were read before.
    pub arrays: ToolArrays,
    /// Who may count tokens for an explanation: one at a time, since they are counted while somebody waits, and a
    /// hostile definition takes a core for a tenth of a second.
    pub counting: Arc<Semaphore>,
}

/// Who asks, how and when.
struct Asked<'a> {
    caller: &'a Caller,
    account: AccountId,
    headers: &'a HeaderMap,
    now: DateTime<Utc>,
    budget: Budget,
}

impl ChatPipeline {
    /// Answers the request that arrived, in `body`, with those of the client's headers that the upstream lets through.
    ///
    /// Whatever comes of it, even when this future is dropped because the client hung up, its one record is kept.
    pub async fn complete(
        &self,
        arrival: Arrival,
        caller: &Caller,
        body: Bytes,
        headers: &HeaderMap,
    ) -> Result<ChatAnswer, ChatFailure> {
        let Arrival { mut pending, account } = arrival;
        let (now, policy) = (self.clock.now(), account.load());
        pending.whole(now);
        pending.policy(policy.policy.revision);
        let permit = match self.limiter.admit(&claim(caller, &policy, now)).await {
            Ok(permit) => permit,
            Err(refusal) => return Err(self.failed(pending, refusal.into(), refusal.requests)),
        };
        let asked = Asked { caller, account: policy.id, headers, now, budget: permit.budget };
        // Pinned here: a future that is awaited as it is is copied twice.
        let forwarded = pin!(self.forward(&asked, body, &mut pending)).await;
        match forwarded {
            Ok(answer) => Ok(answer.metered(Running { pending, permit })),
            Err(error) => Err(self.failed(pending, error, permit.requests)),
        }
    }

    /// Who opens the records of requests that are to be completed here.
    pub fn arrivals(&self) -> Arrivals {
        Arrivals(self.recorder.clone())
    }

    fn failed(&self, mut pending: Pending, error: ChatError, requests: Option<Requests>) -> ChatFailure {
        pending.status((self.told)(&error));
        let upstream = matches!(error, ChatError::Upstream(_));
        pending.end(if upstream { Ended::Upstream } else { Ended::Error });
        ChatFailure { error, requests }
    }

    async fn forward(
        &self,
        asked: &Asked<'_>,
        body: Bytes,
        pending: &mut Pending,
    ) -> Result<answer::Unmetered, ChatError> {
        let Asked { caller, account, headers, now, budget } = *asked;
        let spent = budget != Budget::Left;
        if spent && self.refuses_spent {
            self.limiter.refused_spent();
            return Err(ChatError::Spent { budget, now });
        }
        let wish = Wish::read(headers)?;
        if let Some(session) = wish.session() {
            pending.session(session);
        }
        let familiar = Familiar { arrays: &self.arrays, owner: account.0, keeps: true };
        let request = ChatRequest::parse_familiar(body, &self.bounds, familiar)?;
        pending.asked(request.model(), request.stream());
        let route = self.catalog.resolve(request.model())?;
        pending.upstream(route.upstream.shared_name());
        let permitted = request
            .permit(caller.toollist(), caller.tool_mode(), route.upstream.tool_members())
            .inspect_err(|refused| {
                if let Refused::ToolNotAllowed { tally, .. } = refused {
                    pending.tools(*tally);
                }
            })?;
        let mut ask = wish.ask(caller, self.prune_mode, now)?;
        if spent {
            ask.mode = PruneMode::Off;
        }
        let likeness = self.likeness(&permitted, &ask).await;
        let mut choice = self.pruner.choose_by(&permitted, &ask, likeness.as_ref());
        if spent && choice.routing.is_some() {
            (choice.routing, choice.skipped) = (Some(Routing::Limit), None);
        }
        let permitted = if route.upstream.tells_usage() { permitted.asking_usage() } else { permitted };
        let prepared = permitted.keep(&choice.selection, route.model.as_deref());
        pending.tools(prepared.tally());
        pending.routing(choice.routing);
        if choice.missed {
            pending.missed();
        }
        let tokens_saved = self.saved(&prepared, pending);
        let pruned = Pruned { routing: choice.routing, skipped: choice.skipped, tokens_saved };
        pending.sent();
        let response = self.client.send(&route.upstream, &prepared, headers).await?;
        let learner = choice.ticket.map(|ticket| (Arc::clone(&self.pruner), ticket));
        let received = self.received(caller, response, learner, pending).await?;
        Ok(answer::Unmetered {
            received,
            withheld: self.withheld.clone(),
            tally: prepared.tally(),
            pruned,
            hides_usage: prepared.hides_usage(),
        })
    }

    /// The provider's answer as far as the caller's lists let it go on. Of one that they do not, the figures count.
    async fn received(
        &self,
        caller: &Caller,
        response: UpstreamResponse,
        learner: Option<(Arc<Pruner>, Ticket)>,
        pending: &mut Pending,
    ) -> Result<Received, ChatError> {
        let (list, mode) = (caller.toollist(), caller.tool_mode());
        let observed = (mode == ToolMode::Observe && !list.permits_all()).then(|| list.clone());
        let watch = Box::new(Watch::new(learner, observed, &response));
        let mut received = Received { response, watch, guard: AnswerGuard::new(list, mode) };
        match received.check(&self.withheld).await {
            Ok(()) => Ok(received),
            Err(error) => {
                answer::tell(received.watch, &self.withheld, pending);
                Err(error.into())
            }
        }
    }

    /// Notes what was removed and cut. Gives its tokens where the writer of usage has counted them before; else it will.
    fn saved(&self, prepared: &PreparedRequest, pending: &mut Pending) -> Option<u64> {
        let known = self.known_tokens(prepared);
        match known {
            Some((lists, pruning)) => {
                let tokens = |tokens| i64::try_from(tokens).unwrap_or(i64::MAX);
                pending.saved(Saved { lists: tokens(lists), pruning: tokens(pruning) });
            }
            None => {
                self.tokenizer.expect();
                pending.spared(Spared {
                    by_lists: prepared.removed_by_lists().clone(),
                    by_pruning: prepared.removed_by_selection().clone(),
                    slimmed: prepared.slimmed().clone(),
                });
            }
        }
        known.map(|(lists, pruning)| lists + pruning)
    }

    /// The tokens that the lists saved, and those that pruning did.
    fn known_tokens(&self, prepared: &PreparedRequest) -> Option<(u64, u64)> {
        let known = |part, set: &ToolSet| self.tokenizer.known_set(part, set);
        let pruned = known(Part::Whole, prepared.removed_by_selection())?;
        Some((
            known(Part::Whole, prepared.removed_by_lists())?,
            pruned + known(Part::Texts, prepared.slimmed())?,
        ))
    }

    /// Where the limits of a caller stand, and those of its account as a whole. Takes nothing.
    pub async fn limits_left(&self, caller: &Caller) -> [Standing; 2] {
        let Some(account) = caller.account() else { return Default::default() };
        let ask = claim(caller, &account.load(), self.clock.now());
        self.limiter.peek(&ask).await
    }

    /// How the tools that an account's agents offer have fared.
    pub fn tool_health(&self, account: AccountId) -> Vec<ToolHealth> {
        self.pruner.tool_health(account)
    }

    /// How alike, in meaning, what was said and the permitted tools are. Takes a bounded time, none where it is not
    /// configured or nothing is to be chosen.
    async fn likeness(&self, permitted: &PermittedRequest, ask: &Ask<'_>) -> Option<Likeness> {
        let embedder = self.embedder.as_ref()?;
        Box::pin(embedder.likeness(&self.pruner.question(permitted, ask)?)).await
    }

    /// The models that requests may name.
    pub async fn models(&self) -> Vec<ModelInfo> {
        self.catalog.models().await
    }
}

/// What the limiter is asked: the limits of the key, or of a key that has none of its own for callers without one.
fn claim(caller: &Caller, account: &Account, now: DateTime<Utc>) -> limits::Ask {
    let limits = match caller.key() {
        Some(key) => key.limits(&account.policy),
        None => Limits::of(&OwnLimits::default(), &account.policy),
    };
    limits::Ask {
        account: account.id,
        key: caller.key_id(),
        key_rules: Rules::from(&limits),
        account_rules: Rules::of_account(&account.policy),
        now,
    }
}
