//! Durations as people write them: `250ms`, `60s`, `5m`, `1h`, `30d`. A bare number is refused: nobody remembers
//! whether it meant seconds or milliseconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// The longest that is taken, a year: sums with it stay far from every overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a whole number and a unit (`250ms`, `60s`, `5m`, `1h`, `30d`), at most `365d`")]
pub struct MalformedDuration;

/// Reads a duration.
///
/// # Errors
/// It is not a whole number and a unit, or is longer than a year.
pub fn parse(text: &str) -> Result<Duration, MalformedDuration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(MalformedDuration)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| MalformedDuration)?;
    let &(_, factor) = UNITS.iter().find(|(word, _)| *word == unit).ok_or(MalformedDuration)?;
    let duration = Duration::from_millis(number.checked_mul(factor).ok_or(MalformedDuration)?);
    if duration > LONGEST { Err(MalformedDuration) } else { Ok(duration) }
}

/// Writes a duration as `parse` reads it, in the largest unit that fits; less than a millisecond is dropped.
pub fn format(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (word, factor) = UNITS.into_iter().find(|(_, factor)| millis % factor == 0).unwrap_or(("ms", 1));
    format!("{}{word}", millis / factor)
}

/// For `#[serde(with = "duration")]`.
///
/// # Errors
/// As `parse`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// For `#[serde(with = "duration")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in ["0s", "1ms", "250ms", "1s", "61s", "90s", "5m", "1h", "25h", "2d", "365d", "1001ms"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(parse("60s").unwrap()), "1m");
        assert_eq!(format(parse("300000ms").unwrap()), "5m");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "1w", "366d", "99999999999999999999s", "1s1", "١s"]
        {
            assert_eq!(parse(text), Err(MalformedDuration), "{text}");
        }
    }
}
