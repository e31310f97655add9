//! Where a budget starts: what the store already holds for a subject's day or week, asked once at its first sight, so
//! that a restart gives nobody a second budget.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::{Days, Period, SubjectId, budget::Budgets, ledger::Ledger};

/// Why the store could not say.
pub type SeedError = Box<dyn std::error::Error + Send + Sync>;

/// How long a request waits for the store. A budget is worth less than an answer.
const WAIT: Duration = Duration::from_millis(250);

/// How long a subject whose sum could not be had counts from what it knows before the store is asked again.
const AGAIN: Duration = Duration::from_secs(5);

type Source = dyn Fn(SubjectId, Days) -> BoxFuture<'static, Result<i64, SeedError>> + Send + Sync;

/// Reads the store's sums of saved tokens.
pub(super) struct Seed {
    source: Box<Source>,
    failed: AtomicU64,
    failing: AtomicBool,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Seed {
    pub(super) fn new<F>(source: impl Fn(SubjectId, Days) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<i64, SeedError>> + Send + 'static,
    {
        Self {
            source: Box::new(move |id, days| Box::pin(source(id, days))),
            failed: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        }
    }

    /// How often the store could not say.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Learns a subject's sums of the windows that hold `now`, where they are not known. Requests that come meanwhile
    /// wait for the same answer instead of asking too.
    pub(super) async fn learn(&self, ledger: &Ledger, periods: [bool; 2], now: i64) {
        let deadline = Instant::now() + WAIT;
        let turn = Arc::clone(&ledger.lock().budgets_at(now).turn);
        let Ok(_turn) = timeout_at(deadline, turn.lock()).await else { return };
        for (period, _) in Period::ALL.into_iter().zip(periods).filter(|(_, wanted)| *wanted) {
            let again = Instant::now() + AGAIN;
            let Some(window) = ledger.lock().budgets_at(now).begin_asking(period, again) else { continue };
            let asked = timeout_at(deadline, (self.source)(ledger.id, period.days(window))).await;
            let mut state = ledger.lock();
            match asked {
                Ok(Ok(sum)) => state.budgets_at(now).learnt(period, window, sum),
                Ok(Err(_)) | Err(_) => {
                    state.budgets_at(now).ask_again(period, window, Instant::now() + AGAIN);
                    self.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            drop(state);
            self.tell(asked.map_err(|_| format!("no answer within {WAIT:?}").into()).flatten().err());
        }
    }

    /// One line when the store begins to fail and one when it answers again, not one for every key.
    fn tell(&self, problem: Option<SeedError>) {
        match problem {
            Some(problem) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%problem, "budgets begin at what is known here: no sums of saved tokens");
            }
            None if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!("sums of saved tokens can be read again");
            }
            _ => {}
        }
    }
}

/// Whether a request has to wait for the store first.
pub(super) fn due(budgets: &Budgets, periods: [bool; 2]) -> bool {
    Period::ALL.into_iter().zip(periods).any(|(period, wanted)| wanted && budgets.is_due(period))
}
