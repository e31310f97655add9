//! Processes: where they run, that they end with this one, and what they use.
//!
//! Pinning and the signal at the parent's death are left to `taskset` and `setpriv` of util-linux, which replace
//! themselves with the program, so that its id is the child's: no unsafe code and no dependency for two system calls.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

/// The kernel's tick, in which it tells processor time: 100 a second on every Linux that users have.
const TICK: Duration = Duration::from_millis(10);
/// How the kernel cuts the name of SQLite's threads (`sqlx-sqlite-worker-0`).
const WRITER: &str = "sqlx-sqlite-wor";

/// Where something runs.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    /// What is measured: core 0.
    Measured,
    /// What drives it: core 1.
    Driving,
}

/// A process that is killed when it is let go.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a command. Call it on the main thread: the child dies with the thread that made it.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the two sides have a core each.
pub(crate) fn pinned() -> bool {
    // Asked once, before this process pins itself, for afterwards it sees one core.
    static PINNED: OnceLock<bool> = OnceLock::new();
    *PINNED.get_or_init(|| {
        have("taskset") && std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2)
    })
}

/// Takes this process to the driving core.
pub(crate) fn pin_self() {
    if pinned() {
        let id = std::process::id().to_string();
        let done = Command::new("taskset")
            .args(["-a", "-c", "-p", "1", &id])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "taskset cannot pin this process");
    }
}

/// A command that runs on this core and ends with this process.
pub(crate) fn command(core: Core, program: &Path) -> Command {
    let mut words = Vec::new();
    if have("setpriv") {
        words.extend(["setpriv", "--pdeathsig", "KILL"]);
    }
    if pinned() {
        let core = match core {
            Core::Measured => "0",
            Core::Driving => "1",
        };
        words.extend(["taskset", "-c", core]);
    }
    let Some((first, rest)) = words.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

/// Starts this program under another role; it prints the address that it serves, and ends with its standard input.
pub(crate) fn role(core: Core, words: &[&str]) -> (Running, SocketAddr) {
    let program = std::env::current_exe().unwrap();
    let mut command = command(core, &program);
    command.arg("role").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command);
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (running, line.trim().parse().expect("a role prints its address"))
}

/// What a role does beside serving: ends when its parent does.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// An address that is free now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until somebody listens there.
pub(crate) async fn listening(address: SocketAddr) {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody listens on {address} after ten seconds");
}

/// Whether a program is on the path.
pub(crate) fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Processor time that a process has used: all of it, and what its threads of SQLite have.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// User and system time of all threads.
    pub(crate) all: Duration,
    /// That of the threads of SQLite alone.
    pub(crate) writer: Duration,
}

impl Used {
    /// What this process has used so far.
    pub(crate) fn of(id: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything; user and system time are the 12th and 13th words after it.
        let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u32 = words.filter_map(|word| word.parse::<u32>().ok()).sum();
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let writer = threads.filter_map(|thread| writer_time(&thread.path())).sum();
        Self { all: TICK * ticks, writer }
    }

    /// What was used since then.
    pub(crate) fn since(self, then: Self) -> Self {
        Self { all: self.all.saturating_sub(then.all), writer: self.writer.saturating_sub(then.writer) }
    }
}

/// The time of a thread, if it is one of SQLite.
fn writer_time(thread: &Path) -> Option<Duration> {
    let name = fs::read_to_string(thread.join("comm")).ok()?;
    let told = name.starts_with(WRITER).then(|| fs::read_to_string(thread.join("schedstat")).ok())??;
    told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The resident memory of a process, in MiB.
pub(crate) fn resident_mib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default();
    kib / 1024.0
}
