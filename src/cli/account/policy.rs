//! `orqen account policy NAME`: shows an account's policy, or changes what its options name. The change goes through
//! the store like any other, so that running servers hold to it within a second and the revision grows.

use std::{convert::Infallible, io::Write};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;

use super::{amount, named};
use crate::{
    cli::{
        Desk,
        given::{Given, number, take},
        table::Table,
    },
    config::amount::UNLIMITED,
    domain::{
        audit::Actor,
        limits::{LIMIT_MAX, TOOLS_MAX},
        policy::{Account, PolicyValues, PruneMode},
    },
    store::UpdateAccountError,
};

/// How a value that is left to the configuration is written.
const DEFAULT: &str = "default";

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The account, by name or id
    #[arg(value_name = "NAME_OR_ID", default_value = "default")]
    account: String,
    /// Requests a minute of one key
    #[arg(long, value_name = "N|unlimited", value_parser = rate)]
    requests_per_minute: Option<Given<i64>>,
    /// Requests of one key at the same time
    #[arg(long, value_name = "N|unlimited", value_parser = rate)]
    concurrent_requests: Option<Given<i64>>,
    /// Tokens that pruning may save for one key in a UTC day; 0: nothing is pruned
    #[arg(long, value_name = "N|unlimited", value_parser = budget)]
    daily_token_budget: Option<Given<i64>>,
    /// Tokens that pruning may save for one key in an ISO week (UTC)
    #[arg(long, value_name = "N|unlimited", value_parser = budget)]
    weekly_token_budget: Option<Given<i64>>,
    /// Requests a minute of all callers of the account together
    #[arg(long, value_name = "N|unlimited", value_parser = rate)]
    account_requests_per_minute: Option<Given<i64>>,
    /// Requests of all callers of the account together at the same time
    #[arg(long, value_name = "N|unlimited", value_parser = rate)]
    account_concurrent_requests: Option<Given<i64>>,
    /// Tokens that pruning may save for the account as a whole in a UTC day
    #[arg(long, value_name = "N|unlimited", value_parser = budget)]
    account_daily_token_budget: Option<Given<i64>>,
    /// Tokens that pruning may save for the account as a whole in an ISO week (UTC)
    #[arg(long, value_name = "N|unlimited", value_parser = budget)]
    account_weekly_token_budget: Option<Given<i64>>,
    /// The least number of tools that pruning keeps
    #[arg(long, value_name = "N|default", value_parser = tools)]
    tool_window: Option<Given<i64>>,
    /// Keys that are not revoked
    #[arg(long, value_name = "N|unlimited", value_parser = rate)]
    max_keys: Option<Given<i64>>,
    /// How much may be pruned: off, safe, balanced or aggressive
    #[arg(long, value_name = "MODE|default", value_parser = mode)]
    prune_mode: Option<Given<PruneMode>>,
    /// Print the policy as JSON, as REST answers it
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<Given<i64>, String> {
    number(text, 1..=LIMIT_MAX, UNLIMITED)
}

fn budget(text: &str) -> Result<Given<i64>, String> {
    number(text, 0..=LIMIT_MAX, UNLIMITED)
}

fn tools(text: &str) -> Result<Given<i64>, String> {
    number(text, 1..=TOOLS_MAX, DEFAULT)
}

fn mode(text: &str) -> Result<Given<PruneMode>, String> {
    if text == DEFAULT {
        return Ok(Given(None));
    }
    let mode = PruneMode::from_word(text).map(|mode| Given(Some(mode)));
    mode.ok_or_else(|| format!("give off, safe, balanced or aggressive, or `{DEFAULT}`"))
}

/// Shows the policy as it is once what was given is set.
pub(super) async fn run(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let account = named(&wanted.account, desk).await?;
    let set = |values: &mut PolicyValues| {
        wanted.set(values);
        Ok::<_, Infallible>(())
    };
    let mut values = account.policy.values;
    wanted.set(&mut values);
    let account = if values == account.policy.values {
        account
    } else {
        match desk.store.accounts().update_policy(&Actor::cli(), account.id, set).await {
            Ok(account) => account,
            Err(UpdateAccountError::NotFound) => anyhow::bail!("the account {} is gone", account.id),
            Err(UpdateAccountError::Refused(never)) => match never {},
            Err(UpdateAccountError::Store(error)) => return Err(error.into()),
        }
    };
    if wanted.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&PolicyView::new(&account))?)?;
        return Ok(());
    }
    show(&account, out)
}

