//! Days that a caller asks about: written `2026-11-25`, in UTC, both ends inclusive.

use chrono::{Datelike, Days, NaiveDate};

use crate::domain::violation::{Violations, shown};

/// The most days of one answer: a leap year.
const MOST: i64 = 366;

/// Some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) struct Range {
    pub(super) first: NaiveDate,
    pub(super) last: NaiveDate,
}

impl Range {
    /// Reads what a caller asked for; what it left out is `today`, and for the first day what `default` makes of the
    /// last.
    pub(super) fn read(
        first: Option<&str>,
        last: Option<&str>,
        today: NaiveDate,
        default: impl FnOnce(NaiveDate) -> Option<NaiveDate>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let last = violations.collect(last.map_or(Ok(today), |text| day("last_day", text)));
        let given = violations.collect(first.map(|text| day("first_day", text)).transpose());
        let (Some(last), Some(given)) = (last, given) else {
            return Err(violations);
        };
        let first = given.or_else(|| default(last)).unwrap_or(last);
        let days = (last - first).num_days() + 1;
        if !(1..=MOST).contains(&days) {
            let message = format!(
                "from {first} to {last} are {} days: give a first day that is not after the last, and at most {MOST} days",
                days.max(0)
            );
            return Err(Violations::one("first_day", message));
        }
        Ok(Self { first, last })
    }

    /// The day after the last.
    pub(super) fn end(&self) -> NaiveDate {
        self.last.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
    }

    /// Each of them, oldest first.
    pub(super) fn days(&self) -> impl Iterator<Item = NaiveDate> {
        let end = self.end();
        self.first.iter_days().take_while(move |day| *day < end)
    }
}

fn day(field: &str, text: &str) -> Result<NaiveDate, Violations> {
    let day = text.parse::<NaiveDate>().ok();
    // The parser takes other spellings too, and years that no store does.
    day.filter(|day| (1..=9999).contains(&day.year()) && day.to_string() == text)
        .ok_or_else(|| Violations::one(field, format!("{} is no day: write it like 2026-11-25", shown(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(first: Option<&str>, last: Option<&str>) -> Result<(String, String), String> {
        let today = "2026-03-14".parse().unwrap();
        let range = Range::read(first, last, today, |last| last.with_day(1));
        range
            .map(|range| (range.first.to_string(), range.last.to_string()))
            .map_err(|violations| violations.to_string())
    }

    #[test]
    fn what_is_left_out_is_this_month_until_today() {
        let days = |first: &str, last: &str| Ok((first.to_owned(), last.to_owned()));
        assert_eq!(read(None, None), days("2026-03-01", "2026-03-14"));
        assert_eq!(read(None, Some("2026-02-28")), days("2026-02-01", "2026-02-28"));
        assert_eq!(read(Some("2026-03-14"), None), days("2026-03-14", "2026-03-14"));
        assert_eq!(read(Some("2027-01-01"), Some("2028-01-01")), days("2027-01-01", "2028-01-01"));
    }

    #[test]
    fn other_spellings_and_ranges_are_refused() {
        for text in ["", "today", "2026-3-1", "2026-02-30", "0000-01-01", "+10000-01-01", "2026-03-01 "] {
            assert!(read(Some(text), None).unwrap_err().contains("is no day"), "{text}");
        }
        assert!(read(Some("2026-03-15"), None).unwrap_err().contains("not after the last"));
        assert!(read(Some("2025-03-13"), None).unwrap_err().contains("at most 366 days"));
    }

    #[test]
    fn the_days_of_a_range_have_no_gap() {
        let range = Range { first: "2028-02-27".parse().unwrap(), last: "2028-03-01".parse().unwrap() };
        let days: Vec<_> = range.days().map(|day| day.to_string()).collect();
        assert_eq!(days, ["2028-02-27", "2028-02-28", "2028-02-29", "2028-03-01"]);
    }
}
