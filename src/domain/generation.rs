//! The secrets of a key that work, and what a rotation makes of them.
//!
//! At most two work: a third would be one that nobody remembers to look after. Which of two goes when a third comes is
//! decided by use and not by age alone, since a rotation is also repeated because its answer was lost: the secret in
//! that answer is nobody's, and everybody still works with the one before it.
//!
//! Use is known with a delay. Of a secret that is but seconds old nobody can say that it was never used: it is kept beside
//! the one before it, a third for once, rather than cut off those who may have both.

use chrono::{DateTime, TimeDelta, Utc};

/// The longest that a secret can outlive its rotation.
pub const OVERLAP_MAX: TimeDelta = TimeDelta::days(7);

/// How long after its first use a secret may still look unused: times of use are written at most once a second, by every
/// process for itself.
const KNOWN_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// A secret of a key that works.
#[derive(Debug, Clone, PartialEq)]
pub struct LivingSecret {
    /// Which of the key's secrets.
    pub number: i32,
    /// The part of it that may be shown.
    pub prefix: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops working; `None` for the newest.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it last authenticated a request.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl LivingSecret {
    /// Whether it works at `now`.
    pub fn lives(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// When each of a key's secrets, given newest first, ends once a new one is made at `now`: its number, and the time, or
/// `None` for at once.
///
/// One of them works for `overlap` more, but not beyond an end that it has already: the newest, or, if that was never
/// used, the one before it; both, if the newest is too young for anybody to know.
pub fn ends(
    living: &[LivingSecret],
    now: DateTime<Utc>,
    overlap: TimeDelta,
) -> Vec<(i32, Option<DateTime<Utc>>)> {
    let in_use = living.iter().find(|secret| secret.last_used_at.is_some()).or(living.first());
    let young = living.first().filter(|newest| now - newest.created_at < KNOWN_WITHIN);
    let is_kept = |secret: &LivingSecret| [in_use, young].into_iter().flatten().any(|kept| kept == secret);
    let end = |secret: &LivingSecret| {
        let until = now + overlap;
        let kept = overlap > TimeDelta::zero() && is_kept(secret);
        kept.then(|| secret.expires_at.map_or(until, |own| own.min(until)))
    };
    living.iter().map(|secret| (secret.number, end(secret))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn secret(number: i32, expires_at: Option<i64>, last_used_at: Option<i64>) -> LivingSecret {
        LivingSecret {
            number,
            prefix: "sk-orq-00000000".into(),
            created_at: at(-100),
            expires_at: expires_at.map(at),
            last_used_at: last_used_at.map(at),
        }
    }

    fn ended(living: &[LivingSecret], overlap: i64) -> Vec<(i32, Option<DateTime<Utc>>)> {
        ends(living, at(0), TimeDelta::seconds(overlap))
    }

    #[test]
    fn the_only_secret_lives_for_the_overlap_whether_it_was_used_or_not() {
        for used in [None, Some(-1)] {
            assert_eq!(ended(&[secret(1, None, used)], 60), [(1, Some(at(60)))]);
            assert_eq!(ended(&[secret(1, None, used)], 0), [(1, None)]);
        }
    }

    #[test]
    fn of_two_secrets_in_use_the_older_ends_at_once() {
        let living = [secret(2, None, Some(-2)), secret(1, Some(30), Some(-1))];
        assert_eq!(ended(&living, 60), [(2, Some(at(60))), (1, None)]);
        assert_eq!(ended(&living, 0), [(2, None), (1, None)]);
    }

    #[test]
    fn a_secret_that_was_never_used_goes_and_the_one_before_it_lives_no_longer_than_it_would() {
        let living = [secret(2, None, None), secret(1, Some(30), Some(-1))];
        assert_eq!(ended(&living, 60), [(2, None), (1, Some(at(30)))]);
        assert_eq!(ended(&living, 10), [(2, None), (1, Some(at(10)))]);
        assert_eq!(ended(&living, 0), [(2, None), (1, None)], "no overlap spares nothing");
    }

    #[test]
    fn of_a_secret_that_is_too_young_to_be_called_unused_and_the_one_before_it_both_are_kept() {
        let young = |age: i64| LivingSecret { created_at: at(-age), ..secret(2, None, None) };
        let before = secret(1, Some(30), Some(-1));
        assert_eq!(ended(&[young(4), before.clone()], 60), [(2, Some(at(60))), (1, Some(at(30)))]);
        assert_eq!(ended(&[young(5), before.clone()], 60), [(2, None), (1, Some(at(30)))]);
        assert_eq!(ended(&[young(0), before], 0), [(2, None), (1, None)], "no overlap spares nothing");
    }

    #[test]
    fn of_two_secrets_that_nobody_has_used_the_newer_is_kept() {
        let living = [secret(2, None, None), secret(1, Some(30), None)];
        assert_eq!(ended(&living, 60), [(2, Some(at(60))), (1, None)]);
    }

    #[test]
    fn an_end_is_reached_on_the_second() {
        let ending = secret(1, Some(1), None);
        assert!(ending.lives(at(1) - TimeDelta::microseconds(1)) && !ending.lives(at(1)));
        assert!(secret(2, None, None).lives(at(1_000_000)));
    }
}
