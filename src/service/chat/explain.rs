//! `ExplainToolSelection`: what the pipeline says of a request, as messages.

use tonic::{Request, Response, Status};

use super::{Chat, json_only};
use crate::{
    chat::{Explanation, Reason, Sent, ToolExplanation, ToolRule, Wish},
    domain::chat_request::{Bar, Fate},
    proto::v1,
    service::{Failure, admitted::caller, convert},
};

impl Chat {
    pub(super) async fn explained(
        &self,
        request: Request<v1::ExplainToolSelectionRequest>,
    ) -> Result<Response<v1::ExplainToolSelectionResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ExplainToolSelectionRequest { request, prune, session_id } = request.into_inner();
        let body = request.unwrap_or_default();
        json_only(&body.content_type)?;
        let wish = Wish::said(prune.as_deref().into_iter(), session_id.as_deref()).map_err(Failure::from)?;
        // Boxed: it is large, and every call of the service would have room for it.
        let explaining = Box::pin(self.parts.chat.explain(&caller, body.data, &wish));
        Ok(Response::new(message(explaining.await.map_err(Failure::from)?)))
    }
}

fn message(explanation: Explanation) -> v1::ExplainToolSelectionResponse {
    let tally = explanation.tally;
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let [tool_choice, function_call] = explanation.choices;
    let (request, [choice_sent, call_sent]) = match explanation.sent {
        Some(Sent { body, choices }) => (Some(text(&body)), choices),
        None => (None, [None, None]),
    };
    let choice = |given: Option<bytes::Bytes>, sent: Option<bytes::Bytes>| {
        let sent = sent.as_deref().map(text);
        given.map(|given| v1::ExplainedChoice { given: text(&given), sent })
    };
    v1::ExplainToolSelectionResponse {
        model: explanation.model,
        upstream: explanation.upstream,
        tool_mode: convert::v1_tool_mode(explanation.tool_mode).into(),
        prune_mode: convert::v1_prune_mode(explanation.prune_mode).into(),
        routing: explanation.routing.map(|routing| convert::v1_routing(routing).into()),
        prune_skipped: explanation.skipped.map(|skipped| skipped.as_str().to_owned()),
        tools: explanation.tools.into_iter().map(tool).collect(),
        tools_input: count(tally.input),
        tools_denied: count(tally.denied),
        tools_output: count(tally.output),
        tools_would_deny: count(tally.would_deny),
        tokens_saved_by_lists: explanation.saved_by_lists.cast_signed(),
        tokens_saved_by_pruning: explanation.saved_by_pruning.cast_signed(),
        tool_choice: choice(tool_choice, choice_sent),
        function_call: choice(function_call, call_sent),
        request,
        refusal: explanation.refusal.map(|refusal| refused(&Failure::from(refusal))),
    }
}

/// What was checked as JSON, and so is UTF-8.
fn text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

fn refused(failure: &Failure) -> v1::ExplainedRefusal {
    v1::ExplainedRefusal {
        code: failure.reason().code().to_owned(),
        message: failure.message().to_owned(),
        param: failure.param().map(str::to_owned),
    }
}

fn tool(tool: ToolExplanation) -> v1::ExplainedTool {
    let rank = tool.reading.and_then(|reading| reading.rank);
    v1::ExplainedTool {
        names: tool.verdict.names,
        member: tool.verdict.member,
        passes: tool.fate.map(|fate| matches!(fate, Fate::Slim | Fate::Whole)),
        slim: tool.fate == Some(Fate::Slim),
        rule: tool.rule.map_or(v1::ToolRule::Unspecified, rule).into(),
        list: tool.verdict.bar.map(listed),
        score: tool.reading.and_then(|reading| reading.score),
        rank: rank.and_then(|rank| i32::try_from(rank).ok()),
        tokens: tool.tokens.cast_signed(),
        tokens_sent: tool.tokens_sent.cast_signed(),
    }
}

fn rule(rule: ToolRule) -> v1::ToolRule {
    match rule {
        ToolRule::Lists => v1::ToolRule::Lists,
        ToolRule::Pruned => v1::ToolRule::Pruned,
        ToolRule::Member => v1::ToolRule::Member,
        ToolRule::Choice => v1::ToolRule::Choice,
        ToolRule::Kept(Reason::Unpruned) => v1::ToolRule::Unpruned,
        ToolRule::Kept(Reason::Core) => v1::ToolRule::Core,
        ToolRule::Kept(Reason::Called) => v1::ToolRule::Called,
        ToolRule::Kept(Reason::Named) => v1::ToolRule::Named,
        ToolRule::Kept(Reason::Window) => v1::ToolRule::Window,
        ToolRule::Kept(Reason::Meaning) => v1::ToolRule::Meaning,
        ToolRule::Kept(Reason::Least) => v1::ToolRule::Least,
        ToolRule::Kept(Reason::Conversation) => v1::ToolRule::Conversation,
    }
}

fn listed(bar: Bar) -> v1::ListedRule {
    let (name, reason, entry) = match bar {
        Bar::Denied { name, entry } => (Some(name), v1::ListedReason::Denied, Some(entry)),
        Bar::NotAllowed { name } => (Some(name), v1::ListedReason::NotAllowed, None),
        Bar::Nested => (None, v1::ListedReason::Nested, None),
        Bar::OpenServer => (None, v1::ListedReason::OpenServer, None),
    };
    v1::ListedRule { name, reason: reason.into(), entry }
}
