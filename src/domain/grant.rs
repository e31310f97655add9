//! Nobody hands out more than they hold.
//!
//! What a caller holds is compared, field by field, with what a key would hold: a key may be created or changed
//! only by a caller whose own holding covers it, before and after. So a restricted agent can neither lift its own
//! restriction nor make itself a freer sibling.

use chrono::{DateTime, Utc};

use crate::domain::{
    caller::Caller,
    key::{Key, Scopes, ToolMode},
    limits::OwnLimits,
    toollist::Toollist,
};

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

    /// What a caller can hand on; `None` for an operator, who is bound by nothing.
    pub fn of_caller(caller: &'a Caller) -> Option<Self> {
        match caller {
            Caller::Key(key) => Some(Self::of(&key.key)),
            Caller::Jwt(jwt) if jwt.operator => None,
            Caller::Jwt(jwt) => Some(Self {
                scopes: jwt.scopes,
                toollist: caller.toollist(),
                tool_mode: ToolMode::Filter,
                limits: OwnLimits::default(),
                expires_at: None,
            }),
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
        if !self.limits.covers(other.limits) {
            return refuse("limits", "each limit must be within your key's own");
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
