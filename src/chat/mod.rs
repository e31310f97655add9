//! A chat request from its bytes to its answer, in one function of six steps.
//!
//! The order is the product: parse, permit, prune, send, meter, with the key already checked when it begins. It
//! is kept by types (`domain::chat_request`), so that no later step can work on what an earlier one took out.

mod answer;
mod ask;
mod calls;
pub mod embed;
pub mod sse;
pub mod typed;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;

use crate::{
    clock::SharedClock,
    domain::{
        caller::Caller,
        chat_request::{Bounds, ChatRequest, Malformed, PermittedRequest, Refused},
        key::AccountId,
        policy::PruneMode,
        request_id::RequestId,
        tool_health::ToolHealth,
        usage::{Ended, Record, Routing},
    },
    prune::{Ask, Likeness, Pruner},
    upstream::{Catalog, ModelInfo, ModelNotFound, UpstreamClient, UpstreamError},
    usage::{Pending, UsageRecorder},
};

pub use self::answer::{AnswerBody, ChatAnswer, Pruned};
use self::{ask::Wish, calls::Watch, embed::Embedder};

/// Why a chat request got no answer of a provider.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The caller acts for no account.
    #[error("the caller acts for no account")]
    NoAccount,
    /// The body is no chat request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The tool lists forbid it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No upstream serves the model.
    #[error(transparent)]
    Model(#[from] ModelNotFound),
    /// The provider cannot be reached, is too slow, or refuses our credential.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

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
    /// Who remembers.
    pub recorder: UsageRecorder,
    /// The HTTP status that a client is told of an error, for the record.
    pub told: fn(&ChatError) -> u16,
    /// The time.
    pub clock: SharedClock,
    /// What a request may be at most.
    pub bounds: Bounds,
}

/// Who asks, how and when.
struct Asked<'a> {
    caller: &'a Caller,
    headers: &'a HeaderMap,
    now: DateTime<Utc>,
}

impl ChatPipeline {
    /// Answers the request in `body`, with those of the client's headers that the upstream lets through.
    ///
    /// Whatever comes of it, even when this future is dropped because the client hung up, one record is kept,
    /// under `id`.
    pub async fn complete(
        &self,
        id: RequestId,
        caller: &Caller,
        body: Bytes,
        headers: &HeaderMap,
    ) -> Result<ChatAnswer, ChatError> {
        let account = caller.account().ok_or(ChatError::NoAccount)?;
        let now = self.clock.now();
        let mut pending = self.recorder.begin(Record::begun(id, account.id, caller.key_id(), now));
        pending.policy(account.load().policy.revision);
        let asked = Asked { caller, headers, now };
        match self.forward(&asked, body, &mut pending).await {
            Ok(answer) => Ok(answer.metered(pending)),
            Err(error) => {
                pending.status((self.told)(&error));
                pending.end(if matches!(error, ChatError::Upstream(_)) {
                    Ended::Upstream
                } else {
                    Ended::Error
                });
                Err(error)
            }
        }
    }

    async fn forward(
        &self,
        asked: &Asked<'_>,
        body: Bytes,
        pending: &mut Pending,
    ) -> Result<answer::Unmetered, ChatError> {
        let Asked { caller, headers, now } = *asked;
        let wish = Wish::read(headers)?;
        if let Some(session) = wish.session() {
            pending.session(session);
        }
        let request = ChatRequest::parse(body, &self.bounds)?;
        pending.asked(request.model(), request.stream());
        let route = self.catalog.resolve(request.model())?;
        pending.upstream(route.upstream.name());
        let permitted = request
            .permit(caller.toollist(), caller.tool_mode(), route.upstream.tool_members())
            .inspect_err(|refused| {
                if let Refused::ToolNotAllowed { tally, .. } = refused {
                    pending.tools(*tally, &[], &[]);
                }
            })?;
        let ask = wish.ask(caller, self.prune_mode, now)?;
        let likeness = self.likeness(&permitted, &ask).await;
        let choice = self.pruner.choose_by(&permitted, &ask, likeness.as_ref());
        let prepared = permitted.keep(&choice.selection, route.model.as_deref());
        pending.tools(prepared.tally(), prepared.removed_by_lists(), prepared.removed_by_selection());
        pending.routing(choice.routing.and_then(|routing| Routing::from_word(routing.as_str())));
        let pruned = Pruned { routing: choice.routing, skipped: choice.skipped };
        pending.sent();
        let response = self.client.send(&route.upstream, &prepared, headers).await?;
        let watch = choice.ticket.map(|ticket| Watch::new(Arc::clone(&self.pruner), ticket, &response));
        Ok(answer::Unmetered { response, tally: prepared.tally(), pruned, watch })
    }

    /// How the tools that an account's agents offer have fared.
    pub fn tool_health(&self, account: AccountId) -> Vec<ToolHealth> {
        self.pruner.tool_health(account)
    }

    /// How alike, in meaning, what was said and the permitted tools are. Takes a bounded time, none where it is not
    /// configured or nothing is to be chosen.
    async fn likeness(&self, permitted: &PermittedRequest, ask: &Ask<'_>) -> Option<Likeness> {
        let embedder = self.embedder.as_ref()?;
        embedder.likeness(&self.pruner.question(permitted, ask)?).await
    }

    /// The models that requests may name.
    pub async fn models(&self) -> Vec<ModelInfo> {
        self.catalog.models().await
    }
}
