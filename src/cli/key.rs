//! `orqen key create|list|update|rotate|token|revoke`. A key that is made or changed here lies within nobody's lists: whoever holds the store is
//! its operator, which is also why `observe` may be chosen.

use std::{io::Write, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::{
    cli::{Desk, account, table::Table},
    config::duration,
    domain::{
        audit::Actor,
        key::{Key, KeyId, Scope, Scopes, ToolMode, valid_name},
        limits::OwnLimits,
        secret::PlainSecret,
        toollist::Toollist,
        violation::shown,
    },
    store::{CreateKeyError, KeyPage, NewKey},
};

mod limits;
mod revoke;
mod rotate;
mod token;
mod update;
mod view;

use limits::Limits;
use view::{KeyView, rfc3339, show, status_word};

/// How many rows are asked for at once.
const PAGE: u32 = 500;
const COLUMNS: [&str; 8] = ["ID", "NAME", "PREFIX", "STATUS", "SCOPES", "TOOLS", "EXPIRES", "LAST USED"];

/// Make, list, change, rotate and revoke keys.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key and print its secret, once
    #[command(long_about = "\
Make a key and print its secret, once: to standard output, alone on its line, while what the key is goes to \
standard error. With --json, standard output has the key object with the member `key`, as REST answers it.

  KEY=$(orqen key create ci --deny 'github_delete_*' --expires-in 30d)")]
    Create(Create),
    /// List the keys of an account, newest first
    List(List),
    /// Change what the options name of a key, and show it; servers see it within a second
    Update(Box<update::Arguments>),
    /// Give a key a new secret and print it, once; everything else of the key stays
    #[command(long_about = "\
Give a key a new secret and print it, once: to standard output, alone on its line, while what the key is goes to \
standard error. Everything else of the key stays. Without --overlap, servers refuse the secret before within a second; \
with it, the secret before works for so long, and `orqen key list --json` shows when each was last used.

  KEY=$(orqen key rotate 0199c1f4-… --overlap 1h)")]
    Rotate(rotate::Arguments),
    /// Make a token of a key for a sub-agent and print it, once; nothing is stored
    #[command(long_about = "\
Make a token of a key for a sub-agent and print it, once: to standard output, alone on its line, while what it holds goes \
to standard error. It is sent in the place of the key's secret, holds no more than the key and counts against it. \
Nothing is stored: it cannot be ended by itself, and ends with the key and with the key's secret of now.

  TOKEN=$(orqen key token 0199c1f4-… --allow 'github_get_*' --expires-in 10m)")]
    Token(token::Arguments),
    /// End a key for good, or all that some conditions mean; doing it again changes nothing
    #[command(long_about = "\
End a key for good, or all keys of an account that the options mean; doing it again changes nothing. Servers see it \
within a second. Keys that are made meanwhile are not looked at: end the key that makes them first.

  orqen key revoke 0199c1f4-…
  orqen key revoke --account team --created-by key:0199c1f4-… --created-before 2030-01-31T00:00:00Z")]
    Revoke(revoke::Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// A name for people, 1 to 128 characters
    name: String,
    /// The account that owns the key, by name or id
    #[arg(long, value_name = "NAME_OR_ID", default_value = "default")]
    account: String,
    /// A tool that the key may use, `*` for any characters; may be repeated. Without one: every tool
    #[arg(long, value_name = "TOOL")]
    allow: Vec<String>,
    /// Let no tool pass: an allowlist without an entry
    #[arg(long, conflicts_with = "allow")]
    allow_none: bool,
    /// A tool that the key may not use, `*` for any characters; may be repeated, wins over --allow
    #[arg(long, value_name = "TOOL")]
    deny: Vec<String>,
    /// What happens to a request with a tool that is not allowed
    #[arg(long, value_enum, default_value = "filter")]
    mode: Mode,
    /// What the key may be used for; may be repeated. Without one: everything
    #[arg(long, value_enum, value_name = "SCOPE")]
    scope: Vec<ScopeName>,
    /// When the key stops working, such as 2030-01-31T00:00:00Z. Without one: never
    #[arg(long, value_name = "RFC3339", value_parser = time, conflicts_with = "expires_in")]
    expires_at: Option<DateTime<Utc>>,
    /// How long the key works: 12h, 30d, at most 365d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    limits: Limits,
    /// Print the key object as JSON, the secret in it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The account, by name or id
    #[arg(long, value_name = "NAME_OR_ID", default_value = "default")]
    account: String,
    /// List revoked keys too
    #[arg(long)]
    include_revoked: bool,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Take the tool out and let the request go on
    Filter,
    /// Refuse the request
    Block,
    /// Remove nothing, only count
    Observe,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    /// Chat completions and models
    Chat,
    /// Managing keys
    Keys,
    /// Reading usage
    Usage,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time =
        DateTime::parse_from_rfc3339(text).map_err(|error| format!("{error}; write 2030-01-31T00:00:00Z"))?;
    Ok(time.to_utc())
}

/// Does what the command says.
pub(super) async fn run(command: Command, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        Command::Create(wanted) => create(wanted, desk, out).await,
        Command::List(wanted) => list(&wanted, desk, out).await,
        Command::Update(wanted) => update::run(*wanted, desk, out).await,
        Command::Rotate(wanted) => rotate::run(wanted, desk, out).await,
        Command::Token(wanted) => token::run(wanted, desk, out).await,
        Command::Revoke(wanted) => revoke::run(wanted, desk, out).await,
    }
}

