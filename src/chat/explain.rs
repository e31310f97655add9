//! What would become of a chat request, without a provider being asked.
//!
//! The steps are those of `ChatPipeline::forward` up to the bytes that it would send: parse, permit, choose, keep; only
//! that of the choice nothing is noted, no vector is fetched, and a refusal is a part of the answer. What makes a
//! request no chat request, or leads it to no upstream, is an error here as there.

use std::sync::Arc;

use bytes::Bytes;

use super::{ChatError, ChatPipeline, Wish, claim};
use crate::{
    domain::{
        caller::Caller,
        chat_request::{
            ChatRequest, Familiar, Fate, PermittedRequest, PreparedRequest, Refused, ToolVerdict, slimmed,
        },
        key::ToolMode,
        policy::PruneMode,
        usage::{Routing, ToolTally},
    },
    limits::Budget,
    prune::{Explained, Reading, Reason, Skipped},
    tokens::Tokenizer,
    upstream::Route,
};

/// What would become of a chat request.
#[derive(Debug)]
pub struct Explanation {
    /// The model as the provider would be asked for it; `None` where the request names none and needs none.
    pub model: Option<String>,
    /// The upstream that would be asked.
    pub upstream: String,
    /// What becomes of tools that the key may not use.
    pub tool_mode: ToolMode,
    /// How much may be pruned.
    pub prune_mode: PruneMode,
    /// How the tools would be compared; `None` without tools.
    pub routing: Option<Routing>,
    /// Why nothing would be pruned.
    pub skipped: Option<Skipped>,
    /// One for each tool of the request, in the order of `tools`, `functions` and members that are tools.
    pub tools: Vec<ToolExplanation>,
    /// The counts, as the answer's headers would have them.
    pub tally: ToolTally,
    /// The tokens that the lists would save.
    pub saved_by_lists: u64,
    /// The tokens that pruning would save.
    pub saved_by_pruning: u64,
    /// `tool_choice` and `function_call`, where the client gave them, as it did.
    pub choices: [Option<Bytes>; 2],
    /// What would be sent; `None` where the request would be refused.
    pub sent: Option<Sent>,
    /// Why it would be.
    pub refusal: Option<ChatError>,
}

/// A request as it would be sent.
#[derive(Debug)]
pub struct Sent {
    /// Its bytes.
    pub body: Bytes,
    /// Its `tool_choice` and `function_call`.
    pub choices: [Option<Bytes>; 2],
}

/// What would become of one tool, and why.
#[derive(Debug)]
pub struct ToolExplanation {
    /// What the lists say.
    pub verdict: ToolVerdict,
    /// What became of it; `None` where the request would be refused before that.
    pub fate: Option<Fate>,
    /// Why; `None` likewise.
    pub rule: Option<ToolRule>,
    /// What the comparison says of it, where there was one.
    pub reading: Option<Reading>,
    /// The tokens of its definition.
    pub tokens: u64,
    /// The tokens of what is sent of it.
    pub tokens_sent: u64,
}

/// What decided about a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolRule {
    /// The lists: `ToolVerdict::bar` has the entry.
    Lists,
    /// It is not among those that the turn needs.
    Pruned,
    /// It is a member of the request that is a tool: it has no definition to prune.
    Member,
    /// `tool_choice` or `function_call` names it, or demands a call to which pruning would have left nothing.
    Choice,
    /// Pruning kept it.
    Kept(Reason),
}

impl ChatPipeline {
    /// Says what `complete` would make of these bytes now. Takes nothing from the limits of chat, leaves no record, and
    /// changes nothing that the pruner knows.
    pub async fn explain(
        &self,
        caller: &Caller,
        body: Bytes,
        wish: &Wish<'_>,
    ) -> Result<Explanation, ChatError> {
        let (now, account) = (self.clock.now(), caller.account().ok_or(ChatError::NoAccount)?.load());
        let budget = self.limiter.budget_of(&claim(caller, &account, now)).await;
        let familiar = Familiar { arrays: &self.arrays, owner: account.id.0, keeps: false };
        let request = ChatRequest::parse_familiar(body.clone(), &self.bounds, familiar)?;
        let route = self.catalog.resolve(request.model())?;
        let (list, mode, members) = (caller.toollist(), caller.tool_mode(), route.upstream.tool_members());
        let verdicts = request.verdicts(list, members)?;
        let mut ask = wish.ask(caller, self.prune_mode, now)?;
        let prune_mode = ask.mode;
        let mut explanation = Explanation {
            model: route.model.as_deref().or(request.model()).map(str::to_owned),
            upstream: route.upstream.name().to_owned(),
            tool_mode: mode,
            prune_mode,
            routing: None,
            skipped: None,
            tools: Vec::new(),
            tally: ToolTally::default(),
            saved_by_lists: 0,
            saved_by_pruning: 0,
            choices: choices(&request, &body),
            sent: None,
            refusal: None,
        };
        let spent = budget != Budget::Left;
        if spent {
            ask.mode = PruneMode::Off;
        }
        match request.permit(list, mode, members) {
            Ok(permitted) => {
                let likeness = self
                    .embedder
                    .as_ref()
                    .and_then(|embedder| embedder.known(&self.pruner.question(&permitted, &ask)?));
                let explained = self.pruner.explain(&permitted, &ask, likeness.as_ref());
                explanation.choose(verdicts, &permitted, &explained, spent);
                let prepared = prepared(permitted, &explained, &route);
                explanation.tally = prepared.tally();
                explanation.sent = Some(self.sent(&prepared));
            }
            Err(Refused::Malformed(malformed)) => return Err(malformed.into()),
            Err(refused @ Refused::ToolNotAllowed { .. }) => explanation.refuse(verdicts, refused),
        }
        if spent && self.refuses_spent {
            explanation.sent = None;
            explanation.refusal = Some(ChatError::Spent { budget, now });
        }
        Ok(self.counted(explanation).await)
    }

