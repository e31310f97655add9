//! `orqen serve`: the application from start to stop.

use std::{
    hint::black_box,
    io::{self, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::{
    app::App,
    clock::SystemClock,
    config::{Config, Environment},
    domain::secret::PlainSecret,
    telemetry,
};

/// The long help of the command.
pub(super) const ABOUT: &str = "\
Serve gRPC, gRPC-Web and HTTP/JSON on one port (what `orqen` alone does).

The first start on an empty store makes the account `default` and one key, and prints its secret once, to \
standard output, with a `curl` line that works as it stands. `store.bootstrap = false` turns that off.

SIGTERM and SIGINT stop it gracefully: `/readyz` answers 503, connections are still accepted for \
`server.drain_delay`, running requests have `server.drain_deadline` to finish, and the exit code is 0. A second \
signal does not wait.";

/// Files that are open beside connections: the store's, the system's.
const OTHER_FILES: u64 = 256;

/// How often memory that nobody uses any more is given back.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// Serves until a signal, and until what was running then has finished.
pub(super) fn run(config: Config, env: &Environment) -> anyhow::Result<()> {
    telemetry::init(&config.log)?;
    let wanted = 2 * config.server.connections as u64 + OTHER_FILES;
    // As many as the system lets us have. Whoever gave us fewer will see connections wait, not fail.
    match rlimit::increase_nofile_limit(wanted) {
        Ok(files) if files < wanted => {
            tracing::debug!(files, wanted, "the limit of open files is lower than it might be")
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(telemetry::write_kept_lines)
        .build();
    runtime.context("the runtime cannot start")?.block_on(Box::pin(serve(config, env)))
}

async fn serve(config: Config, env: &Environment) -> anyhow::Result<()> {
    // Listened for from the very beginning, so that a signal during a long migration is not lost.
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let impatience = async {
        tracing::info!(signal = signals.next().await, "stopping; a second signal does not wait");
        let _ = stop.send(());
        signals.next().await
    };
    let demo = config.demo.enabled;
    let served = async {
        let mut app = App::start(config, env, Arc::new(SystemClock)).await?;
        tracing::info!(address = %app.address(), "listening");
        if let Some(first) = app.take_first_key() {
            welcome(&first.secret, &app.base_url(), demo)?;
        }
        app.run_until(async {
            let _ = stopped.await;
        })
        .await
    };
    tokio::select! {
        result = served => result,
        never = give_back() => never,
        signal = impatience => anyhow::bail!("stopped by a second {signal}, with requests still running"),
    }
}

/// Gives memory back that a crowd has left. mimalloc lets it lie for a second, and then looks for it when a thread ends, or when
/// somebody allocates a great deal, which after a crowd nobody does. It has a call for it, but none without `unsafe`: so a thread
/// ends now and then. It takes some 50 µs.
async fn give_back<T>() -> T {
    loop {
        tokio::time::sleep(GIVING_BACK).await;
        let allocates = || drop(black_box(Box::new(0_u8)));
        if let Err(error) = thread::Builder::new().name("giving-back".to_owned()).spawn(allocates) {
            tracing::debug!(%error, "no thread to give memory back");
        }
    }
}

/// Shows the first key, once, with a command that works as it stands. To standard output whether or not that is a
/// terminal: it is what the first start was asked for.
fn welcome(secret: &PlainSecret, base_url: &str, demo: bool) -> io::Result<()> {
    let key = secret.expose();
    let rest = if demo {
        "/v1/chat/completions -H 'Content-Type: application/json' -d '{\"model\": \"orqen/demo\", \"messages\": \
         [{\"role\": \"user\", \"content\": \"Hello\"}]}'"
    } else {
        "/v1/usage/summary"
    };
    let mut out = io::stdout();
    writeln!(out, "\n  Your first key, shown this once:\n\n    {key}\n\n  Try it:\n")?;
    writeln!(out, "    curl -H 'Authorization: Bearer {key}' {base_url}{rest}\n")?;
    out.flush()
}

/// The signals that ask a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { terminate: terminate?, interrupt: interrupt? })
    }

    /// Waits for the next, and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
