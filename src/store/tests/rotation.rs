//! New secrets for keys, and calls that are to be made once.

use chrono::TimeDelta;
use futures_util::future::join_all;

use super::*;
use crate::{
    domain::{audit::Actor, key::Key},
    store::{Change, CreateKeyError, Entity, Issued, NewSecret, Once, REMEMBERED, RotateKeyError, Rotation},
};

fn rotation(key: &Key, number: u8, overlap: i64) -> Rotation {
    Rotation {
        account_id: key.account_id,
        id: key.id,
        by: Actor::cli(),
        secret: NewSecret {
            prefix: format!("sk-orq-{number:08}"),
            digest: digest(number),
            pepper_version: 1,
        },
        overlap: TimeDelta::seconds(overlap),
        once: None,
    }
}

fn once(key: &str, request: u8) -> Once {
    Once { method: "CreateKey", idempotency_key: key.to_owned(), digest: [request; 32] }
}

async fn rotate(world: &World, rotation: Rotation) -> Key {
    world.store.keys().rotate(rotation, |_, _| Ok::<_, ()>(())).await.unwrap().key
}

/// The numbers and ends of the secrets that work.
fn secrets(key: &Key) -> Vec<(i32, Option<DateTime<Utc>>)> {
    key.secrets.iter().map(|secret| (secret.number, secret.expires_at)).collect()
}

#[tokio::test]
async fn a_rotated_key_is_the_same_but_for_its_secrets() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let before = keys.create(NewKey { digest: digest(1), ..new_key(account, "k") }).await.unwrap();
        keys.touch(&[(generation(before.id, 1), world.now())]).await.unwrap();
        let seq = world.store.changes().latest().await.unwrap();
        world.clock.advance(TimeDelta::minutes(1));
        let after = rotate(&world, rotation(&before, 2, 60)).await;
        let end = world.now() + TimeDelta::seconds(60);
        assert_eq!(secrets(&after), [(2, None), (1, Some(end))]);
        assert_eq!(after.secrets[1].prefix, before.prefix);
        let expected = Key {
            prefix: "sk-orq-00000002".to_owned(),
            rotated_at: Some(world.now()),
            last_used_at: after.last_used_at,
            secrets: after.secrets.clone(),
            revision: 2,
            ..before.clone()
        };
        assert_eq!(after, expected);
        for found in [
            keys.find_any(after.id).await.unwrap().unwrap(),
            keys.by_ids(&[after.id]).await.unwrap().remove(0),
            keys.by_digest(&[digest(1)]).await.unwrap().unwrap().key,
            keys.by_digest(&[digest(2)]).await.unwrap().unwrap().key,
        ] {
            assert_eq!(found, after);
        }
        let changes = world.store.changes().since(seq, 10).await.unwrap().changes;
        assert_eq!(changes, [Change { seq: seq + 1, entity: Entity::Key(after.id), revision: 2 }]);
        // A change of the key leaves its secrets alone, and sees them as they are.
        world.clock.advance(TimeDelta::seconds(60));
        let rename = |key: &mut Key| {
            key.name = "renamed".to_owned();
            Ok::<_, ()>(())
        };
        let renamed = keys.update(&Actor::cli(), account, after.id, rename).await.unwrap();
        assert_eq!(secrets(&renamed), [(2, None)]);
        assert_eq!(keys.by_digest(&[digest(1)]).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_ends_at_once_has_ended_for_a_replica_whose_clock_is_behind_too() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(NewKey { digest: digest(1), ..new_key(account, "k") }).await.unwrap();
        rotate(&world, rotation(&key, 2, 0)).await;
        let behind = Arc::new(ManualClock::at(world.now() - TimeDelta::hours(1)));
        let replica = Store::connect(&configuration(&world.url), behind).await.unwrap();
        assert_eq!(replica.keys().by_digest(&[digest(1)]).await.unwrap(), None);
        assert_eq!(secrets(&replica.keys().find_any(key.id).await.unwrap().unwrap()), [(2, None)]);
        replica.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_at_the_same_time_queue_and_two_secrets_are_left() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let key = world.store.keys().create(new_key(account, "k")).await.unwrap();
        let stores = join_all((0..4).map(|_| world.open_again())).await;
        let rotations = (0..12_u8).map(|number| {
            let (keys, rotation) = (stores[usize::from(number) % 4].keys(), rotation(&key, 100 + number, 60));
            async move { keys.rotate(rotation, |_, _| Ok::<_, ()>(())).await.unwrap() }
        });
        join_all(rotations).await;
        let found = world.store.keys().find_any(key.id).await.unwrap().unwrap();
        assert_eq!(found.revision, 13);
        let numbers: Vec<i32> = found.secrets.iter().map(|secret| secret.number).collect();
        assert_eq!(numbers, [13, 12], "nobody used any of them");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_and_times_of_use_do_not_wait_for_each_other_in_a_circle() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let key = world.store.keys().create(new_key(account, "k")).await.unwrap();
        let stores = join_all((0..4).map(|_| world.open_again())).await;
        let rotations = async {
            for number in 0..20 {
                let rotation = rotation(&key, 100 + number, 60);
                stores[0].keys().rotate(rotation, |_, _| Ok::<_, ()>(())).await.unwrap();
            }
        };
        let touches = stores[1..].iter().map(async |store| {
            for number in 1..20 {
                let mut used = [number, number + 1].map(|number| (generation(key.id, number), world.now()));
                for _ in 0..2 {
                    store.keys().touch(&used).await.unwrap();
                    used.reverse();
                }
            }
        });
        tokio::join!(rotations, join_all(touches));
        assert_eq!(world.store.keys().find_any(key.id).await.unwrap().unwrap().secrets[0].number, 21);
    })
    .await;
}

