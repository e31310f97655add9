//! What is left of each limit, as a message.

use chrono::{DateTime, Utc};

use crate::{
    limits::{Concurrency, Requests, Spending, Standing},
    proto::v1,
    service::convert,
};

pub(super) fn limits_left(standing: &Standing, now: DateTime<Utc>) -> v1::LimitsLeft {
    v1::LimitsLeft {
        requests_per_minute: Some(standing.requests.map(|of| requests(of, now)).unwrap_or_default()),
        concurrent_requests: Some(standing.concurrent.map(concurrency).unwrap_or_default()),
        daily_token_budget: Some(standing.day.map(spending).unwrap_or_default()),
        weekly_token_budget: Some(standing.week.map(spending).unwrap_or_default()),
    }
}

fn requests(requests: Requests, now: DateTime<Utc>) -> v1::LimitLeft {
    let resets_at = Some(convert::timestamp(now + requests.reset));
    v1::LimitLeft { resets_at, ..left(requests.limit, requests.used()) }
}

fn concurrency(Concurrency { limit, running }: Concurrency) -> v1::LimitLeft {
    left(limit, running)
}

fn spending(Spending { limit, spent, resets_at }: Spending) -> v1::LimitLeft {
    v1::LimitLeft { resets_at: Some(convert::timestamp(resets_at)), ..left(limit, spent) }
}

fn left(limit: i64, used: i64) -> v1::LimitLeft {
    v1::LimitLeft {
        value: Some(limit),
        used: Some(used),
        remaining: Some(limit.saturating_sub(used).max(0)),
        resets_at: None,
    }
}
