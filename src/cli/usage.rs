//! `orqen usage`: the month of an account, and a bar for each of its last days.

use std::io::{self, IsTerminal, Write};

use chrono::{Datelike, Days, Months, NaiveDate};
use clap::Args;

use crate::{
    cli::{Desk, account},
    domain::{policy::Account, usage::Totals},
    store::Of,
};

mod view;

use view::UsageView;

/// How long the longest bar is, in characters.
const WIDTH: u64 = 40;
/// A bar's last character on a terminal, by eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The account, by name or id
    #[arg(long, value_name = "NAME_OR_ID", default_value = "default")]
    account: String,
    /// How many days to show, today included
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=366))]
    days: u64,
    /// Print one JSON object, with the figures as REST has them
    #[arg(long)]
    json: bool,
}

/// The figures of an account.
struct Report {
    account: Account,
    /// The first day of this month.
    month: NaiveDate,
    totals: Totals,
    /// Every day that was asked for, oldest first.
    days: Vec<(NaiveDate, Totals)>,
}

/// Does what the command says.
pub(super) async fn run(arguments: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let report = Report::read(&arguments, desk).await?;
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&UsageView::new(&report))?)?;
    } else {
        report.write(out, io::stdout().is_terminal())?;
    }
    Ok(())
}

impl Report {
    async fn read(arguments: &Arguments, desk: &Desk) -> anyhow::Result<Self> {
        let account = account::named(&arguments.account, desk).await?;
        let today = desk.clock.now().date_naive();
        let month = today.with_day(1).unwrap_or(today);
        let next = month.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        let usage = desk.store.usage();
        let totals = usage.totals(account.id, Of::Account, month, next).await?;
        let first = today.checked_sub_days(Days::new(arguments.days - 1)).unwrap_or(today);
        let tomorrow = today.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        let known = usage.daily(account.id, first, tomorrow).await?;
        let on = |day| known.iter().find(|(known, _)| *known == day).map(|(_, totals)| *totals);
        let days = first.iter_days().take_while(|day| *day < tomorrow);
        let days = days.map(|day| (day, on(day).unwrap_or_default())).collect();
        Ok(Self { account, month, totals, days })
    }

    fn write(&self, out: &mut dyn Write, terminal: bool) -> io::Result<()> {
        let Totals { complete, client, upstream, error, .. } = self.totals;
        let Totals { tools_input, tools_denied, tools_output, tools_called, .. } = self.totals;
        let Totals { prompt_tokens, completion_tokens, cached_tokens, .. } = self.totals;
        let Totals { tokens_saved, tokens_saved_pruning, tokens_saved_lists, recall_misses, .. } =
            self.totals;
        let name = self.account.name.replace(char::is_control, "\u{fffd}");
        writeln!(out, "{name}, {} (UTC)\n", self.month.format("%B %Y"))?;
        let mut line = |what: &str, number: i64, rest: &[(i64, &str)]| {
            let rest: Vec<_> =
                rest.iter().map(|(number, what)| format!("{} {what}", grouped(*number))).collect();
            writeln!(out, "{what:15}{:>15}  {}", grouped(number), rest.join(", "))
        };
        let ends = [(complete, "complete"), (client, "client"), (upstream, "upstream"), (error, "error")];
        line("requests", self.totals.requests(), &ends)?;
        let fates = [(tools_denied, "denied"), (tools_output, "forwarded"), (tools_called, "called")];
        line("tools offered", tools_input, &fates)?;
        let savers = [(tokens_saved_pruning, "by pruning"), (tokens_saved_lists, "by lists")];
        line("tokens saved", tokens_saved, &savers)?;
        let tokens = prompt_tokens.saturating_add(completion_tokens);
        let kinds = [(prompt_tokens, "prompt"), (completion_tokens, "completion"), (cached_tokens, "cached")];
        line("tokens billed", tokens, &kinds)?;
        line("recall misses", recall_misses, &[])?;

        writeln!(out, "\nrequests by day")?;
        let most = self.days.iter().map(|(_, totals)| totals.requests()).max().unwrap_or(0);
        for (day, totals) in &self.days {
            let requests = totals.requests();
            let line = format!("{day}  {:>11}  {}", grouped(requests), bar(requests, most, terminal));
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A bar for `number`, as long as its share of `most`; what is not nothing has one.
fn bar(number: i64, most: i64, terminal: bool) -> String {
    let (number, most) = (u128::from(number.unsigned_abs()), u128::from(most.unsigned_abs().max(1)));
    let steps = if terminal { 8 } else { 1 };
    let whole = u128::from(WIDTH) * steps;
    let length = (number * whole).div_ceil(most).min(whole);
    let length = usize::try_from(length).unwrap_or_default();
    if terminal { format!("{}{}", "█".repeat(length / 8), EIGHTHS[length % 8]) } else { "#".repeat(length) }
}

/// A number with a comma after each three digits.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(100, 100, false), "#".repeat(40));
        assert_eq!(bar(50, 100, false), "#".repeat(20));
        assert_eq!((bar(0, 0, false), bar(0, 100, true)), (String::new(), String::new()));
        assert_eq!((bar(1, 1_000_000, false), bar(1, 1_000_000, true)), ("#".to_owned(), "▏".to_owned()));
        assert_eq!(bar(3, 80, true), "█▌");
        assert_eq!(bar(i64::MAX, i64::MAX, true), "█".repeat(40));
    }

    #[test]
    fn a_number_is_grouped_by_thousands() {
        let numbers = [0, 999, 1_000, 12_345, 1_234_567, -1_234];
        assert_eq!(numbers.map(grouped), ["0", "999", "1,000", "12,345", "1,234,567", "-1,234"]);
    }
}