async fn create(wanted: Create, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let json = wanted.json;
    let account = account::named(&wanted.account, desk).await?;
    let peppers = crate::app::open_peppers(&desk.config, &desk.store).await?;
    let secret = PlainSecret::generate(&mut rand::rng());
    let (pepper_version, digest) = peppers.digest(&secret);
    let new = NewKey {
        id: KeyId(Uuid::now_v7()),
        account_id: account.id,
        name: valid_name("NAME", &wanted.name)?,
        scopes: scopes(&wanted.scope),
        expires_at: expiry(wanted.expires_at, wanted.expires_in, desk.clock.now())?,
        tool_mode: wanted.mode.into(),
        own_limits: wanted.limits.of(OwnLimits::default()),
        toollist: toollist(wanted)?,
        by: Actor::cli(),
        prefix: secret.shown_prefix().to_owned(),
        digest,
        pepper_version,
    };
    let key = match desk.store.keys().create(new).await {
        Err(CreateKeyError::KeyLimit { max }) => anyhow::bail!(
            "the account {} has {max} keys, as many as its policy grants: revoke one, or raise `max_keys`",
            shown(&account.name)
        ),
        made => made?,
    };
    show(&key, &account, (&secret, json), desk.clock.now(), out)
}

fn scopes(wanted: &[ScopeName]) -> Scopes {
    let scope = |name: &ScopeName| match name {
        ScopeName::Chat => Scope::Chat,
        ScopeName::Keys => Scope::Keys,
        ScopeName::Usage => Scope::Usage,
    };
    if wanted.is_empty() { Scopes::all() } else { wanted.iter().map(scope).collect() }
}

fn toollist(wanted: Create) -> anyhow::Result<Toollist> {
    let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let allowed = if wanted.allow_none { Some(Vec::new()) } else { given(wanted.allow) };
    Ok(Toollist::new(allowed, given(wanted.deny))?)
}

fn expiry(
    at: Option<DateTime<Utc>>,
    lifetime: Option<Duration>,
    now: DateTime<Utc>,
) -> anyhow::Result<Option<DateTime<Utc>>> {
    let expires_at = at.or_else(|| lifetime.map(|lifetime| now + lifetime));
    if let Some(at) = expires_at.filter(|at| *at <= now) {
        anyhow::bail!("a key that expires at {} would never work: give a time to come", rfc3339(at));
    }
    Ok(expires_at)
}

impl From<Mode> for ToolMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Filter => ToolMode::Filter,
            Mode::Block => ToolMode::Block,
            Mode::Observe => ToolMode::Observe,
        }
    }
}

async fn list(wanted: &List, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let account = account::named(&wanted.account, desk).await?;
    let now = desk.clock.now();
    let mut page = KeyPage { size: PAGE, before: None, include_revoked: wanted.include_revoked };
    let mut table = Table::new(COLUMNS);
    loop {
        let keys = desk.store.keys().list(account.id, &page).await?;
        for key in &keys {
            if wanted.json {
                writeln!(out, "{}", serde_json::to_string(&KeyView::new(key, &account, now))?)?;
            } else {
                table.line(row(key, now));
            }
        }
        page.before = keys.last().map(|key| key.id);
        if keys.len() < PAGE as usize {
            break;
        }
    }
    if !wanted.json {
        table.write(out)?;
    }
    Ok(())
}

fn row(key: &Key, now: DateTime<Utc>) -> [String; 8] {
    let or_never = |time: Option<DateTime<Utc>>| time.map_or_else(|| "never".to_owned(), rfc3339);
    [
        key.id.to_string(),
        key.name.clone(),
        key.prefix.clone(),
        status_word(key.status(now)).to_owned(),
        scope_words(key),
        tools(key),
        or_never(key.expires_at),
        or_never(key.last_used_at),
    ]
}

fn scope_words(key: &Key) -> String {
    key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(",")
}

/// The tool list in a few words: `filter: 3 allowed, 1 denied`.
fn tools(key: &Key) -> String {
    let allowed = key.toollist.allowed().map(|list| match list.len() {
        0 => "none allowed".to_owned(),
        some => format!("{some} allowed"),
    });
    let denied =
        key.toollist.denied().filter(|list| !list.is_empty()).map(|list| format!("{} denied", list.len()));
    let words: Vec<_> = allowed.into_iter().chain(denied).collect();
    if words.is_empty() {
        "all".to_owned()
    } else {
        format!("{}: {}", key.tool_mode.as_str(), words.join(", "))
    }
}

/// The id of a key that an argument is. What is none may be a secret, so it is not repeated.
fn key_id_of(argument: &str) -> anyhow::Result<KeyId> {
    let id = argument.trim().parse().context(
        "KEY_ID is a UUID, not a name nor a secret: `orqen key list` shows the ids beside names and prefixes",
    )?;
    Ok(KeyId(id))
}

fn no_key(id: KeyId) -> String {
    format!("there is no key {id}: `orqen key list` shows them")
}
