//! A key that is about to be made: what the caller asked for, what is inherited where he asked for nothing, and
//! whether it lies within what the policy grants. All field errors come at once.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        caller::Caller,
        grant::{Escalation, Holding},
        key::{Scopes, ToolMode, valid_name},
        limits::{LIMIT_MAX, OwnLimits, TOOLS_MAX},
        policy::PolicyValues,
        toollist::Toollist,
        violation::Violations,
    },
    proto::v1,
    service::{Failure, convert},
};

/// A key to be: what the caller asked for, and what was inherited.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) scopes: Scopes,
    pub(super) toollist: Toollist,
    pub(super) tool_mode: ToolMode,
    pub(super) limits: OwnLimits,
    /// Those of the limits that the caller asked for.
    pub(super) given: OwnLimits,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl Draft {
    pub(super) fn read(
        caller: &Caller,
        request: v1::CreateKeyRequest,
        policy: &PolicyValues,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let parent = Holding::of_caller(caller);
        let asked = Asked::read(request, caller.toollist(), now)?;
        if asked.tool_mode == Some(ToolMode::Observe) && parent.is_some() {
            return Err(Escalation {
                field: "tool_mode",
                message: "observe is set by operators only: use filter or block".into(),
            }
            .into());
        }
        // The policy may have been lowered since: what was granted then is not there to be handed on.
        let inherited = parent.map(|held| held.limits.tightened_to(policy)).unwrap_or_default();
        Ok(Self {
            name: asked.name,
            scopes: asked.scopes.unwrap_or_else(|| parent.map_or(Scopes::all(), |held| held.scopes)),
            toollist: asked.toollist,
            tool_mode: asked.tool_mode.unwrap_or(caller.tool_mode()),
            limits: inherited.inherited_by(asked.limits),
            given: asked.limits,
            expires_at: asked.expires_at.or(parent.and_then(|held| held.expires_at)),
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

/// The fields of a request, each within its bounds; `None` where nothing was asked for.
struct Asked {
    name: String,
    expires_at: Option<DateTime<Utc>>,
    scopes: Option<Scopes>,
    tool_mode: Option<ToolMode>,
    limits: OwnLimits,
    toollist: Toollist,
}

impl Asked {
    /// Reads them; a list that was not given is the `current` one.
    fn read(
        request: v1::CreateKeyRequest,
        current: &Toollist,
        now: DateTime<Utc>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let name = violations.collect(valid_name("name", &request.name));
        let expires_at = violations.collect(convert::expiry("expires_at", request.expires_at.as_ref(), now));
        let scopes = request.scopes.as_ref().map(|list| violations.collect(convert::scopes(list)));
        let tool_mode = violations.collect(convert::tool_mode(request.tool_mode));
        let mut limit =
            |field, given, bounds| convert::within(&mut violations, field, given, bounds, "leave it out");
        let limits = OwnLimits {
            rate_limit_rpm: limit("rate_limit_rpm", request.rate_limit_rpm, 1..=LIMIT_MAX),
            daily_token_budget: limit("daily_token_budget", request.daily_token_budget, 0..=LIMIT_MAX),
            weekly_token_budget: limit("weekly_token_budget", request.weekly_token_budget, 0..=LIMIT_MAX),
            k_target_override: limit("k_target_override", request.k_target_override, 1..=TOOLS_MAX),
        };
        let toollist =
            violations.collect(convert::toollist(request.allowed_tools, request.denied_tools, current));
        violations.into_result()?;
        Ok(Self {
            name: name.unwrap_or_default(),
            expires_at: expires_at.flatten(),
            scopes: scopes.flatten(),
            tool_mode: tool_mode.flatten(),
            limits,
            toollist: toollist.unwrap_or_else(|| current.clone()),
        })
    }
}

/// Whether the fields of a request are within their bounds, whoever sends it.
pub(in crate::service) fn check_create(
    request: v1::CreateKeyRequest,
    now: DateTime<Utc>,
) -> Result<(), Violations> {
    Asked::read(request, &Toollist::unbound(), now).map(drop)
}

/// A limit that was asked for can only tighten what the account's policy grants.
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
