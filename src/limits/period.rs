//! The windows of budgets: the UTC day and the ISO week, which begins on Monday, as whole numbers that grow by one.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// Microseconds in a day.
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// The first day, 1 January 1970, was a Thursday: three days into its week.
const THURSDAY: i64 = 3;

/// What a budget is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A UTC day.
    Day,
    /// An ISO week, Monday to Sunday, in UTC.
    Week,
}

/// Whole UTC days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: NaiveDate,
    /// The last.
    pub to: NaiveDate,
}

impl Period {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
        }
    }

    /// Both, in the order in which a subject keeps them.
    pub(super) const ALL: [Period; 2] = [Period::Day, Period::Week];

    /// The window that holds a time, in microseconds since 1970.
    pub(super) fn window(self, micros: i64) -> i64 {
        let day = micros.div_euclid(DAY);
        match self {
            Period::Day => day,
            Period::Week => (day + THURSDAY).div_euclid(7),
        }
    }

    /// When a window begins, in microseconds since 1970.
    pub(super) fn begins(self, window: i64) -> i64 {
        match self {
            Period::Day => window.saturating_mul(DAY),
            Period::Week => (window.saturating_mul(7) - THURSDAY).saturating_mul(DAY),
        }
    }

    /// When a window ends.
    pub(super) fn resets_at(self, window: i64) -> DateTime<Utc> {
        time(self.begins(window.saturating_add(1)))
    }

    /// The days of a window.
    pub(super) fn days(self, window: i64) -> Days {
        let to = self.resets_at(window) - TimeDelta::days(1);
        Days { from: time(self.begins(window)).date_naive(), to: to.date_naive() }
    }
}

/// Windows come from times that chrono held, so that they lie within its range but for the last of all days.
fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;

    #[test]
    fn days_and_weeks_are_those_of_the_calendar() {
        let mut day = NaiveDate::from_ymd_opt(1969, 12, 1).unwrap();
        while day.year() < 2032 {
            let noon = day.and_hms_opt(12, 0, 0).unwrap().and_utc().timestamp_micros();
            assert_eq!(Period::Day.days(Period::Day.window(noon)), Days { from: day, to: day });
            let week = Period::Week.days(Period::Week.window(noon));
            assert_eq!(week.from.iso_week(), day.iso_week(), "{day}");
            assert_eq!(week.to.iso_week(), day.iso_week(), "{day}");
            assert_eq!((week.to - week.from).num_days(), 6);
            day = day.succ_opt().unwrap();
        }
    }

    #[test]
    fn a_week_runs_on_over_new_year_and_a_day_does_not() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        let (old, new) = (at("2026-12-31T23:59:59.999999Z"), at("2027-01-01T00:00:00Z"));
        assert_eq!(Period::Week.window(old), Period::Week.window(new));
        assert_eq!(Period::Day.window(old) + 1, Period::Day.window(new));
        let (sunday, monday) = (at("2027-01-03T23:59:59.999999Z"), at("2027-01-04T00:00:00Z"));
        assert_eq!(Period::Week.window(sunday) + 1, Period::Week.window(monday));
        assert_eq!(Period::Week.resets_at(Period::Week.window(new)).timestamp_micros(), monday);
    }
}