impl Arguments {
    fn set(&self, values: &mut PolicyValues) {
        take(self.requests_per_minute, &mut values.requests_per_minute);
        take(self.concurrent_requests, &mut values.concurrent_requests);
        take(self.daily_token_budget, &mut values.daily_token_budget);
        take(self.weekly_token_budget, &mut values.weekly_token_budget);
        take(self.account_requests_per_minute, &mut values.account_requests_per_minute);
        take(self.account_concurrent_requests, &mut values.account_concurrent_requests);
        take(self.account_daily_token_budget, &mut values.account_daily_token_budget);
        take(self.account_weekly_token_budget, &mut values.account_weekly_token_budget);
        take(self.tool_window, &mut values.tool_window);
        take(self.max_keys, &mut values.max_keys);
        take(self.prune_mode, &mut values.prune_mode);
    }
}

fn show(account: &Account, out: &mut dyn Write) -> anyhow::Result<()> {
    let policy = &account.policy;
    let or_default = |value: Option<String>| value.unwrap_or_else(|| DEFAULT.to_owned());
    writeln!(out, "{} ({})", account.name, account.id)?;
    writeln!(out, "revision {}, changed {}\n", policy.revision, rfc3339(policy.updated_at))?;
    let mut table = Table::new(["LIMIT", "OF EACH KEY", "OF THE ACCOUNT"]);
    for (name, key, whole) in [
        ("requests a minute", policy.requests_per_minute, policy.account_requests_per_minute),
        ("requests at the same time", policy.concurrent_requests, policy.account_concurrent_requests),
        ("saved tokens a day", policy.daily_token_budget, policy.account_daily_token_budget),
        ("saved tokens a week", policy.weekly_token_budget, policy.account_weekly_token_budget),
    ] {
        table.line([name.to_owned(), amount(key), amount(whole)]);
    }
    table.line(["keys".to_owned(), String::new(), amount(policy.max_keys)]);
    let window = or_default(policy.tool_window.map(|window| window.to_string()));
    table.line(["tools kept at least".to_owned(), window, String::new()]);
    let mode = or_default(policy.prune_mode.map(|mode| mode.as_str().to_owned()));
    table.line(["pruning".to_owned(), mode, String::new()]);
    Ok(table.write(out)?)
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The `policy` of REST's account object.
#[derive(Serialize)]
struct PolicyView {
    requests_per_minute: Option<i64>,
    concurrent_requests: Option<i64>,
    daily_token_budget: Option<i64>,
    weekly_token_budget: Option<i64>,
    tool_window: Option<i64>,
    max_keys: Option<i64>,
    revision: i64,
    updated_at: String,
    prune_mode: Option<PruneMode>,
    account_requests_per_minute: Option<i64>,
    account_concurrent_requests: Option<i64>,
    account_daily_token_budget: Option<i64>,
    account_weekly_token_budget: Option<i64>,
}

impl PolicyView {
    fn new(account: &Account) -> Self {
        let policy = &account.policy;
        Self {
            requests_per_minute: policy.requests_per_minute,
            concurrent_requests: policy.concurrent_requests,
            daily_token_budget: policy.daily_token_budget,
            weekly_token_budget: policy.weekly_token_budget,
            tool_window: policy.tool_window,
            max_keys: policy.max_keys,
            revision: policy.revision,
            updated_at: policy.updated_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            prune_mode: policy.prune_mode,
            account_requests_per_minute: policy.account_requests_per_minute,
            account_concurrent_requests: policy.account_concurrent_requests,
            account_daily_token_budget: policy.account_daily_token_budget,
            account_weekly_token_budget: policy.account_weekly_token_budget,
        }
    }
}
