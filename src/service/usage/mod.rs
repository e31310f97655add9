//! `UsageService`: what the account's keys used and saved: sums here, single requests in `requests`.

mod days;
mod left;
mod requests;

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain::{
        caller::Caller,
        key::{KeyId, Scope},
        usage::Totals,
        violation::Violations,
    },
    proto::v1::{self, usage_service_server::UsageService},
    service::{Failure, Parts, Reason, admitted::caller, convert, guard::account, page::Page},
    store::{KeyTotals, Of},
};

pub(super) use self::requests::asked;
use self::{days::Range, left::limits_left};

/// How many days `GetDaily` gives when it is not told.
const DAYS: u64 = 30;

pub(super) struct Usage {
    parts: Arc<Parts>,
}

impl Usage {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    async fn summary(&self, caller: &Caller) -> Result<v1::GetSummaryResponse, Failure> {
        let account = account(caller)?.id;
        let now = self.parts.clock.now();
        let (start, end) = month(now);
        let usage = self.parts.store.usage();
        // The key's first: what is written in between must not make the account less than its key.
        let own = match caller.key_id() {
            Some(key) => Some(figures(&usage.totals(account, Of::Key(key), start, end).await?)),
            None => None,
        };
        let whole = match caller.holds(Scope::Usage) {
            true => Some(figures(&usage.totals(account, Of::Account, start, end).await?)),
            false => None,
        };
        let own = match (own, &whole) {
            (Some(own), _) => own,
            (None, Some(whole)) => *whole,
            (None, None) => {
                return Err(Failure::new(
                    Reason::InsufficientScope,
                    "a token needs the scope `usage` for this: it is no key, and has no figures of its own",
                ));
            }
        };
        let [key_limits, account_limits] = self.parts.chat.limits_left(caller).await;
        Ok(v1::GetSummaryResponse {
            period_start: Some(midnight(start)),
            period_end: Some(midnight(end)),
            requests: own.requests,
            tools: own.tools,
            estimated_tokens_saved: own.estimated_tokens_saved,
            account: whole,
            tokens: own.tokens,
            tokens_saved: own.tokens_saved,
            recall_misses: own.recall_misses,
            limits: Some(limits_left(&key_limits, now)),
            account_limits: whole.is_some().then(|| limits_left(&account_limits, now)),
        })
    }

    async fn daily(
        &self,
        caller: &Caller,
        request: v1::GetDailyRequest,
    ) -> Result<v1::GetDailyResponse, Failure> {
        let today = self.parts.clock.now().date_naive();
        let range = days_of(&request, today)?;
        let account = account(caller)?.id;
        let days = self.parts.store.usage().daily(account, range.first, range.end()).await?;
        let days: HashMap<NaiveDate, Totals> = days.into_iter().collect();
        let days = range.days().map(|day| v1::DayUsage {
            day: day.to_string(),
            usage: Some(figures(&days.get(&day).copied().unwrap_or_default())),
        });
        Ok(v1::GetDailyResponse { days: days.collect() })
    }

    async fn by_key(
        &self,
        caller: &Caller,
        request: v1::GetByKeyRequest,
    ) -> Result<v1::GetByKeyResponse, Failure> {
        let (range, page) = keys_of(&request, self.parts.clock.now().date_naive())?;
        let account = account(caller)?.id;
        let last = page.last.map(|last| Some(KeyId(last)).filter(|_| !last.is_nil()));
        let usage = self.parts.store.usage();
        let mut keys = usage.by_key(account, (range.first, range.end()), last, page.size + 1).await?;
        let next_page_token = page.cut(&mut keys, |key| key.key_id.map_or(Uuid::nil(), |id| id.0));
        let key = |KeyTotals { key_id, name, totals }| v1::KeyUsage {
            key_id: key_id.map(|id| id.to_string()),
            name,
            usage: Some(figures(&totals)),
        };
        Ok(v1::GetByKeyResponse {
            keys: keys.into_iter().map(key).collect(),
            next_page_token,
            first_day: range.first.to_string(),
            last_day: range.last.to_string(),
        })
    }
}

