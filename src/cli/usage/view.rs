//! Usage as JSON, with the members that REST has.

use serde::Serialize;

use super::Report;
use crate::domain::usage::Totals;

/// What `orqen usage --json` prints.
#[derive(Serialize)]
pub(super) struct UsageView<'a> {
    account: &'a str,
    account_id: String,
    /// The first day of the month that `usage` is of.
    month: String,
    usage: FiguresView,
    days: Vec<DayView>,
}

#[derive(Serialize)]
struct DayView {
    day: String,
    usage: FiguresView,
}

#[derive(Serialize)]
struct FiguresView {
    requests: RequestsView,
    tools: ToolsView,
    estimated_tokens_saved: i64,
    tokens: TokensView,
    tokens_saved: SavedView,
    recall_misses: i64,
}

#[derive(Serialize)]
struct RequestsView {
    total: i64,
    complete: i64,
    client: i64,
    upstream: i64,
    error: i64,
}

#[derive(Serialize)]
struct ToolsView {
    input: i64,
    denied: i64,
    output: i64,
    would_deny: i64,
    called: i64,
}

#[derive(Serialize)]
struct TokensView {
    prompt: i64,
    completion: i64,
    cached: i64,
}

#[derive(Serialize)]
struct SavedView {
    by_pruning: i64,
    by_lists: i64,
}

impl<'a> UsageView<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let day = |(day, totals): &(chrono::NaiveDate, Totals)| DayView {
            day: day.to_string(),
            usage: FiguresView::from(totals),
        };
        Self {
            account: &report.account.name,
            account_id: report.account.id.to_string(),
            month: report.month.to_string(),
            usage: FiguresView::from(&report.totals),
            days: report.days.iter().map(day).collect(),
        }
    }
}

impl From<&Totals> for FiguresView {
    fn from(totals: &Totals) -> Self {
        Self {
            requests: RequestsView {
                total: totals.requests(),
                complete: totals.complete,
                client: totals.client,
                upstream: totals.upstream,
                error: totals.error,
            },
            tools: ToolsView {
                input: totals.tools_input,
                denied: totals.tools_denied,
                output: totals.tools_output,
                would_deny: totals.tools_would_deny,
                called: totals.tools_called,
            },
            estimated_tokens_saved: totals.tokens_saved,
            tokens: TokensView {
                prompt: totals.prompt_tokens,
                completion: totals.completion_tokens,
                cached: totals.cached_tokens,
            },
            tokens_saved: SavedView {
                by_pruning: totals.tokens_saved_pruning,
                by_lists: totals.tokens_saved_lists,
            },
            recall_misses: totals.recall_misses,
        }
    }
}
