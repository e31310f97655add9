//! `orqen config check|show|reference`. A configuration that cannot be used is told where it is loaded, the same
//! way for every command; `check` also builds what a start builds of it, but for the network and the store, and looks at
//! what no single process can know: that it is one of several.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::{
    app,
    config::{Cluster, ConfigError, Environment, Loaded, REFERENCE, bytes_of},
};

/// The long help of the check.
const CHECK: &str = "\
Read everything as `serve` would, credentials, certificates and keys too; print `ok`, or all problems at once and exit \
with 1.

With `--replicas` also all that several replicas behind a balancer must not have: a store that they cannot share, limits \
that each would count for itself, secrets that can be guessed, a stop that refuses requests, more memory than there is. \
What may be meant is a warning, on a line of its own that begins with `warning:`, and leaves the exit code as it is. Run it \
where replicas run (an init container), so that it sees the files and the memory that they have.";

/// What the check is told of a cluster.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// How many processes serve this configuration at most, 1 to 100000: check what a cluster must not have too
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    replicas: Option<u32>,
    /// The memory of each, such as 2Gi; left out: what the control group of this process grants
    #[arg(long, value_name = "BYTES", value_parser = bytes_of, requires = "replicas")]
    memory: Option<u64>,
}

/// Check and show the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read everything as `serve` would, credentials, certificates and keys too; print `ok`, or all problems at once and exit with 1
    #[command(long_about = CHECK)]
    Check(Check),
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
        Command::Check(told) => {
            let cluster = told.replicas.map(|replicas| Cluster { replicas, memory: told.memory });
            let checked = app::check(&load()?, env, cluster.as_ref());
            for warning in checked.warnings() {
                writeln!(out, "warning: {warning}")?;
            }
            // Before the errors go to standard error: whoever reads both sees them in order.
            out.flush()?;
            checked.verdict()?;
            writeln!(out, "ok")?;
        }
        Command::Show => write!(out, "{}", load()?.show())?,
        Command::Reference => write!(out, "{REFERENCE}")?,
    }
    Ok(())
}
