//! The limits of a key: those it was given itself, and those that hold once its account's policy is considered.
//!
//! A key can only tighten. What holds is the tighter of the two, computed when it is needed and never stored, so
//! that a change of the policy reaches every key at once.

use crate::domain::policy::PolicyValues;

/// The largest number of any limit, wherever it is given: beyond it sums of a month no longer fit 64 bits.
pub const LIMIT_MAX: i64 = 1_000_000_000_000;

/// The most tools that a pruning target or a window can name.
pub const TOOLS_MAX: i64 = 1_000;

/// The limits that a key was given itself; `None` leaves it to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnLimits {
    /// Requests a minute.
    pub rate_limit_rpm: Option<i64>,
    /// Saved tokens a UTC day.
    pub daily_token_budget: Option<i64>,
    /// Saved tokens an ISO week.
    pub weekly_token_budget: Option<i64>,
    /// The least number of tools that pruning keeps.
    pub k_target_override: Option<i64>,
}

impl OwnLimits {
    /// Limits within these: each that `other` leaves out is taken from here.
    pub fn inherited_by(self, other: OwnLimits) -> OwnLimits {
        OwnLimits {
            rate_limit_rpm: other.rate_limit_rpm.or(self.rate_limit_rpm),
            daily_token_budget: other.daily_token_budget.or(self.daily_token_budget),
            weekly_token_budget: other.weekly_token_budget.or(self.weekly_token_budget),
            k_target_override: other.k_target_override.or(self.k_target_override),
        }
    }

    /// These limits, each no wider than what the policy grants. One that is not set stays so: the policy's holds.
    #[must_use]
    pub fn tightened_to(self, policy: &PolicyValues) -> OwnLimits {
        let tighter = |own: Option<i64>, granted: Option<i64>| {
            own.map(|own| granted.map_or(own, |granted| own.min(granted)))
        };
        OwnLimits {
            rate_limit_rpm: tighter(self.rate_limit_rpm, policy.requests_per_minute),
            daily_token_budget: tighter(self.daily_token_budget, policy.daily_token_budget),
            weekly_token_budget: tighter(self.weekly_token_budget, policy.weekly_token_budget),
            k_target_override: self.k_target_override,
        }
    }

    /// Those of these limits that are set otherwise in `other`, or not at all.
    #[must_use]
    pub fn unlike(self, other: &OwnLimits) -> OwnLimits {
        let new = |own: Option<i64>, other: Option<i64>| own.filter(|own| other != Some(*own));
        OwnLimits {
            rate_limit_rpm: new(self.rate_limit_rpm, other.rate_limit_rpm),
            daily_token_budget: new(self.daily_token_budget, other.daily_token_budget),
            weekly_token_budget: new(self.weekly_token_budget, other.weekly_token_budget),
            k_target_override: new(self.k_target_override, other.k_target_override),
        }
    }

    /// The first limit in which `other` is wider than this; `None` when it is as tight or tighter in every one.
    pub fn exceeded_by(self, other: OwnLimits) -> Option<&'static str> {
        let pairs = [
            ("rate_limit_rpm", self.rate_limit_rpm, other.rate_limit_rpm),
            ("daily_token_budget", self.daily_token_budget, other.daily_token_budget),
            ("weekly_token_budget", self.weekly_token_budget, other.weekly_token_budget),
            ("k_target_override", self.k_target_override, other.k_target_override),
        ];
        let wider = |(_, mine, theirs): &(_, Option<i64>, Option<i64>)| {
            mine.is_some_and(|mine| theirs.is_none_or(|theirs| theirs > mine))
        };
        pairs.into_iter().find(wider).map(|(field, _, _)| field)
    }
}

/// One limit as it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The limit; `None` means unlimited.
    pub value: Option<i64>,
    /// Whether it is the key's own, else the policy's.
    pub from_key: bool,
}

impl Limit {
    fn tighter(own: Option<i64>, policy: Option<i64>) -> Self {
        match (own, policy) {
            (Some(own), Some(policy)) if own >= policy => Self { value: Some(policy), from_key: false },
            (Some(own), _) => Self { value: Some(own), from_key: true },
            (None, policy) => Self { value: policy, from_key: false },
        }
    }
}

