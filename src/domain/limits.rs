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

    /// Whether `other` is as tight or tighter in every limit.
    pub fn covers(self, other: OwnLimits) -> bool {
        let within = |mine: Option<i64>, theirs: Option<i64>| match (mine, theirs) {
            (None, _) => true,
            (Some(mine), Some(theirs)) => theirs <= mine,
            (Some(_), None) => false,
        };
        within(self.rate_limit_rpm, other.rate_limit_rpm)
            && within(self.daily_token_budget, other.daily_token_budget)
            && within(self.weekly_token_budget, other.weekly_token_budget)
            && within(self.k_target_override, other.k_target_override)
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
        assert!(with(None).covers(with(Some(5))) && with(None).covers(with(None)));
        assert!(with(Some(5)).covers(with(Some(5))) && with(Some(5)).covers(with(Some(4))));
        assert!(!with(Some(5)).covers(with(Some(6))));
        assert!(!with(Some(5)).covers(with(None)), "no limit is wider than any");
    }
}
