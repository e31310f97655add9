//! Nobody hands out more than they hold.
//!
//! What a caller holds is compared, field by field, with what a key would hold: a key may be created or changed
//! only by a caller whose own holding covers it, before and after. So a restricted agent can neither lift its own
//! restriction nor make itself a freer sibling.
//!
//! Every way to a key is decided here: `Wanted::granted` when one is made, `may_change` when one is changed or gets a new secret. Both
//! take what the caller holds as `None` for an operator, who is bound by nothing. The tests walk every chain of
//! calls over a lattice of keys, with an oracle that knows nothing of `covers`.

use chrono::{DateTime, Utc};

use crate::domain::{
    caller::{Caller, Lapsed, Own},
    key::{Key, KeyStatus, Scopes, ToolMode},
    limits::OwnLimits,
    policy::PolicyValues,
    toollist::Toollist,
};

#[cfg(test)]
mod tests;

/// What someone may do, as far as it can be handed on.
#[derive(Debug, Clone, Copy)]
pub struct Holding<'a> {
    /// What for.
    pub scopes: Scopes,
    /// With which tools.
    pub toollist: &'a Toollist,
    /// What happens with others.
    pub tool_mode: ToolMode,
    /// How much.
    pub limits: OwnLimits,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key would hold more than the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Escalation {
    /// The field in which it would.
    pub field: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl<'a> Holding<'a> {
    /// What a key holds.
    pub fn of(key: &'a Key) -> Self {
        Self {
            scopes: key.scopes,
            toollist: &key.toollist,
            tool_mode: key.tool_mode,
            limits: key.own_limits,
            expires_at: key.expires_at,
        }
    }

    /// What a caller can hand on; `None` for an operator, who is bound by nothing. `own` is the calling key as the
    /// store has it: the copy that authenticated the call may be of a moment before it was narrowed, which is long
    /// enough to undo that, or to leave the old rights to a key of its own.
    pub fn of_caller(
        caller: &'a Caller,
        own: &'a Own<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, Lapsed> {
        match caller {
            Caller::Key(_) => {
                let own = own.0.as_deref().ok_or(Lapsed::Key(KeyStatus::Revoked))?;
                match own.status(now) {
                    KeyStatus::Active => Ok(Some(Self::of(own))),
                    status => Err(Lapsed::Key(status)),
                }
            }
            Caller::Jwt(jwt) if jwt.operator => Ok(None),
            Caller::Jwt(jwt) => Ok(Some(Self {
                scopes: jwt.scopes,
                toollist: caller.toollist(),
                tool_mode: ToolMode::Filter,
                limits: OwnLimits::default(),
                expires_at: None,
            })),
        }
    }

    /// Whether everything that `other` holds is held here too.
    pub fn covers(&self, other: &Holding<'_>) -> Result<(), Escalation> {
        let refuse = |field, message: &str| Err(Escalation { field, message: message.to_owned() });
        if !self.scopes.covers(other.scopes) {
            return refuse(
                "scopes",
                "your credential does not hold all of these scopes: leave out those it lacks",
            );
        }
        if !self.toollist.covers(other.toollist) {
            return refuse(
                "allowed_tools",
                "the tool lists must lie within your key's own: each allowed entry covered by one of yours, and each \
                 of your denied entries kept",
            );
        }
        if other.tool_mode < self.tool_mode {
            return refuse(
                "tool_mode",
                "the mode must be as strict as your key's own (block > filter > observe)",
            );
        }
        if let Some(field) = self.limits.exceeded_by(other.limits) {
            return refuse(field, "each limit must be set, and within your key's own");
        }
        match (self.expires_at, other.expires_at) {
            (Some(mine), theirs) if theirs.is_none_or(|at| at > mine) => Err(Escalation {
                field: "expires_at",
                message: format!("the key must not outlive yours, which expires at {}", mine.to_rfc3339()),
            }),
            _ => Ok(()),
        }
    }
}

/// What a key is asked to be made with; what is `None` comes from the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What for.
    pub scopes: Option<Scopes>,
    /// With which tools: a list that was not asked for is the caller's already.
    pub toollist: Toollist,
    /// What happens with others.
    pub tool_mode: Option<ToolMode>,
    /// How much; what is left out of it comes from the caller.
    pub limits: OwnLimits,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a new key is made with.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// What for.
    pub scopes: Scopes,
    /// With which tools.
    pub toollist: Toollist,
    /// What happens with others.
    pub tool_mode: ToolMode,
    /// How much.
    pub limits: OwnLimits,
    /// Until when.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Wanted {
    /// What the key gets from a caller that holds `held`, or the first thing that it would get too much of.
    pub fn granted(self, held: Option<Holding<'_>>, policy: &PolicyValues) -> Result<Granted, Escalation> {
        if self.tool_mode == Some(ToolMode::Observe) && held.is_some() {
            return Err(observe());
        }
        let asked = self.limits;
        // The policy may have been lowered since: what was granted then is not there to be handed on.
        let inherited = held.map(|held| held.limits.tightened_to(policy)).unwrap_or_default();
        let granted = Granted {
            scopes: self.scopes.unwrap_or_else(|| held.map_or(Scopes::all(), |held| held.scopes)),
            toollist: self.toollist,
            tool_mode: self.tool_mode.unwrap_or_else(|| held.map_or(ToolMode::Filter, |held| held.tool_mode)),
            limits: inherited.inherited_by(asked),
            expires_at: self.expires_at.or(held.and_then(|held| held.expires_at)),
        };
        if let Some(held) = held {
            held.covers(&granted.holding())?;
            within_policy(&asked, policy)?;
        }
        Ok(granted)
    }
}

impl Granted {
    /// The same, to be compared.
    pub fn holding(&self) -> Holding<'_> {
        Holding {
            scopes: self.scopes,
            toollist: &self.toollist,
            tool_mode: self.tool_mode,
            limits: self.limits,
            expires_at: self.expires_at,
        }
    }
}

/// Whether a caller that holds `held` may make `after` of `before`, two states of one key. It must cover both: else
/// it could widen a key of somebody else that is freer than itself, or take one over by narrowing it.
///
/// Only limits that change are held against the policy, which may have been lowered since the others were set.
pub fn may_change(
    held: Option<Holding<'_>>,
    policy: &PolicyValues,
    before: &Holding<'_>,
    after: &Holding<'_>,
) -> Result<(), Escalation> {
    let Some(held) = held else { return Ok(()) };
    held.covers(before)?;
    if after.tool_mode == ToolMode::Observe && before.tool_mode != ToolMode::Observe {
        return Err(observe());
    }
    held.covers(after)?;
    within_policy(&after.limits.unlike(&before.limits), policy)
}

fn observe() -> Escalation {
    Escalation { field: "tool_mode", message: "observe is set by operators only: use filter or block".into() }
}

/// A limit that was asked for can only tighten what the account's policy grants.
fn within_policy(limits: &OwnLimits, policy: &PolicyValues) -> Result<(), Escalation> {
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
