//! `ListAuditEvents`: what was done to the account and its keys, and what was refused.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::Value as Json;

use super::Keys;
use crate::{
    domain::{
        audit::{Action, Event, FieldChange, Outcome, Refusal},
        caller::Caller,
        violation::Violations,
    },
    proto::v1,
    service::{Failure, convert, guard::account, page::Page},
    store::AuditPage,
};

impl Keys {
    pub(super) async fn trail(
        &self,
        caller: &Caller,
        request: v1::ListAuditEventsRequest,
    ) -> Result<v1::ListAuditEventsResponse, Failure> {
        let (page, wanted) = events_of(&request)?;
        let account = account(caller)?;
        let mut events = self.parts.store.audit().list(account.id, &wanted).await?;
        let next_page_token = page.cut(&mut events, |event| event.id);
        Ok(v1::ListAuditEventsResponse { events: events.into_iter().map(message).collect(), next_page_token })
    }
}

/// The page and the events that a request asks for, whoever sends it.
pub(in crate::service) fn events_of(
    request: &v1::ListAuditEventsRequest,
) -> Result<(Page, AuditPage), Violations> {
    let mut violations = Violations::new();
    let page = violations.collect(Page::parse(request.page_size, &request.page_token));
    let key_id = convert::filter_key(&mut violations, request.key_id.as_deref());
    let since = convert::filter_time(&mut violations, "since", request.since.as_ref());
    let until = convert::filter_time(&mut violations, "until", request.until.as_ref());
    let Some(page) = page.filter(|_| violations.as_slice().is_empty()) else { return Err(violations) };
    Ok((page, AuditPage { size: page.size + 1, before: page.last, key_id, since, until }))
}

fn message(event: Event) -> v1::AuditEvent {
    let (changes, refusal) = match event.outcome {
        Outcome::Done(changes) => (changes, None),
        Outcome::Refused(refusal) => (Vec::new(), Some(refusal)),
    };
    v1::AuditEvent {
        id: event.id.to_string(),
        at: Some(convert::timestamp(event.at)),
        actor: event.actor,
        action: Action::from_word(&event.action).map_or(v1::AuditAction::Unspecified, action).into(),
        key_id: event.key_id.map(|id| id.to_string()),
        request_id: event.request_id.map(|id| id.to_string()),
        changes: changes.into_iter().map(change).collect(),
        refusal: refusal.map(|Refusal { code, field, message }| v1::AuditRefusal { code, field, message }),
    }
}

fn change(change: FieldChange) -> v1::FieldChange {
    v1::FieldChange {
        field: change.field,
        before: Some(value(change.before)),
        after: Some(value(change.after)),
    }
}

fn action(action: Action) -> v1::AuditAction {
    match action {
        Action::CreateKey => v1::AuditAction::CreateKey,
        Action::UpdateKey => v1::AuditAction::UpdateKey,
        Action::SetToollist => v1::AuditAction::SetToollist,
        Action::RotateKey => v1::AuditAction::RotateKey,
        Action::DelegateKey => v1::AuditAction::DelegateKey,
        Action::RevokeKey => v1::AuditAction::RevokeKey,
        Action::RevokeKeys => v1::AuditAction::RevokeKeys,
        Action::CreateAccount => v1::AuditAction::CreateAccount,
        Action::UpdatePolicy => v1::AuditAction::UpdatePolicy,
    }
}

/// JSON as a message has it. Numbers become doubles, which hold every limit that there is.
fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(entries) => {
            Kind::ListValue(ListValue { values: entries.into_iter().map(value).collect() })
        }
        Json::Object(members) => {
            let fields = members.into_iter().map(|(name, member)| (name, value(member))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}
