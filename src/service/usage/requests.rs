//! Requests one by one: the filters that a caller gives, and records as messages.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};

use super::Usage;
use crate::{
    domain::{
        caller::Caller,
        request_id::RequestId,
        usage::{Ended, Record},
        violation::{Violations, shown},
    },
    proto::v1,
    service::{
        Failure, Reason, convert,
        guard::account,
        page::{Cursor, Page},
    },
    store::{Found, RecordFilter, RecordPage},
};

/// A request's place in the list.
pub(in crate::service) type Place = (DateTime<Utc>, RequestId);

impl Cursor for Place {
    fn token(&self) -> String {
        let mut bytes = self.0.timestamp_micros().to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.1.bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn of_token(token: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (micros, id) = bytes.split_first_chunk()?;
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        // The range that both stores can be asked about.
        (convert::is_expressible(at)).then_some((at, RequestId::from_bytes(id.try_into().ok()?)))
    }
}

impl Usage {
    pub(super) async fn requests(
        &self,
        caller: &Caller,
        request: v1::ListRequestsRequest,
    ) -> Result<v1::ListRequestsResponse, Failure> {
        let (page, filter) = asked(request)?;
        let account = account(caller)?.id;
        let wanted = RecordPage { size: page.size + 1, before: page.last };
        let Found { mut records, stopped } =
            self.parts.store.usage().requests(account, &filter, wanted).await?;
        let mut next_page_token = page.cut(&mut records, |record| (record.at, record.id));
        if let (true, Some(place)) = (next_page_token.is_empty(), stopped) {
            next_page_token = place.token();
        }
        Ok(v1::ListRequestsResponse { requests: records.into_iter().map(message).collect(), next_page_token })
    }

    pub(super) async fn request(
        &self,
        caller: &Caller,
        request_id: &str,
    ) -> Result<v1::GetRequestResponse, Failure> {
        let account = account(caller)?.id;
        let found = match RequestId::parse(request_id) {
            Some(id) => self.parts.store.usage().request(account, id).await?,
            None => None,
        };
        let record = found.ok_or_else(|| {
            let message = format!(
                "the account has no request {}: the id is in its answer's x-request-id, and its record is there a \
                 second after its end, if the server keeps records (`usage.records`) and for as long as it does \
                 (`usage.retention`)",
                shown(request_id)
            );
            Failure::new(Reason::RequestNotFound, message).about("request_id")
        })?;
        Ok(v1::GetRequestResponse { request: Some(message(record)) })
    }
}

/// The page and the filter that a request asks for, whoever sends it.
pub(in crate::service) fn asked(
    request: v1::ListRequestsRequest,
) -> Result<(Page<Place>, RecordFilter), Violations> {
    let mut violations = Violations::new();
    let page = violations.collect(Page::parse(request.page_size, &request.page_token));
    let filter = violations.collect(filter(request));
    page.zip(filter).ok_or(violations)
}

fn filter(request: v1::ListRequestsRequest) -> Result<RecordFilter, Violations> {
    let mut violations = Violations::new();
    let key_id = convert::filter_key(&mut violations, request.key_id.as_deref());
    let status = request.status.map(|status| {
        u16::try_from(status).ok().filter(|status| (100..=599).contains(status)).ok_or_else(|| {
            Violations::one("status", format!("{status} is no HTTP status: give one from 100 to 599"))
        })
    });
    let status = violations.collect(status.transpose()).flatten();
    let since = convert::filter_time(&mut violations, "since", request.since.as_ref());
    let until = convert::filter_time(&mut violations, "until", request.until.as_ref());
    violations.into_result()?;
    Ok(RecordFilter { key_id, model: request.model, status, session: request.session, since, until })
}

fn message(record: Record) -> v1::RequestRecord {
    let ended = match record.ended {
        Ended::Complete => v1::RequestEnd::Complete,
        Ended::Client => v1::RequestEnd::Client,
        Ended::Upstream => v1::RequestEnd::Upstream,
        Ended::Error => v1::RequestEnd::Error,
    };
    let latency = record.latency;
    v1::RequestRecord {
        id: record.id.to_string(),
        started_at: Some(convert::timestamp(record.at)),
        key_id: record.key_id.map(|id| id.to_string()),
        generation: record.generation,
        model: record.model,
        upstream: record.upstream.map(|name| name.to_string()),
        streamed: record.streamed,
        status: record.status.map(i32::from),
        ended: ended.into(),
        latency: Some(v1::RequestLatency {
            total_us: latency.total_us,
            upstream_us: latency.upstream_us,
            orqen_us: latency.own_us,
            first_byte_us: latency.first_byte_us,
        }),
        tools: Some(v1::ToolCounts {
            input: record.tools.input.into(),
            denied: record.tools.denied.into(),
            output: record.tools.output.into(),
            would_deny: record.tools.would_deny.into(),
            called: record.called.into(),
        }),
        routing: record.routing.map(|routing| convert::v1_routing(routing).into()),
        recall_misses: record.recall_misses.into(),
        tokens: Some(v1::TokenCounts {
            prompt: record.tokens.prompt,
            completion: record.tokens.completion,
            cached: record.tokens.cached,
        }),
        tokens_saved: Some(v1::TokensSaved {
            by_pruning: record.saved.pruning,
            by_lists: record.saved.lists,
        }),
        policy_revision: record.policy_revision,
        session: record.session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_its_token_alone() {
        let place: Place = ("2026-03-14T09:26:53.589793Z".parse().unwrap(), RequestId::from_bytes([9; 16]));
        assert_eq!(Place::of_token(&place.token()), Some(place));
        let far = BASE64_URL_SAFE_NO_PAD.encode([[0x7f; 8], [0; 8], [0; 8]].concat());
        for token in ["AAAA", &place.token()[1..], &format!("{}AA", place.token()), &far] {
            assert_eq!(Place::of_token(token), None, "{token}");
        }
    }
}
