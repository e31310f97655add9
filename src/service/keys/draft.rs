//! A key that is about to be made: what the caller asked for, what is inherited where he asked for nothing, and
//! whether it lies within what the policy grants. All field errors come at once.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        caller::Caller,
        grant::{Escalation, Holding},
        key::{Scopes, ToolMode, valid_name},
        limits::OwnLimits,
        policy::PolicyValues,
        toollist::Toollist,
        violation::Violations,
    },
    proto::v1,
    service::{Failure, convert},
};

/// The most tools that a pruning target can name.
const K_TARGET_MAX: i64 = 1000;

/// A key to be: what the caller asked for, and what was inherited.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) scopes: Scopes,
    pub(super) toollist: Toollist,
    pub(super) tool_mode: ToolMode,
    pub(super) limits: OwnLimits,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl Draft {
    pub(super) fn read(
        caller: &Caller,
        request: v1::CreateKeyRequest,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let mut violations = Violations::new();
        let parent = Holding::of_caller(caller);
        let inherited = parent.map(|held| held.limits).unwrap_or_default();
        let name = violations.collect(valid_name("name", &request.name));
        let expires_at = violations.collect(convert::expiry("expires_at", request.expires_at.as_ref(), now));
        let scopes = match &request.scopes {
            Some(list) => violations.collect(convert::scopes(list)),
            None => Some(parent.map_or(Scopes::all(), |held| held.scopes)),
        };
        let mode = violations.collect(convert::tool_mode(request.tool_mode));
        let given = OwnLimits {
            rate_limit_rpm: convert::at_least(&mut violations, "rate_limit_rpm", request.rate_limit_rpm, 1),
            daily_token_budget: convert::at_least(
                &mut violations,
                "daily_token_budget",
                request.daily_token_budget,
                0,
            ),
            weekly_token_budget: convert::at_least(
                &mut violations,
                "weekly_token_budget",
                request.weekly_token_budget,
                0,
            ),
            k_target_override: convert::at_least(
                &mut violations,
                "k_target_override",
                request.k_target_override,
                1,
            ),
        };
        if given.k_target_override.is_some_and(|k| k > K_TARGET_MAX) {
            violations.add("k_target_override", format!("must be at most {K_TARGET_MAX}"));
        }
        let toollist = violations.collect(convert::toollist(
            request.allowed_tools,
            request.denied_tools,
            caller.toollist(),
        ));
        violations.into_result()?;
        let tool_mode = mode.flatten();
        if tool_mode == Some(ToolMode::Observe) && parent.is_some() {
            return Err(Escalation {
                field: "tool_mode",
                message: "observe is set by operators only: use filter or block".into(),
            }
            .into());
        }
        Ok(Self {
            name: name.unwrap_or_default(),
            scopes: scopes.unwrap_or_default(),
            toollist: toollist.unwrap_or_else(|| caller.toollist().clone()),
            tool_mode: tool_mode.unwrap_or(caller.tool_mode()),
            limits: inherited.inherited_by(given),
            expires_at: expires_at.flatten().or(parent.and_then(|held| held.expires_at)),
        })
    }

    pub(super) fn holding(&self) -> Holding<'_> {
        Holding {
            scopes: self.scopes,
            toollist: &self.toollist,
            tool_mode: self.tool_mode,
            limits: self.limits,
            expires_at: self.expires_at,
        }
    }
}

/// A limit of a new key can only tighten what the account's policy grants.
pub(super) fn within_policy(limits: &OwnLimits, policy: &PolicyValues) -> Result<(), Escalation> {
    let pairs = [
        ("rate_limit_rpm", limits.rate_limit_rpm, policy.requests_per_minute),
        ("daily_token_budget", limits.daily_token_budget, policy.daily_token_budget),
        ("weekly_token_budget", limits.weekly_token_budget, policy.weekly_token_budget),
    ];
    for (field, given, granted) in pairs {
        if let (Some(given), Some(granted)) = (given, granted)
            && given > granted
        {
            return Err(Escalation {
                field,
                message: format!("{given} is more than the account's policy grants: give at most {granted}"),
            });
        }
    }
    Ok(())
}
