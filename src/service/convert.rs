//! Between the core's types and the messages of the protos.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use prost::Message;
use prost_types::{FieldMask, Timestamp};
use uuid::Uuid;

use crate::{
    domain::{
        generation::LivingSecret,
        key::{Key, KeyId, KeyStatus, Scope, Scopes, ToolMode},
        limits::{Limit, Limits},
        policy::{Account, Policy, PruneMode},
        secret::PlainSecret,
        toollist::Toollist,
        usage::Routing,
        violation::{Violations, shown},
    },
    proto::v1,
};

pub(super) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos().cast_signed() }
}

/// The time that a caller gave, at the precision of the store.
pub(super) fn time(field: &str, given: &Timestamp) -> Result<DateTime<Utc>, Violations> {
    u32::try_from(given.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)
        .and_then(|nanos| DateTime::from_timestamp(given.seconds, nanos))
        .filter(|time| is_expressible(*time))
        .and_then(|time| DateTime::from_timestamp_micros(time.timestamp_micros()))
        .ok_or_else(|| {
            Violations::one(
                field,
                format!("{}s {}ns is no time between the years 1 and 9999", given.seconds, given.nanos),
            )
        })
}

/// The time that a caller gave to narrow a list, if he gave one.
pub(super) fn filter_time(
    violations: &mut Violations,
    field: &str,
    given: Option<&Timestamp>,
) -> Option<DateTime<Utc>> {
    given.and_then(|given| violations.collect(time(field, given)))
}

/// The key that a caller gave to narrow a list, if he gave one.
pub(super) fn filter_key(violations: &mut Violations, given: Option<&str>) -> Option<KeyId> {
    let none = |id| Violations::one("key_id", format!("{} is no id of a key", shown(id)));
    given.and_then(|id| violations.collect(Uuid::parse_str(id).map(KeyId).map_err(|_| none(id))))
}

/// Whether a time is within the range of google.protobuf.Timestamp, which is that of RFC 3339.
pub(super) fn is_expressible(time: DateTime<Utc>) -> bool {
    (-62_135_596_800..253_402_300_800).contains(&time.timestamp())
}

