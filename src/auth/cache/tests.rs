//! The races that the cache must win, each played step by step.

use uuid::Uuid;

use super::*;
use crate::domain::{
    key::{Scopes, ToolMode},
    limits::OwnLimits,
    policy::{Policy, PolicyValues},
    toollist::Toollist,
};

const DIGEST: SecretDigest = SecretDigest([7; 32]);

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn account(revision: i64) -> Account {
    let policy = Policy { values: PolicyValues::default(), revision, updated_at: now() };
    Account { id: AccountId(Uuid::from_u128(1)), name: "a".into(), created_at: now(), policy }
}

fn key(revision: i64) -> Key {
    Key {
        id: KeyId(Uuid::from_u128(2)),
        account_id: account(1).id,
        name: format!("revision {revision}"),
        prefix: "sk-orq-00000000".into(),
        disabled: false,
        scopes: Scopes::all(),
        toollist: Toollist::unbound(),
        tool_mode: ToolMode::Filter,
        own_limits: OwnLimits::default(),
        created_at: now(),
        created_by: "test".into(),
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
        rotated_at: None,
        secrets: Vec::new(),
        revision,
    }
}

fn generation(number: i32) -> Generation {
    Generation { key_id: key(1).id, number }
}

/// What the store says of `DIGEST`, which is the key's first secret.
fn found(revision: i64) -> KeyBySecret {
    KeyBySecret { key: key(revision), account: account(1), digest: DIGEST, generation: generation(1) }
}

#[test]
fn a_look_up_that_began_before_a_change_cannot_put_the_old_key_back() {
    let cache = KeyCache::new(10, now());
    let before = cache.epochs();
    // The store was read here; then the key was revoked.
    cache.apply_key(key(2));
    assert!(cache.insert(&before, found(1)).is_none());
    assert!(cache.find(&DIGEST).is_none());
}

#[test]
fn a_key_that_is_made_holds_up_no_other_look_up() {
    let cache = KeyCache::new(10, now());
    let before = cache.epochs();
    cache.key_made();
    assert!(cache.insert(&before, found(1)).is_some());
}

#[test]
fn a_change_reaches_the_cached_key_and_an_older_one_never_replaces_it() {
    let cache = KeyCache::new(10, now());
    let cell = cache.insert(&cache.epochs(), found(1)).unwrap();
    cache.apply_key(key(3));
    cache.apply_key(key(2));
    assert_eq!(cell.key.load().revision, 3);
    assert_eq!(cache.find(&DIGEST).unwrap().key.load().revision, 3);
}

#[test]
fn an_unknown_key_is_asked_for_again_once_any_key_was_made() {
    let cache = KeyCache::new(10, now());
    cache.remember_unknown(DIGEST, &cache.epochs());
    assert!(cache.is_unknown(&DIGEST));
    cache.key_made();
    assert!(!cache.is_unknown(&DIGEST));
}

#[test]
fn an_unknown_noted_late_does_not_shadow_a_key_made_meanwhile() {
    let cache = KeyCache::new(10, now());
    let before = cache.epochs();
    cache.key_made();
    cache.remember_unknown(DIGEST, &before);
    assert!(!cache.is_unknown(&DIGEST));
}

#[test]
fn a_change_of_policy_reaches_every_key_of_the_account() {
    let cache = KeyCache::new(10, now());
    let cell = cache.insert(&cache.epochs(), found(1)).unwrap();
    cache.apply_account(account(2));
    assert_eq!(cell.key.account.load().policy.revision, 2);
    cache.apply_account(account(1));
    assert_eq!(cell.key.account.load().policy.revision, 2, "an older policy does not come back");
}

#[test]
fn two_secrets_of_one_key_share_its_state_and_are_told_apart() {
    let cache = KeyCache::new(10, now());
    let old = cache.insert(&cache.epochs(), found(1)).unwrap();
    let new = cache
        .insert(
            &cache.epochs(),
            KeyBySecret { digest: SecretDigest([8; 32]), generation: generation(2), ..found(2) },
        )
        .unwrap();
    assert!(Arc::ptr_eq(&old.key, &new.key));
    assert_eq!(old.key.load().revision, 2);
    assert_eq!((old.generation, new.generation), (generation(1), generation(2)));
    assert!(old.mark_used(now()) && new.mark_used(now()), "each is in use by itself");
}

#[test]
fn a_change_reaches_a_request_under_way_whose_key_was_evicted() {
    let cache = KeyCache::new(10, now());
    let held = Arc::clone(&cache.insert(&cache.epochs(), found(1)).unwrap().key);
    cache.by_digest.invalidate(&DIGEST);
    cache.by_digest.run_pending_tasks();
    assert!(cache.find(&DIGEST).is_none() && cache.holds_key(held.load().id, 2));
    cache.apply_key(key(2));
    assert_eq!(held.load().revision, 2);
    // Loaded again, it is the same cell.
    let again = cache.insert(&cache.epochs(), found(2)).unwrap();
    assert!(Arc::ptr_eq(&again.key, &held));
}

#[test]
fn a_cleared_cache_finds_nothing_and_requests_under_way_go_on_learning_of_changes() {
    let cache = KeyCache::new(10, now());
    let before = cache.epochs();
    let held = Arc::clone(&cache.insert(&before, found(1)).unwrap().key);
    cache.clear();
    assert!(cache.find(&DIGEST).is_none());
    assert!(cache.insert(&before, found(1)).is_none(), "what was read before is not believed");
    cache.apply_key(key(2));
    assert_eq!(held.load().revision, 2);
    cache.apply_account(account(2));
    assert_eq!(held.account.load().policy.revision, 2);
}

#[test]
fn use_is_passed_on_at_most_once_a_second() {
    let cache = KeyCache::new(10, now());
    let cell = cache.insert(&cache.epochs(), found(1)).unwrap();
    assert!(cell.mark_used(now()));
    assert!(!cell.mark_used(now() + TimeDelta::milliseconds(999)));
    assert!(cell.mark_used(now() + TimeDelta::seconds(1)));
}

#[test]
fn the_cache_is_trusted_for_as_long_as_configured() {
    let cache = KeyCache::new(10, now());
    let minute = TimeDelta::seconds(60);
    assert!(cache.trusted(now() + minute, minute));
    assert!(!cache.trusted(now() + minute + TimeDelta::milliseconds(1), minute));
    cache.confirm(now() + minute);
    assert!(cache.trusted(now() + minute + minute, minute));
}
