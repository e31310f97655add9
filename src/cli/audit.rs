//! `orqen audit`: who changed what in an account, newest first, and what was refused.

use std::io::Write;

use chrono::SecondsFormat;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::{
    cli::{Desk, account, table::Table},
    domain::{
        audit::{Event, Outcome},
        key::KeyId,
        violation::shown,
    },
    store::AuditPage,
};

const COLUMNS: [&str; 5] = ["AT", "ACTOR", "ACTION", "KEY", "WHAT"];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The account, by name or id
    #[arg(long, value_name = "NAME_OR_ID", default_value = "default")]
    account: String,
    /// Only what is about this key
    #[arg(long, value_name = "KEY_ID")]
    key: Option<Uuid>,
    /// How many events at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print a JSON object a line, as REST has them
    #[arg(long)]
    json: bool,
}

/// Does what the command says.
pub(super) async fn run(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let account = account::named(&wanted.account, desk).await?;
    let key_id = wanted.key.map(KeyId);
    let page = AuditPage { size: wanted.limit, key_id, ..AuditPage::default() };
    let events = desk.store.audit().list(account.id, &page).await?;
    if wanted.json {
        for event in &events {
            writeln!(out, "{}", view(event))?;
        }
        return Ok(());
    }
    let mut table = Table::new(COLUMNS);
    for event in events {
        table.line([
            event.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            event.actor.clone(),
            event.action.clone(),
            event.key_id.map_or_else(String::new, |id| id.to_string()),
            what(&event.outcome),
        ]);
    }
    Ok(table.write(out)?)
}

/// What is different, or why not, in a few words.
fn what(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused(refusal) => format!("refused: {} {}", refusal.code, shown(&refusal.message)),
        Outcome::Done(changes) => {
            let fields = changes.iter().map(|change| change.field.as_str());
            fields.collect::<Vec<_>>().join(", ")
        }
    }
}

fn view(event: &Event) -> serde_json::Value {
    let (changes, refusal) = match &event.outcome {
        Outcome::Done(changes) => (changes.as_slice(), None),
        Outcome::Refused(refusal) => (&[][..], Some(refusal)),
    };
    json!({
        "id": event.id.to_string(),
        "at": event.at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "actor": event.actor,
        "action": event.action,
        "key_id": event.key_id.map(|id| id.to_string()),
        "request_id": event.request_id.map(|id| id.to_string()),
        "changes": changes,
        "refusal": refusal.map(|refusal| json!({
            "code": refusal.code,
            "field": refusal.field,
            "message": refusal.message,
        })),
    })
}