/// An expiry that a caller gave: a time to come.
pub(super) fn expiry(
    field: &str,
    given: Option<&Timestamp>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Violations> {
    let Some(given) = given else { return Ok(None) };
    let at = time(field, given)?;
    if at <= now {
        return Err(Violations::one(
            field,
            format!(
                "{} is not in the future (it is {} now): give a later time",
                at.to_rfc3339(),
                now.to_rfc3339()
            ),
        ));
    }
    Ok(Some(at))
}

pub(super) fn scope(scope: Scope) -> v1::Scope {
    match scope {
        Scope::Chat => v1::Scope::Chat,
        Scope::Keys => v1::Scope::Keys,
        Scope::Usage => v1::Scope::Usage,
    }
}

/// The scopes that a caller gave; there must be one.
pub(super) fn scopes(given: &v1::ScopeList) -> Result<Scopes, Violations> {
    let mut violations = Violations::new();
    let mut scopes = Vec::new();
    for (at, number) in given.values.iter().enumerate() {
        match v1::Scope::try_from(*number) {
            Ok(v1::Scope::Chat) => scopes.push(Scope::Chat),
            Ok(v1::Scope::Keys) => scopes.push(Scope::Keys),
            Ok(v1::Scope::Usage) => scopes.push(Scope::Usage),
            _ => violations
                .add(format!("scopes[{at}]"), format!("{number} is no scope: use chat, keys or usage")),
        }
        if violations.as_slice().len() > 20 {
            break;
        }
    }
    if given.values.is_empty() {
        violations.add("scopes", "must not be empty: name one of chat, keys and usage, or leave it out");
    }
    violations.into_result()?;
    Ok(scopes.into_iter().collect())
}

/// The mode that a caller gave; `None` when he gave none.
pub(super) fn tool_mode(number: i32) -> Result<Option<ToolMode>, Violations> {
    match v1::ToolMode::try_from(number) {
        Ok(v1::ToolMode::Unspecified) => Ok(None),
        Ok(v1::ToolMode::Observe) => Ok(Some(ToolMode::Observe)),
        Ok(v1::ToolMode::Filter) => Ok(Some(ToolMode::Filter)),
        Ok(v1::ToolMode::Block) => Ok(Some(ToolMode::Block)),
        Err(_) => Err(Violations::one(
            "tool_mode",
            format!("{number} is no mode: use filter or block (operators: observe)"),
        )),
    }
}

pub(super) fn v1_tool_mode(mode: ToolMode) -> v1::ToolMode {
    match mode {
        ToolMode::Observe => v1::ToolMode::Observe,
        ToolMode::Filter => v1::ToolMode::Filter,
        ToolMode::Block => v1::ToolMode::Block,
    }
}

pub(super) fn v1_routing(routing: Routing) -> v1::Routing {
    match routing {
        Routing::Keyword => v1::Routing::Keyword,
        Routing::Semantic => v1::Routing::Semantic,
        Routing::Limit => v1::Routing::Limit,
    }
}

pub(super) fn v1_prune_mode(mode: PruneMode) -> v1::PruneMode {
    match mode {
        PruneMode::Off => v1::PruneMode::Off,
        PruneMode::Safe => v1::PruneMode::Safe,
        PruneMode::Balanced => v1::PruneMode::Balanced,
        PruneMode::Aggressive => v1::PruneMode::Aggressive,
    }
}

/// How much may be pruned, where a caller gave it.
pub(super) fn prune_mode(number: Option<i32>) -> Result<Option<PruneMode>, Violations> {
    let Some(number) = number else { return Ok(None) };
    let mode = PruneMode::ALL.into_iter().find(|mode| i32::from(v1_prune_mode(*mode)) == number);
    mode.map(Some).ok_or_else(|| {
        Violations::one(
            "prune_mode",
            format!(
                "{number} is no mode: use off, safe, balanced or aggressive, or null for the configured one"
            ),
        )
    })
}

/// A limit that a caller gave, which must lie within `bounds`; `or` says how to do without it.
pub(super) fn within(
    violations: &mut Violations,
    field: &str,
    given: Option<i64>,
    bounds: RangeInclusive<i64>,
    or: &str,
) -> Option<i64> {
    if let Some(value) = given.filter(|value| !bounds.contains(value)) {
        let (least, most) = (bounds.start(), bounds.end());
        violations.add(field, format!("is {value}: give {least} to {most}, or {or}"));
    }
    given
}

pub(super) fn list(entries: Option<&[String]>) -> Option<v1::StringList> {
    entries.map(|entries| v1::StringList { values: entries.to_vec() })
}

/// A tool list from what a caller gave, falling back on what is there already.
pub(super) fn toollist(
    allowed: Option<v1::StringList>,
    denied: Option<v1::StringList>,
    current: &Toollist,
) -> Result<Toollist, Violations> {
    let entries = |given: Option<v1::StringList>| given.map(|list| Some(list.values));
    current.replaced(entries(allowed), entries(denied))
}

pub(super) fn key(key: &Key, policy: &Policy, now: DateTime<Utc>) -> v1::Key {
    let status = match key.status(now) {
        KeyStatus::Active => v1::KeyStatus::Active,
        KeyStatus::Disabled => v1::KeyStatus::Disabled,
        KeyStatus::Expired => v1::KeyStatus::Expired,
        KeyStatus::Revoked => v1::KeyStatus::Revoked,
    };
    v1::Key {
        id: key.id.to_string(),
        name: key.name.clone(),
        key_prefix: key.prefix.clone(),
        status: status.into(),
        scopes: key.scopes.iter().map(|one| scope(one).into()).collect(),
        allowed_tools: list(key.toollist.allowed()),
        denied_tools: list(key.toollist.denied()),
        tool_mode: v1_tool_mode(key.tool_mode).into(),
        limits: Some(limits(&key.limits(policy))),
        created_at: Some(timestamp(key.created_at)),
        created_by: key.created_by.clone(),
        last_used_at: key.last_used_at.map(timestamp),
        expires_at: key.expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
        rotated_at: key.rotated_at.map(timestamp),
        revision: key.revision,
        generations: key.secrets.iter().filter(|secret| secret.lives(now)).map(generation).collect(),
    }
}

fn generation(secret: &LivingSecret) -> v1::KeyGeneration {
    v1::KeyGeneration {
        number: secret.number,
        key_prefix: secret.prefix.clone(),
        created_at: Some(timestamp(secret.created_at)),
        expires_at: secret.expires_at.map(timestamp),
        last_used_at: secret.last_used_at.map(timestamp),
    }
}

fn limits(limits: &Limits) -> v1::KeyLimits {
    let one = |limit: Limit| {
        let source = if limit.from_key { v1::LimitSource::Key } else { v1::LimitSource::Policy };
        Some(v1::Limit { value: limit.value, source: source.into() })
    };
    v1::KeyLimits {
        rate_limit_rpm: one(limits.rate_limit_rpm),
        concurrent_requests: one(limits.concurrent_requests),
        daily_token_budget: one(limits.daily_token_budget),
        weekly_token_budget: one(limits.weekly_token_budget),
        k_target: one(limits.k_target),
    }
}

/// A key with its secret, which only the call that made it has. The two messages have the same fields under the same numbers (a test says so), hence
/// the way over the wire form instead of a second list of sixteen fields.
pub(super) fn issued(key: &v1::Key, secret: Option<&PlainSecret>) -> v1::IssuedKey {
    let mut issued = v1::IssuedKey::decode(key.encode_to_vec().as_slice())
        .expect("every field of Key is a field of IssuedKey, under the same number and with the same type");
    issued.key = secret.map(|secret| secret.expose().to_owned());
    issued
}

pub(super) fn account(account: &Account) -> v1::Account {
    let policy = &account.policy;
    v1::Account {
        id: account.id.to_string(),
        name: account.name.clone(),
        created_at: Some(timestamp(account.created_at)),
        policy: Some(v1::Policy {
            requests_per_minute: policy.requests_per_minute,
            concurrent_requests: policy.concurrent_requests,
            daily_token_budget: policy.daily_token_budget,
            weekly_token_budget: policy.weekly_token_budget,
            tool_window: policy.tool_window,
            max_keys: policy.max_keys,
            prune_mode: policy.prune_mode.map(|mode| v1_prune_mode(mode).into()),
            revision: policy.revision,
            updated_at: Some(timestamp(policy.updated_at)),
            account_requests_per_minute: policy.account_requests_per_minute,
            account_concurrent_requests: policy.account_concurrent_requests,
            account_daily_token_budget: policy.account_daily_token_budget,
            account_weekly_token_budget: policy.account_weekly_token_budget,
        }),
    }
}

/// The fields that an update is to change: those of the mask, or, when it is empty, those that are set (AIP-134).
/// A field that is set but not named by a mask that is given is refused, or its sender would believe it done.
pub(super) fn masked<'a>(
    violations: &mut Violations,
    mask: Option<&FieldMask>,
    fields: &[(&'a str, bool)],
) -> Vec<&'a str> {
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    if paths.is_empty() {
        return fields.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    }
    let known = || fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    for path in paths.iter().take(64) {
        if !fields.iter().any(|(name, _)| name == path) {
            violations.add(
                "update_mask",
                format!("{} is no field that can be changed: use {}", shown(path), known()),
            );
        }
    }
    if paths.len() > 64 {
        violations.add("update_mask", format!("has {} paths: the fields are {}", paths.len(), known()));
    }
    let named = |name: &str| paths.iter().any(|path| path == name);
    for (name, _) in fields.iter().filter(|(name, set)| *set && !named(name)) {
        violations.add(
            *name,
            "is set but not in update_mask, and would not be changed: add it to the mask, or leave it out",
        );
    }
    fields.iter().map(|(name, _)| *name).filter(|name| named(name)).collect()
}

#[cfg(test)]
mod tests {
    use crate::proto::POOL;

    #[test]
    fn an_issued_key_has_every_field_of_a_key_under_the_same_number() {
        let message = |name| POOL.get_message_by_name(name).unwrap();
        let issued = message("orqen.v1.IssuedKey");
        let key = message("orqen.v1.Key");
        for field in key.fields() {
            let twin = issued.get_field(field.number()).unwrap();
            assert_eq!(
                (twin.name(), twin.kind(), twin.cardinality()),
                (field.name(), field.kind(), field.cardinality())
            );
        }
        assert_eq!(issued.fields().len(), key.fields().len() + 1);
    }
}
