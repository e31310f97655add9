//! The change log, one writer at a time.

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::{audit::Actor, key::Key},
    store::{Change, Changes, Entity},
};

#[tokio::test]
async fn every_write_to_a_key_or_a_policy_is_one_change() {
    on_every_store(async |world| {
        let log = world.store.changes();
        assert_eq!(log.latest().await.unwrap(), 0);
        assert_eq!(log.since(0, 10).await.unwrap(), Changes { changes: vec![], gap: false, latest: 0 });
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(new_key(account, "k")).await.unwrap().id;
        let disable = |key: &mut Key| {
            key.disabled = true;
            Ok::<_, ()>(())
        };
        keys.update(&Actor::cli(), account, key, disable).await.unwrap();
        keys.revoke(&Actor::cli(), account, key).await.unwrap();
        let raise = |values: &mut PolicyValues| {
            values.max_keys = Some(5);
            Ok::<_, ()>(())
        };
        world.store.accounts().update_policy(&Actor::cli(), account, raise).await.unwrap();
        let all = [
            Change { seq: 1, entity: Entity::Account(account), revision: 1 },
            Change { seq: 2, entity: Entity::Key(key), revision: 1 },
            Change { seq: 3, entity: Entity::Key(key), revision: 2 },
            Change { seq: 4, entity: Entity::Key(key), revision: 3 },
            Change { seq: 5, entity: Entity::Account(account), revision: 2 },
        ];
        let changes = |part: &[Change]| Changes { changes: part.to_vec(), gap: false, latest: 5 };
        assert_eq!(log.since(0, 10).await.unwrap(), changes(&all));
        assert_eq!(log.since(0, 2).await.unwrap(), changes(&all[..2]));
        assert_eq!(log.since(2, 2).await.unwrap(), changes(&all[2..4]));
        assert_eq!(log.since(5, 2).await.unwrap(), changes(&[]));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_missed_something_is_told() {
    on_every_store(async |world| {
        let log = world.store.changes();
        let account = world.account("a").await.id;
        let flip = |values: &mut PolicyValues| {
            values.max_keys = Some(values.max_keys.unwrap_or(0) + 1);
            Ok::<_, ()>(())
        };
        for _ in 1..40 {
            world.store.accounts().update_policy(&Actor::cli(), account, flip).await.unwrap();
        }
        world.clock.advance(TimeDelta::days(2));
        for _ in 40..70 {
            world.store.accounts().update_policy(&Actor::cli(), account, flip).await.unwrap();
        }
        let gap = Changes { changes: vec![], gap: true, latest: 70 };
        assert_eq!(log.since(0, 100).await.unwrap(), gap);
        assert_eq!(log.since(39, 100).await.unwrap(), gap);
        let kept = log.since(40, 100).await.unwrap();
        assert_eq!((kept.changes.len(), kept.gap), (30, false));
        // The store was put back to an earlier state.
        assert_eq!(log.since(71, 100).await.unwrap(), gap);
        // A kind of change that only a newer version knows.
        world.sql("UPDATE change SET entity = 'tenant' WHERE seq = 70").await;
        assert_eq!(log.since(69, 100).await.unwrap(), gap);
        // Everything was pruned.
        world.sql("DELETE FROM change").await;
        assert_eq!(log.since(69, 100).await.unwrap(), gap);
        assert!(!log.since(70, 100).await.unwrap().gap);
    })
    .await;
}
