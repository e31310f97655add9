//! `ToolService`: how the account's tools fare, and what to change about them.

use std::{cmp::Reverse, sync::Arc};

use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        caller::Caller,
        tool_health::{FindingKind, ToolHealth},
    },
    proto::v1::{self, tool_service_server::ToolService},
    service::{Failure, Parts, admitted::caller, convert, guard::account, page::Page},
};

/// The most alerts and suggestions of one answer.
const LARGEST: usize = 1000;

pub(super) struct Tools {
    parts: Arc<Parts>,
    since: Timestamp,
}

impl Tools {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { since: convert::timestamp(parts.clock.now()), parts }
    }

    fn health_of(&self, caller: &Caller) -> Result<Vec<ToolHealth>, Failure> {
        Ok(self.parts.chat.tool_health(account(caller)?.id))
    }

    fn health(
        &self,
        caller: &Caller,
        request: &v1::ListToolHealthRequest,
    ) -> Result<v1::ListToolHealthResponse, Failure> {
        let page = Page::<String>::parse(request.page_size, &request.page_token)?;
        let mut tools = self.health_of(caller)?;
        tools.retain(|tool| page.last.as_ref().is_none_or(|last| tool.name > *last));
        let next_page_token = page.cut(&mut tools, |tool| tool.name.clone());
        let tools = tools.into_iter().map(message).collect();
        Ok(v1::ListToolHealthResponse { tools, next_page_token, counted_since: Some(self.since) })
    }

    fn alerts(&self, caller: &Caller) -> Result<v1::ListRecallAlertsResponse, Failure> {
        let mut tools = self.health_of(caller)?;
        tools.retain(|tool| tool.missed > 0);
        tools.sort_by_key(|tool| Reverse(tool.missed));
        tools.truncate(LARGEST);
        let alerts = tools.into_iter().map(alert).collect();
        Ok(v1::ListRecallAlertsResponse { alerts, counted_since: Some(self.since) })
    }

    fn suggestions(&self, caller: &Caller) -> Result<v1::ListToolSuggestionsResponse, Failure> {
        let tools = self.health_of(caller)?;
        let mut found: Vec<_> = tools
            .into_iter()
            .flat_map(|tool| {
                let (name, often) = (tool.name, tool.offered);
                tool.findings.into_iter().map(move |finding| (finding, often, name.clone()))
            })
            .collect();
        found.sort_by_key(|(finding, often, _)| (finding.kind, Reverse(*often)));
        found.truncate(LARGEST);
        let suggestions = found.into_iter().map(|(finding, _, tool)| v1::ToolSuggestion {
            tool,
            kind: kind(finding.kind).into(),
            other_tools: finding.others,
            message: finding.message,
        });
        Ok(v1::ListToolSuggestionsResponse {
            suggestions: suggestions.collect(),
            counted_since: Some(self.since),
        })
    }
}

fn message(tool: ToolHealth) -> v1::ToolHealth {
    v1::ToolHealth {
        name: tool.name,
        offered: tool.offered.cast_signed(),
        forwarded: tool.forwarded.cast_signed(),
        called: tool.called.cast_signed(),
        missed: tool.missed.cast_signed(),
        last_missed_at: tool.last_missed_at.map(convert::timestamp),
        definition_bytes: tool.definition_bytes.cast_signed(),
        findings: tool.findings.iter().map(|finding| kind(finding.kind).into()).collect(),
    }
}

fn alert(tool: ToolHealth) -> v1::RecallAlert {
    let missed = tool.findings.into_iter().find(|finding| finding.kind == FindingKind::Missed);
    v1::RecallAlert {
        tool: tool.name,
        missed: tool.missed.cast_signed(),
        called: tool.called.cast_signed(),
        last_missed_at: tool.last_missed_at.map(convert::timestamp),
        message: missed.map(|finding| finding.message).unwrap_or_default(),
    }
}

fn kind(kind: FindingKind) -> v1::ToolFindingKind {
    match kind {
        FindingKind::Missed => v1::ToolFindingKind::Missed,
        FindingKind::DuplicateName => v1::ToolFindingKind::DuplicateName,
        FindingKind::NoDescription => v1::ToolFindingKind::NoDescription,
        FindingKind::VagueDescription => v1::ToolFindingKind::VagueDescription,
        FindingKind::CollidingDescription => v1::ToolFindingKind::CollidingDescription,
        FindingKind::NeverCalled => v1::ToolFindingKind::NeverCalled,
    }
}

#[tonic::async_trait]
impl ToolService for Tools {
    async fn list_tool_health(
        &self,
        request: Request<v1::ListToolHealthRequest>,
    ) -> Result<Response<v1::ListToolHealthResponse>, Status> {
        Ok(Response::new(self.health(&caller(&request)?, request.get_ref())?))
    }

    async fn list_recall_alerts(
        &self,
        request: Request<v1::ListRecallAlertsRequest>,
    ) -> Result<Response<v1::ListRecallAlertsResponse>, Status> {
        Ok(Response::new(self.alerts(&caller(&request)?)?))
    }

    async fn list_tool_suggestions(
        &self,
        request: Request<v1::ListToolSuggestionsRequest>,
    ) -> Result<Response<v1::ListToolSuggestionsResponse>, Status> {
        Ok(Response::new(self.suggestions(&caller(&request)?)?))
    }
}
