//! `orqen account create|list|policy`.

use std::io::Write;

use anyhow::Context;
use chrono::SecondsFormat;
use clap::Subcommand;
use uuid::Uuid;

use crate::{
    cli::{Desk, table::Table},
    domain::{
        audit::Actor,
        key::{AccountId, valid_name},
        policy::Account,
        violation::shown,
    },
    store::CreateAccountError,
};

mod policy;

/// How many rows are asked for at once.
const PAGE: u32 = 500;

/// Make and list accounts, the owners of keys, and change what they grant.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account with the policy of the configuration; print its id
    Create {
        /// 1 to 128 characters, a name that no other account has
        name: String,
    },
    /// List the accounts, newest first
    List,
    /// Show an account's policy, or change what the options name; servers see it within a second
    #[command(long_about = "\
Show an account's policy, or change what the options name; what is not named stays. Servers that run hold to it \
within a second, for the keys that there are as for new ones.

  orqen account policy                                       the account `default`
  orqen account policy team --requests-per-minute 120
  orqen account policy team --account-daily-token-budget unlimited")]
    Policy(Box<policy::Arguments>),
}

/// Does what the command says.
pub(super) async fn run(command: Command, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Create { name } => create(&name, desk, out).await,
        Command::List => list(desk, out).await,
        Command::Policy(wanted) => policy::run(*wanted, desk, out).await,
    }
}

async fn create(name: &str, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let name = valid_name("NAME", name)?;
    let id = AccountId(Uuid::now_v7());
    let account =
        match desk.store.accounts().create(&Actor::cli(), id, &name, desk.config.policy.values()).await {
            Err(CreateAccountError::NameTaken) => {
                anyhow::bail!("there is an account {} already: choose another name", shown(&name))
            }
            made => made?,
        };
    writeln!(out, "{}", account.id)?;
    Ok(())
}

async fn list(desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(["ID", "NAME", "REQUESTS A MINUTE", "KEYS AT MOST", "CREATED"]);
    let mut before = None;
    loop {
        let page = desk.store.accounts().list(PAGE, before).await?;
        for account in &page {
            let policy = &account.policy;
            table.line([
                account.id.to_string(),
                account.name.clone(),
                amount(policy.requests_per_minute),
                amount(policy.max_keys),
                account.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ]);
        }
        before = page.last().map(|account| account.id);
        if page.len() < PAGE as usize {
            return Ok(table.write(out)?);
        }
    }
}

fn amount(amount: Option<i64>) -> String {
    amount.map_or_else(|| crate::config::amount::UNLIMITED.to_owned(), |amount| amount.to_string())
}

/// The account that an argument names, by its name or else its id.
pub(super) async fn named(argument: &str, desk: &Desk) -> anyhow::Result<Account> {
    let accounts = desk.store.accounts();
    let mut found = accounts.find_by_name(argument.trim()).await?;
    // A name comes first: somebody may have named an account like a UUID, and ids are never names by chance.
    if let (None, Ok(id)) = (&found, argument.trim().parse::<Uuid>()) {
        found = accounts.find(AccountId(id)).await?;
    }
    found.with_context(|| {
        format!(
            "there is no account {}: `orqen account list` shows them, `orqen account create NAME` makes one",
            shown(argument)
        )
    })
}
