//! What a caller wants changed of a key, checked before the key is looked up: a bad field is told as such even for a
//! key that is not there.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        key::{Key, Scopes, ToolMode, valid_name},
        limits::OwnLimits,
        toollist::Toollist,
        violation::Violations,
    },
    proto::v1,
    service::{convert, keys::draft},
};

/// New values of a key's own fields; `None` leaves one as it is.
#[derive(Default)]
pub(in crate::service) struct Update {
    name: Option<String>,
    expires_at: Option<Option<DateTime<Utc>>>,
    disabled: Option<bool>,
    scopes: Option<Scopes>,
    tool_mode: Option<ToolMode>,
    limits: OwnLimits,
    /// Those of the limits that are to change: each to its value, or back to the policy's where it has none.
    set_limits: Vec<SetLimit>,
}

/// Takes one limit over.
type SetLimit = fn(&mut OwnLimits, &OwnLimits);

impl Update {
    /// Reads what a request names.
    pub(in crate::service) fn read(
        request: &v1::UpdateKeyRequest,
        now: DateTime<Utc>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let mut update = Self {
            limits: OwnLimits {
                rate_limit_rpm: request.rate_limit_rpm,
                daily_token_budget: request.daily_token_budget,
                weekly_token_budget: request.weekly_token_budget,
                k_target_override: request.k_target_override,
            },
            ..Self::default()
        };
        draft::bounded(&mut violations, &update.limits, "null for the policy's");
        for field in named(&mut violations, request) {
            match (field, limit(field)) {
                (_, Some(set)) => update.set_limits.push(set),
                ("expires_at", _) => {
                    let expiry = convert::expiry(field, request.expires_at.as_ref(), now);
                    update.expires_at = violations.collect(expiry);
                }
                ("name", _) => {
                    let name = valid_name("name", request.name.as_deref().unwrap_or_default());
                    update.name = violations.collect(name);
                }
                ("scopes", _) => {
                    let scopes = request.scopes.as_ref().map(convert::scopes);
                    update.scopes = kept(&mut violations, field, scopes, "name one of chat, keys and usage");
                }
                ("tool_mode", _) => {
                    let mode = request.tool_mode.and_then(|mode| convert::tool_mode(mode).transpose());
                    update.tool_mode = kept(&mut violations, field, mode, "use filter or block");
                }
                _ => {
                    update.disabled =
                        kept(&mut violations, field, request.disabled.map(Ok), "give true or false");
                }
            }
        }
        violations.into_result().map(|()| update)
    }

    /// Makes them the key's.
    pub(super) fn apply(self, key: &mut Key) {
        key.name = self.name.unwrap_or_else(|| std::mem::take(&mut key.name));
        key.expires_at = self.expires_at.unwrap_or(key.expires_at);
        key.disabled = self.disabled.unwrap_or(key.disabled);
        key.scopes = self.scopes.unwrap_or(key.scopes);
        key.tool_mode = self.tool_mode.unwrap_or(key.tool_mode);
        for set in self.set_limits {
            set(&mut key.own_limits, &self.limits);
        }
    }
}

/// The fields that a request is to change.
fn named(violations: &mut Violations, request: &v1::UpdateKeyRequest) -> Vec<&'static str> {
    convert::masked(
        violations,
        request.update_mask.as_ref(),
        &[
            ("name", request.name.is_some()),
            ("expires_at", request.expires_at.is_some()),
            ("disabled", request.disabled.is_some()),
            ("rate_limit_rpm", request.rate_limit_rpm.is_some()),
            ("daily_token_budget", request.daily_token_budget.is_some()),
            ("weekly_token_budget", request.weekly_token_budget.is_some()),
            ("k_target_override", request.k_target_override.is_some()),
            ("scopes", request.scopes.is_some()),
            ("tool_mode", request.tool_mode.is_some()),
        ],
    )
}

/// What sets the limit of this name, if it is one.
fn limit(field: &str) -> Option<SetLimit> {
    Some(match field {
        "rate_limit_rpm" => |limits, given| limits.rate_limit_rpm = given.rate_limit_rpm,
        "daily_token_budget" => |limits, given| limits.daily_token_budget = given.daily_token_budget,
        "weekly_token_budget" => |limits, given| limits.weekly_token_budget = given.weekly_token_budget,
        "k_target_override" => |limits, given| limits.k_target_override = given.k_target_override,
        _ => return None,
    })
}

/// The new value of a field that every key has.
fn kept<T>(
    violations: &mut Violations,
    field: &str,
    given: Option<Result<T, Violations>>,
    instead: &str,
) -> Option<T> {
    match given {
        Some(given) => violations.collect(given),
        None => {
            violations.add(field, format!("cannot be cleared: {instead}"));
            None
        }
    }
}

/// New tool lists of a key; `None` leaves one as it is, and `Some(None)` takes it away.
pub(in crate::service) struct NewLists {
    allowed: Option<Option<Vec<String>>>,
    denied: Option<Option<Vec<String>>>,
}

impl NewLists {
    /// Reads what a request names.
    pub(in crate::service) fn read(request: v1::SetToollistRequest) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let fields = convert::masked(
            &mut violations,
            request.update_mask.as_ref(),
            &[
                ("allowed_tools", request.allowed_tools.is_some()),
                ("denied_tools", request.denied_tools.is_some()),
            ],
        );
        violations.collect(convert::toollist(
            request.allowed_tools.clone(),
            request.denied_tools.clone(),
            &Toollist::unbound(),
        ));
        violations.into_result()?;
        let new = |field, given: Option<v1::StringList>| {
            fields.contains(&field).then_some(given.map(|list| list.values))
        };
        Ok(Self {
            allowed: new("allowed_tools", request.allowed_tools),
            denied: new("denied_tools", request.denied_tools),
        })
    }

    /// Makes them the key's, beside the one that is not named.
    pub(super) fn apply(self, key: &mut Key) -> Result<(), Violations> {
        key.toollist = key.toollist.replaced(self.allowed, self.denied)?;
        Ok(())
    }
}
