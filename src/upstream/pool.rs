//! The HTTP/1 connections to one provider that wait for a request.
//!
//! The one that was opened first goes first, and of too many the one that was opened last is closed. So what a busy moment
//! left over is not asked for any more, grows old and is closed; and what stays was allocated in a row. Were it any hundred
//! of a thousand connections, each would keep a page of memory of its own from being given back.
//!
//! How long a connection waits is counted in turns, so that nothing that a request does looks at a clock. The lock is held
//! for one change of the map.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;

use super::connection::Connection;

/// How long a turn is, and after how many a connection is closed. Together shorter than the 60 s after which common
/// balancers close theirs, so that a request is seldom given one that is about to go.
const TURN: Duration = Duration::from_secs(15);
const TURNS: u32 = 3;
/// How many connections wait. More than a busy moment leaves without work, so that none is closed that is about
/// to be wanted; what a thousand streams leave behind when they end together is closed, and its memory given back.
const SIZE: usize = 128;

/// Connections that wait.
#[derive(Default)]
pub(super) struct Pool {
    waiting: Mutex<Waiting>,
    /// How many were opened.
    opened: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// By their numbers, with the turn in which each came.
    connections: BTreeMap<u64, (u32, Box<Connection>)>,
    turn: u32,
    /// Whether somebody counts the turns.
    is_counted: bool,
}

impl Pool {
    /// A number for a connection that is opened now.
    pub(super) fn next_number(&self) -> u64 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }

    /// A connection that was open when it began to wait, if there is one. What has happened since is seen by whoever sends
    /// on it, before anything of his request is written (`Connection::send`).
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        self.lock().connections.pop_first().map(|(_, (_, connection))| connection)
    }

    /// Lets a connection wait whose answer has been read; one that takes no other request is closed.
    pub(super) fn put(self: Arc<Self>, mut connection: Box<Connection>) {
        if !connection.is_open() {
            return;
        }
        let mut waiting = self.lock();
        let turn = waiting.turn;
        waiting.connections.insert(connection.number, (turn, connection));
        let too_many = if waiting.connections.len() > SIZE { waiting.connections.pop_last() } else { None };
        let is_counted = mem::replace(&mut waiting.is_counted, true);
        drop(waiting);
        drop(too_many);
        if !is_counted {
            TokioExecutor::new().execute(count(Arc::downgrade(&self)));
        }
    }

    /// Begins the next turn, and closes what has become too old in it or was closed by the provider. Whether anything
    /// is left that turns are counted for.
    fn next_turn(&self) -> bool {
        let mut waiting = self.lock();
        waiting.turn = waiting.turn.wrapping_add(1);
        let turn = waiting.turn;
        let ends = |_: &u64, (came, connection): &mut (u32, Box<Connection>)| {
            turn.wrapping_sub(*came) >= TURNS || !connection.is_open()
        };
        let closed: Vec<_> = waiting.connections.extract_if(.., ends).collect();
        waiting.is_counted = !waiting.connections.is_empty();
        let is_counted = waiting.is_counted;
        drop(waiting);
        drop(closed);
        is_counted
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts turns for as long as connections wait.
async fn count(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(TURN).await;
        if !pool.upgrade().is_some_and(|pool| pool.next_turn()) {
            return;
        }
    }
}
