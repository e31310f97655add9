//! Orqen itself: the binary that cargo built for this bench, on a new SQLite file, in one of three variants.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::procs::{self, Core, Running};

/// A binary of it.
pub(crate) struct Program<'p>(&'p Path);

/// The largest limit that can be set: it is counted and never reached.
const WIDE: &str = "1000000000000";

/// How much of it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Governance {
    /// A key without lists or limits, and nothing is pruned.
    Off,
    /// A key with both lists, every limit that there is, and pruning.
    On,
    /// The same, where of usage only the sums by day are kept.
    Sums,
}

impl Governance {
    /// Whether there are lists, limits and pruning.
    fn rules(self) -> bool {
        self != Self::Off
    }
}

impl<'p> Program<'p> {
    /// The given one, or that which cargo built for this bench.
    pub(crate) fn new(given: Option<&'p Path>) -> Self {
        Self(given.unwrap_or(Path::new(env!("CARGO_BIN_EXE_orqen"))))
    }

    /// Starts it in front of the mock; with its address comes the secret of a key.
    pub(crate) async fn start(
        &self,
        folder: &Path,
        mock: SocketAddr,
        governance: Governance,
    ) -> (Running, SocketAddr, String) {
        let folder = folder.join(match governance {
            Governance::Off => "off",
            Governance::On => "on",
            Governance::Sums => "sums",
        });
        fs::create_dir(&folder).unwrap();
        let address = procs::free_address();
        let file = folder.join("orqen.toml");
        fs::write(&file, configuration(&folder, (address, mock), governance)).unwrap();
        self.asked(&file, &["account", "create", "default"]);
        let lists: &[&str] = if governance.rules() { &LISTS } else { &[] };
        let secret = self.asked(&file, &[&["key", "create", "bench"], lists].concat());
        // Its log has a line for each request, which would fill a disc: it is written, and nobody keeps it.
        let mut command = procs::command(Core::Measured, self.0);
        alone(&mut command).arg("--config").arg(&file).arg("serve").current_dir(&folder);
        let running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        procs::listening(address).await;
        (running, address, secret)
    }

    /// What a command of its command line prints.
    fn asked(&self, file: &Path, words: &[&str]) -> String {
        let mut command = Command::new(self.0);
        let output = alone(&mut command).arg("--config").arg(file).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The lists of the key: a quarter of the tools of `payload` is denied.
const LISTS: [&str; 20] = [
    "--allow",
    "calendar_*",
    "--allow",
    "mail_*",
    "--allow",
    "tracker_*",
    "--allow",
    "billing_*",
    "--allow",
    "warehouse_*",
    "--allow",
    "travel_*",
    "--allow",
    "wiki_*",
    "--allow",
    "support_*",
    "--deny",
    "*_delete_*",
    "--deny",
    "exec",
];

/// Takes the user's own settings out of the environment: the bench must never reach a store that somebody needs.
fn alone(command: &mut Command) -> &mut Command {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("ORQEN_")).fold(command, Command::env_remove)
}

/// `orqen.toml`. No conversation is left unpruned for learning, for the bench has few, and luck would decide; nor because
/// choosing took too long by the clock: on a busy core that happens, and what is not done costs nothing.
fn configuration(folder: &Path, (address, mock): (SocketAddr, SocketAddr), governance: Governance) -> String {
    let store: PathBuf = folder.join("orqen.db");
    let policy = match governance.rules() {
        false => "requests_per_minute = \"unlimited\"\n".to_owned(),
        true => LIMITS.iter().map(|limit| format!("{limit} = {WIDE}\n")).collect(),
    };
    let mode = if governance.rules() { "safe" } else { "off" };
    let records = governance != Governance::Sums;
    format!(
        "[server]\nlisten = \"{address}\"\n[store]\nurl = \"sqlite://{}\"\nbootstrap = false\n[policy]\n{policy}\
         [limits]\nfailed_auth_per_minute = \"unlimited\"\n[pruning]\nmode = \"{mode}\"\nlearning_share = 0.0\n\
         scoring_budget = \"200ms\"\nindexing_budget = \"1s\"\n\
         [usage]\nrecords = {records}\n[[upstreams]]\nname = \"mock\"\nbase_url = \"http://{mock}/v1\"\nmodels = [\"gpt-*\"]\n",
        store.display()
    )
}

/// The limits of a policy.
const LIMITS: [&str; 8] = [
    "requests_per_minute",
    "concurrent_requests",
    "daily_token_budget",
    "weekly_token_budget",
    "account_requests_per_minute",
    "account_concurrent_requests",
    "account_daily_token_budget",
    "account_weekly_token_budget",
];
