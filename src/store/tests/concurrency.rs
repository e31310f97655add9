//! Many callers at once, in four stores at a time: that many processes on one file, or replicas on one server.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    usage::{batch, day, figures},
    *,
};
use crate::{
    domain::{
        audit::Actor,
        key::Key,
        usage::{Batch, DayTotals},
    },
    store::{CreateKeyError, Entity, KeyPage, Of, UpdateKeyError},
};

async fn processes(world: &World) -> Vec<Store> {
    join_all((0..4).map(|_| world.open_again())).await
}

fn raise(key: &mut Key) -> Result<(), ()> {
    key.own_limits.rate_limit_rpm = Some(key.own_limits.rate_limit_rpm.unwrap_or(0) + 1);
    Ok(())
}

/// Raises a key's limit as a patient client does: what was told "unavailable", since a slow disk kept the others
/// too long, comes back. It was rolled back, so nothing is raised twice.
async fn raise_patiently(store: &Store, account: AccountId, key: KeyId) -> Key {
    for _ in 0..60 {
        match store.keys().update(&Actor::cli(), account, key, raise).await {
            Err(UpdateKeyError::Store(StoreError::Unavailable { .. })) => {}
            other => return other.unwrap(),
        }
    }
    panic!("the store was unavailable for minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_concurrent_changes_none_is_lost() {
    on_every_store(async |world| {
        let stores = processes(&world).await;
        let account = world.account("a").await.id;
        let key = world.store.keys().create(new_key(account, "k")).await.unwrap().id;
        join_all((0..32).map(|number| raise_patiently(&stores[number % 4], account, key))).await;
        let found = world.store.keys().find_any(key).await.unwrap().unwrap();
        assert_eq!((found.revision, found.own_limits.rate_limit_rpm), (33, Some(32)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn max_keys_holds_under_32_concurrent_creates() {
    on_every_store(async |world| {
        let stores = processes(&world).await;
        let policy = PolicyValues { max_keys: Some(5), ..PolicyValues::default() };
        let account = world.account_with("a", policy).await.id;
        let revoked = world.store.keys().create(new_key(account, "revoked")).await.unwrap().id;
        world.store.keys().revoke(&Actor::cli(), account, revoked).await.unwrap();
        let creates = (0..32).map(|number| stores[number % 4].keys().create(new_key(account, "k")));
        let results = join_all(creates).await;
        let refused = results
            .iter()
            .filter(|result| matches!(result, Err(CreateKeyError::KeyLimit { max: 5 })))
            .count();
        assert_eq!((results.iter().filter(|result| result.is_ok()).count(), refused), (5, 27));
        let page = KeyPage { size: 100, before: None, include_revoked: false };
        assert_eq!(world.store.keys().list(account, &page).await.unwrap().len(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_every_change_once_and_in_order() {
    on_every_store(async |world| {
        let stores = processes(&world).await;
        let account = world.account("a").await.id;
        let keys: Vec<_> = join_all((0..4).map(|_| world.store.keys().create(new_key(account, "k")))).await;
        let keys: Vec<_> = keys.into_iter().map(|key| key.unwrap().id).collect();
        let start = world.store.changes().latest().await.unwrap();
        let writes = join_all((0..64).map(|number| {
            let (store, key) = (&stores[number % 4], keys[number / 4 % 4]);
            raise_patiently(store, account, key)
        }));
        let reads = async {
            let mut seen = Vec::new();
            while seen.len() < 64 {
                tokio::task::yield_now().await;
                let last = start + i64::try_from(seen.len()).unwrap();
                let found = world.store.changes().since(last, 7).await.unwrap();
                assert!(!found.gap);
                seen.extend(found.changes);
            }
            seen
        };
        let (_, seen) = tokio::join!(writes, reads);
        let numbers: Vec<_> = seen.iter().map(|change| change.seq).collect();
        assert_eq!(numbers, (start + 1..=start + 64).collect::<Vec<_>>());
        for key in keys {
            let of_key = seen.iter().filter(|change| change.entity == Entity::Key(key));
            let revisions: Vec<_> = of_key.map(|change| change.revision).collect();
            assert_eq!(revisions, (2..=17).collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_times_of_use_from_many_processes_add_up() {
    on_every_store(async |world| {
        let stores = processes(&world).await;
        let account = world.account("a").await.id;
        let keys = join_all((0..8).map(|_| world.store.keys().create(new_key(account, "k")))).await;
        let mut keys: Vec<_> = keys.into_iter().map(|key| key.unwrap().id).collect();
        let (from, to) = (day("2026-02-01"), day("2026-02-02"));
        let work = (0..32i64).map(|number| {
            // Each in another order: rows that are locked in the order of the callers would lock in a circle.
            keys.rotate_left(3);
            let rows: Vec<_> = keys
                .iter()
                .map(|&key| DayTotals {
                    account_id: account,
                    key_id: Some(key),
                    day: from,
                    totals: figures(1),
                })
                .collect();
            let at = world.now() + chrono::TimeDelta::seconds(number);
            let used: Vec<_> = keys.iter().map(|&key| (generation(key, 1), at)).collect();
            let store = stores[usize::try_from(number).unwrap() % 4].clone();
            async move {
                store.usage().write(&Batch { used, ..batch(rows, Vec::new()) }).await.unwrap();
            }
        });
        join_all(work).await;
        assert_eq!(
            world.store.usage().totals(account, Of::Account, from, to).await.unwrap(),
            figures(32 * 8)
        );
        let latest = world.now() + chrono::TimeDelta::seconds(31);
        for key in world.store.keys().by_ids(&keys).await.unwrap() {
            assert_eq!(key.last_used_at, Some(latest));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_that_start_together_one_makes_the_first_key() {
    on_every_store(async |world| {
        // Opened anew and together, with the migration still to run.
        let tables = [
            "usage_record",
            "usage_writer",
            "usage_daily",
            "change",
            "change_counter",
            "key_generation",
            "once",
            "\"key\"",
            "policy",
            "audit_event",
            "account",
        ];
        for table in tables.into_iter().chain(["seaql_migrations"]) {
            world.sql(&format!("DROP TABLE {table}")).await;
        }
        world.store.close().await;
        let starts = (0..8).map(|number| {
            let world = &world;
            async move {
                let store = world.open_again().await;
                let account = AccountId(Uuid::now_v7());
                let key = new_key(account, &number.to_string());
                store.bootstrap((account, "default", PolicyValues::default()), key).await.unwrap()
            }
        });
        let made: Vec<_> = join_all(starts).await.into_iter().flatten().collect();
        assert_eq!(made.len(), 1);
        let (account, key) = &made[0];
        let store = world.open_again().await;
        assert_eq!(store.accounts().list(10, None).await.unwrap(), std::slice::from_ref(account));
        let page = KeyPage { size: 10, before: None, include_revoked: true };
        assert_eq!(store.keys().list(account.id, &page).await.unwrap(), std::slice::from_ref(key));
        assert_eq!(key.account_id, account.id);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_cut_off_leave_nothing_half_written_and_nothing_locked() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let key = world.store.keys().create(new_key(account, "k")).await.unwrap().id;
        let start = world.store.changes().latest().await.unwrap();
        for step in 0..60 {
            let cut = Duration::from_micros(step * 100);
            let _ = tokio::time::timeout(cut, world.store.keys().update(&Actor::cli(), account, key, raise))
                .await;
        }
        let last = world.store.keys().update(&Actor::cli(), account, key, raise).await.unwrap();
        let found = world.store.keys().find_any(key).await.unwrap().unwrap();
        assert_eq!(found, last);
        assert_eq!(found.own_limits.rate_limit_rpm, Some(found.revision - 1));
        assert_eq!(world.store.changes().latest().await.unwrap(), start + found.revision - 1);
    })
    .await;
}
