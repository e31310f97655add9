//! Time, handed in. Every part that asks for the time takes a `SharedClock`, so that tests advance it instead
//! of sleeping; `.clippy.toml` bans the direct calls everywhere else.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// A clock that any part of the process can hold.
pub type SharedClock = Arc<dyn Clock>;

/// Tells the time of day in UTC.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now, at microsecond precision: the precision of both stores, so that what is written is what
    /// is read back.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (day, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
        let date = TODAY.with(|today| match today.get() {
            (known, date) if known == day => Some(date),
            _ => {
                let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days)?;
                today.set((day, date));
                Some(date)
            }
        });
        let second = u32::try_from(second).unwrap_or_default();
        let time = NaiveTime::from_num_seconds_from_midnight_opt(second, since.subsec_micros() * 1000);
        date.zip(time).map(|(date, time)| date.and_time(time).and_utc()).unwrap_or_default()
    }
}

/// The seconds of a day in Unix time.
const DAY: u64 = 24 * 60 * 60;

thread_local! {
    /// The last day that was asked for, as it is counted and as a date: working that out takes as long as the clock.
    static TODAY: Cell<(u64, NaiveDate)> = const { Cell::new((u64::MAX, NaiveDate::MIN)) };
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: DateTime<Utc>) -> Self {
        Self(AtomicI64::new(start.timestamp_micros()))
    }

    /// Moves the clock by `by`, which may be negative: clocks do step back.
    pub fn advance(&self, by: TimeDelta) {
        let micros = by.num_microseconds().expect("tests advance by less than 292,000 years");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).expect("set from a valid time")
    }
}
