//! The HTTP/2 connection to one provider, which all requests share.
//!
//! Whether there is one the provider decides (ALPN): it is not known before the first connection, so that the first requests
//! may each make one, and the last is kept. From then on one at a time connects.

use std::{
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{
    connection::{Io, Multiplexed},
    transport::KEEP_ALIVE,
};

/// How long a connection is kept that no request begins on. Shorter than the 60 s after which common balancers and
/// firewalls forget theirs, which some do without a word.
const IDLE: Duration = Duration::from_secs(45);

/// The place of the connection.
#[derive(Default)]
pub(super) struct Shared {
    current: ArcSwapOption<Current>,
    is_known: AtomicBool,
}

struct Current {
    sender: http2::SendRequest<Full<Bytes>>,
    /// Since it was last asked.
    is_used: AtomicBool,
}

impl Shared {
    /// The connection, if there is one and it is open.
    pub(super) fn get(&self) -> Option<Multiplexed> {
        let current = self.current.load();
        let current = current.as_ref().filter(|current| !current.sender.is_closed())?;
        if !current.is_used.load(Ordering::Relaxed) {
            current.is_used.store(true, Ordering::Relaxed);
        }
        Some(Multiplexed(current.sender.clone()))
    }

    /// Whether the last connection was such a one.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Notes that the provider would have none.
    pub(super) fn is_refused(&self) {
        self.is_known.store(false, Ordering::Relaxed);
    }

    /// Leaves a connection to those that are on it.
    pub(super) fn forget(&self) {
        self.current.store(None);
    }

    /// Begins to speak HTTP/2.
    pub(super) async fn begin(self: &Arc<Self>, io: Io) -> hyper::Result<Multiplexed> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .handshake(io)
            .await?;
        let current = Arc::new(Current { sender: sender.clone(), is_used: AtomicBool::new(true) });
        TokioExecutor::new().execute(drive(driver, Arc::downgrade(self), Arc::downgrade(&current)));
        self.is_known.store(true, Ordering::Relaxed);
        self.current.store(Some(current));
        Ok(Multiplexed(sender))
    }
}

/// Drives a connection to its end, and has no more requests begin on it once none has for a while.
async fn drive(driver: impl Future, shared: Weak<Shared>, current: Weak<Current>) {
    let mut driver = pin!(driver);
    while tokio::time::timeout(IDLE, &mut driver).await.is_err() {
        let (Some(shared), Some(current)) = (shared.upgrade(), current.upgrade()) else { continue };
        if !current.is_used.swap(false, Ordering::Relaxed) {
            shared.current.compare_and_swap(&current, None);
        }
    }
}
