//! How long is waited for the head of a request, its first one or the next.
//!
//! hyper asks for a timer for each head, and throws it away once the head is there. Tokio's are all in one wheel, behind a
//! lock that each takes to get in and again to get out, which was a hundredth of what a request costs. Here one timer
//! sleeps for a whole connection, and what a request changes is a number: when the timer wakes, it sees whether that
//! number is due, and otherwise sleeps on.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

/// No head is waited for.
const NOTHING: u64 = u64::MAX;
/// It was waited for too long.
const OVER: u64 = 0;

/// By when a head has to be there: the handle of a connection's [`Watch`], which hyper takes for its timer.
///
/// All of it is used by one task, so that the number needs no order but its own.
#[derive(Clone)]
pub(super) struct Patience {
    began: Instant,
    /// Milliseconds after `began`, or one of the two above.
    due: Arc<AtomicU64>,
}

impl Patience {
    /// Says that a request came, so that no head is waited for. Of HTTP/1 hyper says so itself.
    pub(super) fn has_come(&self) {
        self.due.store(NOTHING, Ordering::Relaxed);
    }

    fn wait_until(&self, deadline: Instant) {
        let after = deadline.saturating_duration_since(self.began).as_millis();
        self.due.store(u64::try_from(after).unwrap_or(NOTHING).max(1), Ordering::Relaxed);
    }

    /// When it is due, if a head is waited for.
    fn due(&self) -> Option<Instant> {
        let due = self.due.load(Ordering::Relaxed);
        (due != NOTHING).then(|| self.began + Duration::from_millis(due))
    }
}

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.wait_until(deadline.into());
        Box::pin(Head(self.clone()))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }

    fn reset(&self, _: &mut Pin<Box<dyn Sleep>>, deadline: std::time::Instant) {
        self.wait_until(deadline.into());
    }
}

/// What hyper asks whether it has waited too long for a head. The [`Watch`] wakes it.
struct Head(Patience);

impl Sleep for Head {}

impl Future for Head {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.due.load(Ordering::Relaxed) == OVER { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.0.has_come();
    }
}

/// Sleeps until a head is due. It belongs to the task of its connection.
pub(super) struct Watch {
    patience: Patience,
    longest: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
    /// Whether the task will be woken. A task's waker stays the same, so that once is enough.
    will_wake: bool,
}

impl Watch {
    /// Waits for a first head, and for none longer than `longest`.
    pub(super) fn begin(longest: Duration) -> Self {
        let began = Instant::now();
        let patience = Patience { began, due: Arc::default() };
        patience.wait_until(began + longest);
        Self {
            patience,
            longest,
            sleep: Box::pin(tokio::time::sleep_until(began + longest)),
            will_wake: false,
        }
    }

    /// What is told of heads.
    pub(super) fn patience(&self) -> Patience {
        self.patience.clone()
    }

    /// Whether a head was waited for too long; then hyper's own timer says so too. For every turn of the task.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.will_wake || self.sleep.is_elapsed() {
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.will_wake = true;
                return false;
            }
            let now = Instant::now();
            let next = match self.patience.due() {
                Some(due) if due <= now => {
                    self.patience.due.store(OVER, Ordering::Relaxed);
                    return true;
                }
                Some(due) => due,
                // Whatever is waited for from now on is not due earlier.
                None => now + self.longest,
            };
            self.sleep.as_mut().reset(next);
            self.will_wake = false;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::time::{advance, timeout};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(10);

    async fn over(watch: &mut Watch) {
        poll_fn(|cx| if watch.is_over(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_asks_is_over_in_time() {
        let (began, mut watch) = (Instant::now(), Watch::begin(LONGEST));
        over(&mut watch).await;
        assert!((LONGEST..LONGEST + Duration::from_millis(5)).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn while_no_head_is_waited_for_nothing_is_over() {
        let mut watch = Watch::begin(LONGEST);
        watch.patience().has_come();
        assert!(timeout(100 * LONGEST, over(&mut watch)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn each_head_has_its_time() {
        let mut watch = Watch::begin(LONGEST);
        let patience = watch.patience();
        for _ in 0..20 {
            let head = patience.sleep(LONGEST);
            assert!(timeout(LONGEST * 9 / 10, over(&mut watch)).await.is_err(), "there was time left");
            drop(head);
            assert!(timeout(LONGEST / 3, over(&mut watch)).await.is_err(), "none was waited for");
        }
        let (mut head, began) = (patience.sleep(LONGEST), Instant::now());
        assert!((&mut head).now_or_never().is_none());
        over(&mut watch).await;
        assert!((LONGEST..LONGEST + Duration::from_millis(5)).contains(&began.elapsed()));
        assert!(head.now_or_never().is_some(), "hyper hears of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_given_more_time_has_it() {
        let mut watch = Watch::begin(LONGEST);
        let patience = watch.patience();
        let mut head = patience.sleep(LONGEST);
        advance(LONGEST / 2).await;
        patience.reset(&mut head, patience.now() + LONGEST);
        let began = Instant::now();
        over(&mut watch).await;
        assert!(began.elapsed() >= LONGEST);
    }
}