#[tokio::test]
async fn a_rotation_that_is_refused_leaves_nothing_and_is_not_remembered() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(NewKey { digest: digest(1), ..new_key(account, "k") }).await.unwrap();
        let asked = || Rotation { once: Some(once("x", 1)), ..rotation(&key, 2, 0) };
        let refused = keys.rotate(asked(), |_, _| Err("no")).await;
        assert!(matches!(refused, Err(RotateKeyError::Refused("no"))), "{refused:?}");
        assert_eq!(keys.by_digest(&[digest(1)]).await.unwrap().unwrap().key, key);
        let nobodys = Rotation { id: KeyId(Uuid::now_v7()), ..asked() };
        let missing = keys.rotate(nobodys, |_, _| Ok::<_, ()>(())).await;
        assert!(matches!(missing, Err(RotateKeyError::NotFound)), "{missing:?}");
        let other = world.account("other").await.id;
        let foreign = Rotation { account_id: other, ..asked() };
        let missing = keys.rotate(foreign, |_, _| Ok::<_, ()>(())).await;
        assert!(matches!(missing, Err(RotateKeyError::NotFound)), "{missing:?}");
        let issued = keys.rotate(asked(), |_, _| Ok::<_, ()>(())).await.unwrap();
        assert!(!issued.earlier && issued.key.revision == 2);
    })
    .await;
}

#[tokio::test]
async fn a_call_is_remembered_for_a_day_for_its_account_and_its_method() {
    on_every_store(async |world| {
        let (account, other) = (world.account("a").await.id, world.account("b").await.id);
        let keys = world.store.keys();
        let create = async |account, once: &Once| keys.create_once(new_key(account, "k"), Some(once)).await;
        let first = create(account, &once("x", 1)).await.unwrap();
        assert!(!first.earlier);
        let again = create(account, &once("x", 1)).await.unwrap();
        assert_eq!(again, Issued { earlier: true, ..first.clone() });
        let reused = create(account, &once("x", 2)).await;
        assert!(matches!(reused, Err(CreateKeyError::Reused)), "{reused:?}");
        for (account, once) in [
            (other, once("x", 1)),
            (account, once("X", 1)),
            (account, Once { method: "RotateKey", ..once("x", 1) }),
        ] {
            assert!(!create(account, &once).await.unwrap().earlier);
        }
        world.clock.advance(REMEMBERED - TimeDelta::microseconds(1));
        assert!(create(account, &once("x", 1)).await.unwrap().earlier);
        world.clock.advance(TimeDelta::microseconds(1));
        let late = create(account, &once("x", 2)).await.unwrap();
        assert!(!late.earlier && late.key.id != first.key.id);
        assert!(create(account, &once("x", 2)).await.unwrap().earlier);
    })
    .await;
}

#[tokio::test]
async fn old_calls_are_forgotten_in_steps() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        for number in 0..5_u8 {
            let call = once(&number.to_string(), number);
            keys.create_once(new_key(account, "k"), Some(&call)).await.unwrap();
            world.clock.advance(TimeDelta::seconds(1));
        }
        let before = world.now() - TimeDelta::seconds(2);
        let forget = async || keys.forget_calls(before, 3).await.unwrap();
        assert_eq!((forget().await, forget().await, forget().await), (3, 1, 0));
        assert!(keys.create_once(new_key(account, "k"), Some(&once("4", 4))).await.unwrap().earlier);
        assert!(!keys.create_once(new_key(account, "k"), Some(&once("3", 3))).await.unwrap().earlier);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_same_call_at_the_same_time_exactly_one_is_made() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let stores = join_all((0..4).map(|_| world.open_again())).await;
        let call = once("x", 1);
        let calls = (0..12_usize).map(|number| {
            let (keys, call) = (stores[number % 4].keys(), &call);
            async move { keys.create_once(new_key(account, "k"), Some(call)).await.unwrap() }
        });
        let issued = join_all(calls).await;
        assert_eq!(issued.iter().filter(|issued| !issued.earlier).count(), 1);
        assert!(issued.iter().all(|other| other.key == issued[0].key));

        // Of different keys, whose locks do not make them queue.
        let others = [world.store.keys().create(new_key(account, "l")).await.unwrap(), issued[0].key.clone()];
        let rotations = (0..8_u8).map(|number| {
            let key = &others[usize::from(number) % 2];
            let call = Once { method: "RotateKey", ..once("x", number % 2) };
            let rotation = Rotation { once: Some(call), ..rotation(key, 100 + number, 0) };
            let keys = stores[usize::from(number) % 4].keys();
            async move { keys.rotate(rotation, |_, _| Ok::<_, ()>(())).await }
        });
        let rotated = join_all(rotations).await;
        let made = rotated.iter().filter(|one| matches!(one, Ok(Issued { earlier: false, .. }))).count();
        let repeated = rotated.iter().filter(|one| matches!(one, Ok(Issued { earlier: true, .. }))).count();
        let reused = rotated.iter().filter(|one| matches!(one, Err(RotateKeyError::Reused))).count();
        assert_eq!((made, repeated, reused), (1, 3, 4), "{rotated:?}");
    })
    .await;
}
