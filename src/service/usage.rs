//! `UsageService`: what the account's keys used and saved.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use tonic::{Request, Response, Status};

use crate::{
    domain::{caller::Caller, key::Scope, usage::Totals},
    proto::v1::{self, usage_service_server::UsageService},
    service::{
        Failure, Parts, Reason, convert,
        guard::{account, caller},
    },
};

pub(super) struct Usage {
    parts: Arc<Parts>,
}

impl Usage {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    async fn summary(&self, caller: &Caller) -> Result<v1::GetSummaryResponse, Failure> {
        let account = account(caller)?.id;
        let (start, end) = month(self.parts.clock.now());
        let usage = self.parts.store.usage();
        let whole = match caller.holds(Scope::Usage) {
            true => Some(figures(&usage.totals(account, None, start, end).await?)),
            false => None,
        };
        let own = match (caller.key_id(), &whole) {
            (Some(key), _) => figures(&usage.totals(account, Some(key), start, end).await?),
            (None, Some(whole)) => *whole,
            (None, None) => {
                return Err(Failure::new(
                    Reason::InsufficientScope,
                    "a token needs the scope `usage` for this: it is no key, and has no figures of its own",
                ));
            }
        };
        Ok(v1::GetSummaryResponse {
            period_start: Some(midnight(start)),
            period_end: Some(midnight(end)),
            requests: own.requests,
            tools: own.tools,
            estimated_tokens_saved: own.estimated_tokens_saved,
            account: whole,
        })
    }
}

fn figures(totals: &Totals) -> v1::UsageFigures {
    v1::UsageFigures {
        requests: Some(v1::RequestCounts {
            total: totals.complete + totals.client + totals.upstream + totals.error,
            complete: totals.complete,
            client: totals.client,
            upstream: totals.upstream,
            error: totals.error,
        }),
        tools: Some(v1::ToolCounts {
            input: totals.tools_input,
            denied: totals.tools_denied,
            output: totals.tools_output,
        }),
        estimated_tokens_saved: totals.tokens_saved,
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
