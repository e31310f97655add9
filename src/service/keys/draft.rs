//! What a caller asks of a new key, each field within its bounds, before anybody looks at what it may hand out: that
//! is `domain::grant`'s. All field errors come at once.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        grant::Wanted,
        key::valid_name,
        limits::{LIMIT_MAX, OwnLimits, TOOLS_MAX},
        toollist::Toollist,
        violation::Violations,
    },
    proto::v1,
    service::{convert, keys::repeating},
};

/// A key to be, as it was asked for.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) wanted: Wanted,
}

impl Draft {
    /// Reads the fields of a request; a list that was not given is the `current` one.
    pub(super) fn read(
        request: v1::CreateKeyRequest,
        current: &Toollist,
        now: DateTime<Utc>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let name = violations.collect(valid_name("name", &request.name));
        let expires_at = violations.collect(convert::expiry("expires_at", request.expires_at.as_ref(), now));
        let scopes = request.scopes.as_ref().map(|list| violations.collect(convert::scopes(list)));
        let tool_mode = violations.collect(convert::tool_mode(request.tool_mode));
        let limits = OwnLimits {
            rate_limit_rpm: request.rate_limit_rpm,
            daily_token_budget: request.daily_token_budget,
            weekly_token_budget: request.weekly_token_budget,
            k_target_override: request.k_target_override,
        };
        bounded(&mut violations, &limits, "leave it out");
        violations.collect(repeating::valid(request.idempotency_key.as_deref()));
        let toollist =
            violations.collect(convert::toollist(request.allowed_tools, request.denied_tools, current));
        violations.into_result()?;
        Ok(Self {
            name: name.unwrap_or_default(),
            wanted: Wanted {
                scopes: scopes.flatten(),
                toollist: toollist.unwrap_or_else(|| current.clone()),
                tool_mode: tool_mode.flatten(),
                limits,
                expires_at: expires_at.flatten(),
            },
        })
    }
}

/// Whether limits that a caller gave are within the bounds of their fields; `or` says how to do without one.
pub(super) fn bounded(violations: &mut Violations, limits: &OwnLimits, or: &str) {
    for (field, given, bounds) in [
        ("rate_limit_rpm", limits.rate_limit_rpm, 1..=LIMIT_MAX),
        ("daily_token_budget", limits.daily_token_budget, 0..=LIMIT_MAX),
        ("weekly_token_budget", limits.weekly_token_budget, 0..=LIMIT_MAX),
        ("k_target_override", limits.k_target_override, 1..=TOOLS_MAX),
    ] {
        convert::within(violations, field, given, bounds, or);
    }
}

/// Whether the fields of a request are within their bounds, whoever sends it.
pub(in crate::service) fn check_create(
    request: v1::CreateKeyRequest,
    now: DateTime<Utc>,
) -> Result<(), Violations> {
    Draft::read(request, &Toollist::unbound(), now).map(drop)
}
