//! The command line: `serve`, and what operators do without a server. Commands work on the store directly, so
//! that the first key can be made before there is anybody to ask; a running server sees the change within a
//! second. Answers go to standard output, everything else to standard error.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};

use crate::{
    clock::{SharedClock, SystemClock},
    config::{Config, Environment},
    store::Store,
};

mod account;
mod audit;
mod config;
mod evaluate;
mod given;
mod key;
mod serve;
mod table;
#[cfg(test)]
mod tests;
mod usage;

/// The part of `--help` that teaches.
const EXAMPLES: &str = "\
EXAMPLES
  orqen                                        start; on an empty store, print the first key once
  orqen key create ci --deny 'github_delete_*' make a key that may not use some tools
  orqen key create ro --allow search --json    the same key object as POST /v1/account/keys
  orqen key list                               see the keys of the account `default`
  orqen key update 0199c1f4-… --disable        switch one off; `--enable` brings it back
  orqen key revoke 0199c1f4-…                  end one; servers see it within a second
  orqen key revoke --created-by jwt:ann        end all that somebody made
  orqen account policy team --requests-per-minute 120
                                               change what an account grants to its keys
  orqen usage --days 30                        the month, and a bar for each day
  orqen audit --limit 20                       who changed what, and what was refused
  orqen evaluate requests.jsonl                what pruning would save of your own requests
  orqen config show                            every value, and where it came from
  orqen config check --replicas 3              what three replicas behind a balancer must not have

CONFIGURATION
  Embedded defaults, then orqen.toml (or --config FILE), then the environment: ORQEN_SECTION__FIELD,
  such as ORQEN_SERVER__LISTEN=0.0.0.0:8080 or ORQEN_STORE__URL=postgres://user:password@host/orqen.
  Names in ORQEN_ without a double underscore are not configuration.

SECRETS
  The secret of a key is printed once, to standard output, when it is made: `KEY=$(orqen key create ci)`
  keeps it off the screen. It is not stored and cannot be shown again.

EXIT CODES
  0 done · 1 it did not work, standard error says why · 2 the command was not understood";

/// A gateway between AI agents and model providers that decides which tools a model may see.
#[derive(Debug, Parser)]
#[command(name = "orqen", version, after_help = EXAMPLES, max_term_width = 110)]
struct Arguments {
    /// The configuration file, instead of `orqen.toml` in this directory; it must exist
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC, gRPC-Web and HTTP/JSON on one port (what `orqen` alone does)
    #[command(long_about = serve::ABOUT)]
    Serve,
    /// Make and list accounts, the owners of keys, and change what they grant
    #[command(subcommand)]
    Account(account::Command),
    /// Make, list, change and revoke keys, and make tokens of them
    #[command(subcommand)]
    Key(key::Command),
    /// Show what the keys of an account used and saved
    Usage(usage::Arguments),
    /// Show who changed what in an account, newest first, and what was refused
    Audit(audit::Arguments),
    /// Measure what pruning keeps and saves on a file of your own requests
    #[command(long_about = evaluate::ABOUT)]
    Evaluate(evaluate::Arguments),
    /// Check and show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print the OpenAPI 3.1 description of the REST routes, as `/openapi.json` serves it
    Openapi,
}

/// Reads the arguments, does what they say, and answers with the exit code of the process.
pub fn main(arguments: impl IntoIterator<Item = OsString>, env: &Environment) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` come this way too, with 0 and standard output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Not locked: the server prints the first key from whichever thread it is made on.
    let mut out = io::stdout();
    let done = run(arguments, env, &mut out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do should standard error be closed too.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments, env: &Environment, out: &mut dyn Write) -> anyhow::Result<()> {
    let load = || Config::load(arguments.config.as_deref(), env);
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(load()?.config, env),
        Command::Account(command) => {
            at_desk(load()?.config, async |desk| account::run(command, desk, out).await)
        }
        Command::Key(command) => at_desk(load()?.config, async |desk| key::run(command, desk, out).await),
        Command::Usage(arguments) => {
            at_desk(load()?.config, async |desk| usage::run(arguments, desk, out).await)
        }
        Command::Audit(arguments) => {
            at_desk(load()?.config, async |desk| audit::run(arguments, desk, out).await)
        }
        Command::Evaluate(arguments) => evaluate::run(&arguments, out),
        Command::Config(command) => config::run(&command, load, env, out),
        Command::Openapi => Ok(writeln!(out, "{:#}", crate::service::openapi()?)?),
    }
}

/// Opens the store, does the work of a command with it, and closes it. Such a command waits for the store and
/// nothing else: one thread does.
fn at_desk(config: Config, work: impl AsyncFnOnce(&Desk) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(async {
        let desk = Desk::open(config).await?;
        let done = work(&desk).await;
        desk.store.close().await;
        done
    }))
}

/// What operators' commands work with.
struct Desk {
    config: Config,
    store: Store,
    clock: SharedClock,
}

impl Desk {
    async fn open(config: Config) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let store = crate::app::open_store(&config, clock.clone()).await?;
        Ok(Self { config, store, clock })
    }
}

/// Whether the reader of our output has gone, as `head` does when it has seen enough: no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    kinds.into_iter().any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