/// The limits that hold for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub rate_limit_rpm: Limit,
    /// Requests at the same time.
    pub concurrent_requests: Limit,
    /// Saved tokens a UTC day.
    pub daily_token_budget: Limit,
    /// Saved tokens an ISO week.
    pub weekly_token_budget: Limit,
    /// The least number of tools that pruning keeps.
    pub k_target: Limit,
}

impl Limits {
    /// The limits that hold for a key with these limits of its own: of each pair the tighter.
    pub fn of(own: &OwnLimits, policy: &PolicyValues) -> Self {
        Self {
            rate_limit_rpm: Limit::tighter(own.rate_limit_rpm, policy.requests_per_minute),
            concurrent_requests: Limit::tighter(None, policy.concurrent_requests),
            daily_token_budget: Limit::tighter(own.daily_token_budget, policy.daily_token_budget),
            weekly_token_budget: Limit::tighter(own.weekly_token_budget, policy.weekly_token_budget),
            // Neither is the tighter: it says how pruning is done, and what a key says of itself is nearer.
            k_target: Limit {
                value: own.k_target_override.or(policy.tool_window),
                from_key: own.k_target_override.is_some(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(own: Option<i64>, policy: Option<i64>) -> Limit {
        let own = OwnLimits { rate_limit_rpm: own, ..OwnLimits::default() };
        let policy = PolicyValues { requests_per_minute: policy, ..PolicyValues::default() };
        Limits::of(&own, &policy).rate_limit_rpm
    }

    #[test]
    fn the_tighter_of_key_and_policy_holds() {
        assert_eq!(held(Some(10), Some(60)), Limit { value: Some(10), from_key: true });
        assert_eq!(held(Some(90), Some(60)), Limit { value: Some(60), from_key: false });
        assert_eq!(held(None, Some(60)), Limit { value: Some(60), from_key: false });
        assert_eq!(held(Some(10), None), Limit { value: Some(10), from_key: true });
        assert_eq!(held(None, None), Limit { value: None, from_key: false });
    }

    #[test]
    fn a_key_keeps_as_many_tools_as_it_says_itself_or_else_as_the_policy_says() {
        let held = |own, policy| {
            let own = OwnLimits { k_target_override: own, ..OwnLimits::default() };
            Limits::of(&own, &PolicyValues { tool_window: policy, ..PolicyValues::default() }).k_target
        };
        assert_eq!(held(None, Some(8)), Limit { value: Some(8), from_key: false });
        assert_eq!(held(Some(12), Some(8)), Limit { value: Some(12), from_key: true });
        assert_eq!(held(Some(4), Some(8)), Limit { value: Some(4), from_key: true });
        assert_eq!(held(None, None), Limit { value: None, from_key: false });
    }

    #[test]
    fn a_limit_is_covered_by_a_wider_one_or_none() {
        let with = |rpm| OwnLimits { rate_limit_rpm: rpm, ..OwnLimits::default() };
        let covers = |mine: Option<i64>, theirs: Option<i64>| with(mine).exceeded_by(with(theirs)).is_none();
        assert!(covers(None, Some(5)) && covers(None, None));
        assert!(covers(Some(5), Some(5)) && covers(Some(5), Some(4)));
        assert!(!covers(Some(5), Some(6)));
        assert!(!covers(Some(5), None), "no limit is wider than any");
        assert_eq!(with(Some(5)).exceeded_by(OwnLimits::default()), Some("rate_limit_rpm"));
    }

    #[test]
    fn what_is_set_as_before_is_no_change() {
        let one = OwnLimits { rate_limit_rpm: Some(5), daily_token_budget: Some(6), ..OwnLimits::default() };
        let other =
            OwnLimits { rate_limit_rpm: Some(5), weekly_token_budget: Some(7), ..OwnLimits::default() };
        assert_eq!(one.unlike(&other), OwnLimits { daily_token_budget: Some(6), ..OwnLimits::default() });
    }
}