    fn sent(&self, prepared: &PreparedRequest) -> Sent {
        let body = prepared.body().clone();
        let read = ChatRequest::parse(body.clone(), &self.bounds);
        Sent { choices: read.map(|read| choices(&read, &body)).unwrap_or_default(), body }
    }

    /// The same with its tokens counted, on a thread of those that may block.
    async fn counted(&self, explanation: Explanation) -> Explanation {
        let turn = Arc::clone(&self.counting).acquire_owned().await;
        let tokenizer = Arc::clone(&self.tokenizer);
        let counting = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            explanation.counted(&tokenizer)
        });
        match counting.await {
            Ok(explanation) => explanation,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn prepared(permitted: PermittedRequest, explained: &Explained, route: &Route) -> PreparedRequest {
    let permitted = if route.upstream.tells_usage() { permitted.asking_usage() } else { permitted };
    permitted.keep(&explained.selection, route.model.as_deref())
}

fn choices(request: &ChatRequest, body: &Bytes) -> [Option<Bytes>; 2] {
    request.choices().map(|choice| choice.map(|choice| body.slice_ref(choice)))
}

impl Explanation {
    /// Says of each tool what the lists and pruning make of it.
    fn choose(
        &mut self,
        verdicts: Vec<ToolVerdict>,
        permitted: &PermittedRequest,
        explained: &Explained,
        spent: bool,
    ) {
        self.routing = explained.routing;
        self.skipped = explained.skipped;
        if spent && explained.routing.is_some() {
            (self.routing, self.skipped) = (Some(Routing::Limit), None);
        }
        let mut fates = permitted.fates(&explained.selection).into_iter();
        let mut readings = explained.tools.iter().copied();
        let observes = self.tool_mode == ToolMode::Observe;
        let tools = verdicts.into_iter().map(|verdict| {
            let barred = verdict.bar.is_some() && !observes;
            if verdict.json.is_none() {
                let (fate, rule) = match barred {
                    true => (Fate::Barred, ToolRule::Lists),
                    false => (Fate::Whole, ToolRule::Member),
                };
                return ToolExplanation::new(verdict, fate, rule, None);
            }
            let fate = fates.next().unwrap_or(Fate::Whole);
            if fate == Fate::Barred {
                return ToolExplanation::new(verdict, fate, ToolRule::Lists, None);
            }
            let reading = readings.next();
            let rule = match (fate, reading.and_then(|reading| reading.kept)) {
                (Fate::Pruned, _) => ToolRule::Pruned,
                (_, Some(reason)) => ToolRule::Kept(reason),
                (_, None) => ToolRule::Choice,
            };
            ToolExplanation::new(verdict, fate, rule, reading)
        });
        self.tools = tools.collect();
    }

    /// Says of each tool what the lists make of it, in a request that they refuse.
    fn refuse(&mut self, verdicts: Vec<ToolVerdict>, refused: Refused) {
        if let Refused::ToolNotAllowed { tally, .. } = &refused {
            self.tally = *tally;
        }
        let tools = verdicts.into_iter().map(|verdict| ToolExplanation {
            rule: verdict.bar.is_some().then_some(ToolRule::Lists),
            verdict,
            fate: None,
            reading: None,
            tokens: 0,
            tokens_sent: 0,
        });
        self.tools = tools.collect();
        self.refusal = Some(refused.into());
    }

    fn counted(mut self, tokenizer: &Tokenizer) -> Self {
        let slim: Vec<Vec<u8>> = self.tools.iter().filter_map(ToolExplanation::slim).collect();
        let whole = self.tools.iter().filter_map(|tool| tool.verdict.json.as_deref());
        let mut counts = tokenizer.each(whole.chain(slim.iter().map(Vec::as_slice))).into_iter();
        for tool in &mut self.tools {
            tool.tokens = tool.verdict.json.as_ref().and_then(|_| counts.next()).unwrap_or_default();
        }
        for tool in &mut self.tools {
            tool.tokens_sent = match tool.fate {
                Some(Fate::Whole) => tool.tokens,
                Some(Fate::Slim) => counts.next().unwrap_or_default().min(tool.tokens),
                Some(Fate::Barred | Fate::Pruned) | None => 0,
            };
            match tool.fate {
                Some(Fate::Barred) => self.saved_by_lists += tool.tokens,
                Some(Fate::Pruned | Fate::Slim) => self.saved_by_pruning += tool.tokens - tool.tokens_sent,
                Some(Fate::Whole) | None => {}
            }
        }
        self
    }
}

impl ToolExplanation {
    fn new(verdict: ToolVerdict, fate: Fate, rule: ToolRule, reading: Option<Reading>) -> Self {
        Self { verdict, fate: Some(fate), rule: Some(rule), reading, tokens: 0, tokens_sent: 0 }
    }

    /// What is sent of it, where it is cut down.
    fn slim(&self) -> Option<Vec<u8>> {
        let json = self.verdict.json.as_deref().filter(|_| self.fate == Some(Fate::Slim))?;
        Some(slimmed(json))
    }
}
