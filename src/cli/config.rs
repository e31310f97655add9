//! `orqen config check|show|reference`. A configuration that cannot be used is told where it is loaded, the same
//! way for every command; `check` also builds what a start builds of it, but for the network and the store.

use std::io::Write;

use clap::Subcommand;

use crate::{
    app,
    config::{ConfigError, Environment, Loaded, REFERENCE},
};

/// Check and show the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read everything as `serve` would, credentials, certificates and keys too; print `ok`, or all problems at once and exit with 1
    Check,
    /// Print every effective value as TOML, with where it came from; secrets are `***`
    Show,
    /// Print the commented reference of every section and field, to begin an `orqen.toml` with
    Reference,
}

/// Does what the command says. The reference needs no configuration, least of all one that is broken.
pub(super) fn run(
    command: &Command,
    load: impl FnOnce() -> Result<Loaded, ConfigError>,
    env: &Environment,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match command {
        Command::Check => {
            app::check(&load()?.config, env)?;
            writeln!(out, "ok")?;
        }
        Command::Show => write!(out, "{}", load()?.show())?,
        Command::Reference => write!(out, "{REFERENCE}")?,
    }
    Ok(())
}