/// The days that a request asks for, whoever sends it.
pub(super) fn days_of(request: &v1::GetDailyRequest, today: NaiveDate) -> Result<Range, Violations> {
    Range::read(request.first_day.as_deref(), request.last_day.as_deref(), today, |last| {
        last.checked_sub_days(Days::new(DAYS - 1))
    })
}

/// The days, and the page of keys, that a request asks for.
pub(super) fn keys_of(request: &v1::GetByKeyRequest, today: NaiveDate) -> Result<(Range, Page), Violations> {
    let mut violations = Violations::new();
    let range = Range::read(request.first_day.as_deref(), request.last_day.as_deref(), today, |last| {
        last.with_day(1)
    });
    let range = violations.collect(range);
    let page = violations.collect(Page::parse(request.page_size, &request.page_token));
    range.zip(page).ok_or(violations)
}

fn figures(totals: &Totals) -> v1::UsageFigures {
    v1::UsageFigures {
        requests: Some(v1::RequestCounts {
            total: totals.requests(),
            complete: totals.complete,
            client: totals.client,
            upstream: totals.upstream,
            error: totals.error,
        }),
        tools: Some(v1::ToolCounts {
            input: totals.tools_input,
            denied: totals.tools_denied,
            output: totals.tools_output,
            would_deny: totals.tools_would_deny,
            called: totals.tools_called,
        }),
        estimated_tokens_saved: totals.tokens_saved,
        tokens: Some(v1::TokenCounts {
            prompt: Some(totals.prompt_tokens),
            completion: Some(totals.completion_tokens),
            cached: Some(totals.cached_tokens),
        }),
        tokens_saved: Some(v1::TokensSaved {
            by_pruning: totals.tokens_saved_pruning,
            by_lists: totals.tokens_saved_lists,
        }),
        recall_misses: totals.recall_misses,
    }
}

/// The first day of the month of `now`, and of the next.
fn month(now: DateTime<Utc>) -> (NaiveDate, NaiveDate) {
    let today = now.date_naive();
    let start = today.checked_sub_days(Days::new(today.day0().into())).unwrap_or(today);
    (start, start.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX))
}

fn midnight(day: NaiveDate) -> prost_types::Timestamp {
    convert::timestamp(day.and_time(NaiveTime::MIN).and_utc())
}

#[tonic::async_trait]
impl UsageService for Usage {
    async fn get_summary(
        &self,
        request: Request<v1::GetSummaryRequest>,
    ) -> Result<Response<v1::GetSummaryResponse>, Status> {
        Ok(Response::new(self.summary(&caller(&request)?).await?))
    }

    async fn get_daily(
        &self,
        request: Request<v1::GetDailyRequest>,
    ) -> Result<Response<v1::GetDailyResponse>, Status> {
        Ok(Response::new(self.daily(&caller(&request)?, request.into_inner()).await?))
    }

    async fn get_by_key(
        &self,
        request: Request<v1::GetByKeyRequest>,
    ) -> Result<Response<v1::GetByKeyResponse>, Status> {
        Ok(Response::new(self.by_key(&caller(&request)?, request.into_inner()).await?))
    }

    async fn list_requests(
        &self,
        request: Request<v1::ListRequestsRequest>,
    ) -> Result<Response<v1::ListRequestsResponse>, Status> {
        Ok(Response::new(self.requests(&caller(&request)?, request.into_inner()).await?))
    }

    async fn get_request(
        &self,
        request: Request<v1::GetRequestRequest>,
    ) -> Result<Response<v1::GetRequestResponse>, Status> {
        let request_id = &request.get_ref().request_id;
        Ok(Response::new(self.request(&caller(&request)?, request_id).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first_day_and_ends_with_the_next() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(month(at("2028-02-29T23:59:59Z")), (day("2028-02-01"), day("2028-03-01")));
        assert_eq!(month(at("2026-12-01T00:00:00Z")), (day("2026-12-01"), day("2027-01-01")));
    }
}
