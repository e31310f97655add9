//! Keys by their secret, times of use, and rows that nobody should have written.

use chrono::TimeDelta;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, QueryOrder};

use super::*;
use crate::{
    domain::{
        audit::Actor,
        generation::LivingSecret,
        key::{Key, Scope},
    },
    store::{CreateKeyError, entity::key_generation},
};

#[tokio::test]
async fn a_digest_belongs_to_one_key_and_a_refused_create_leaves_nothing() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        keys.create(NewKey { digest: digest(1), ..new_key(account, "first") }).await.unwrap();
        let second = NewKey { digest: digest(1), ..new_key(account, "second") };
        let id = second.id;
        let refused = keys.create(second).await;
        assert!(matches!(refused, Err(CreateKeyError::Store(StoreError::Other { .. }))), "{refused:?}");
        assert_eq!(keys.find_any(id).await.unwrap(), None);
        assert_eq!(keys.by_digest(&[digest(1)]).await.unwrap().unwrap().key.name, "first");
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_found_until_its_generation_has_run_out() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(NewKey { digest: digest(1), ..new_key(account, "k") }).await.unwrap();
        assert_eq!(keys.by_digest(&[]).await.unwrap(), None);
        assert_eq!(keys.by_digest(&[digest(2)]).await.unwrap(), None);
        keys.revoke(&Actor::cli(), account, key.id).await.unwrap();
        // A revoked one is found, so that its holder can be told.
        assert!(keys.by_digest(&[digest(1)]).await.unwrap().unwrap().key.revoked_at.is_some());
        let end = world.now() + TimeDelta::minutes(5);
        let end = end.to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
        assert_eq!(world.sql(&format!("UPDATE key_generation SET expires_at = '{end}'")).await, 1);
        assert!(keys.by_digest(&[digest(1)]).await.unwrap().is_some());
        world.clock.advance(TimeDelta::minutes(5));
        assert_eq!(keys.by_digest(&[digest(1)]).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn the_time_of_use_never_goes_back_and_is_no_change() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(new_key(account, "k")).await.unwrap();
        let idle = keys.create(new_key(account, "idle")).await.unwrap();
        let seq = world.store.changes().latest().await.unwrap();
        // A whole second, which SQLite's text form writes without a fraction: it must still compare as a time.
        let (early, late) = (time("2026-02-01T00:00:00Z"), time("2026-02-01T00:00:00.000001Z"));
        keys.touch(&[]).await.unwrap();
        let (secret, nobodys) = (generation(key.id, 1), generation(KeyId(Uuid::now_v7()), 1));
        for (used, expected) in [
            (vec![(secret, early)], early),
            (vec![(secret, late), (secret, early), (nobodys, late)], late),
            (vec![(secret, early)], late),
        ] {
            keys.touch(&used).await.unwrap();
            let found = keys.find_any(key.id).await.unwrap().unwrap();
            let secrets = vec![LivingSecret { last_used_at: Some(expected), ..key.secrets[0].clone() }];
            assert_eq!(found, Key { last_used_at: Some(expected), secrets, ..key.clone() });
        }
        assert_eq!(keys.find_any(idle.id).await.unwrap(), Some(idle));
        assert_eq!(world.store.changes().latest().await.unwrap(), seq);
    })
    .await;
}

#[tokio::test]
async fn a_use_is_noted_for_the_secret_that_was_used() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(NewKey { digest: digest(1), ..new_key(account, "k") }).await.unwrap();
        // A second secret, as a rotation leaves it while the first one lives on.
        let newest = key_generation::Model {
            key_id: key.id.0,
            generation: 2,
            digest: digest(2).0.to_vec(),
            pepper_version: 1,
            created_at: world.now(),
            expires_at: None,
            last_used_at: None,
            prefix: None,
        };
        let transaction = world.store.0.database.begin().await.unwrap();
        let insert = key_generation::Entity::insert(newest.into_active_model().reset_all());
        insert.exec_without_returning(&transaction).await.unwrap();
        transaction.commit().await.unwrap();

        let by = async |number| keys.by_digest(&[digest(number)]).await.unwrap().unwrap();
        assert_eq!(by(1).await.generation, generation(key.id, 1));
        assert_eq!(by(2).await.generation, generation(key.id, 2));

        let used_at = async || {
            let rows = key_generation::Entity::find().order_by_asc(key_generation::Column::Generation);
            let rows = rows.all(world.store.0.database.reads()).await.unwrap();
            rows.into_iter().map(|row| row.last_used_at).collect::<Vec<_>>()
        };
        let (early, late) = (world.now(), world.now() + TimeDelta::seconds(1));
        keys.touch(&[(generation(key.id, 1), late)]).await.unwrap();
        assert_eq!(used_at().await, [Some(late), None]);
        keys.touch(&[(generation(key.id, 2), early), (generation(key.id, 3), late)]).await.unwrap();
        assert_eq!(used_at().await, [Some(late), Some(early)]);
        let found = by(2).await.key;
        assert_eq!(found.last_used_at, Some(late), "the key's is the latest of all");
    })
    .await;
}

#[tokio::test]
async fn more_keys_than_fit_a_statement_are_touched() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(new_key(account, "k")).await.unwrap();
        let at = world.now();
        let mut used: Vec<_> = (0..1_200).map(|_| (generation(KeyId(Uuid::now_v7()), 1), at)).collect();
        used.insert(600, (generation(key.id, 1), at));
        keys.touch(&used).await.unwrap();
        assert_eq!(keys.find_any(key.id).await.unwrap().unwrap().last_used_at, Some(at));
    })
    .await;
}

#[tokio::test]
async fn words_of_a_newer_version_never_open_anything() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(new_key(account, "k")).await.unwrap();
        world.sql(r#"UPDATE "key" SET tool_mode = 'watch', scopes = '["chat","everything"]'"#).await;
        let found = keys.find_any(key.id).await.unwrap().unwrap();
        assert_eq!(found.tool_mode, ToolMode::Block);
        assert_eq!(found.scopes, [Scope::Chat].into_iter().collect());
    })
    .await;
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_named_and_can_be_revoked() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let broken = keys.create(NewKey { digest: digest(1), ..new_key(account, "broken") }).await.unwrap();
        let sound = keys.create(new_key(account, "sound")).await.unwrap();
        for text in ["null", "{}", "[1]", "[", ""] {
            let set = format!(r#"UPDATE "key" SET allowed_tools = '{text}' WHERE name = 'broken'"#);
            assert_eq!(world.sql(&set).await, 1);
            let error = keys.find_any(broken.id).await.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
            assert!(error.to_string().contains(&broken.id.to_string()), "{error}");
            assert!(keys.by_digest(&[digest(1)]).await.is_err());
        }
        // Caches go on without it.
        assert_eq!(keys.by_ids(&[broken.id, sound.id]).await.unwrap(), [sound]);
        for earlier in [false, true] {
            let revoked = keys.revoke(&Actor::cli(), account, broken.id).await.unwrap().unwrap();
            assert_eq!((revoked.key.revoked_at, revoked.earlier), (Some(world.now()), earlier));
            // What it may no longer matters, and its holder learns that it is revoked.
            assert_eq!((revoked.key.scopes.is_empty(), revoked.key.toollist.permits("x")), (true, false));
            assert!(keys.by_digest(&[digest(1)]).await.unwrap().unwrap().key.revoked_at.is_some());
        }
        assert_eq!(
            keys.revoke(&Actor::cli(), world.account("other").await.id, broken.id).await.unwrap(),
            None
        );
        assert_eq!(world.sql(r#"UPDATE "key" SET allowed_tools = NULL"#).await, 2);
        assert_eq!(keys.find_any(broken.id).await.unwrap().unwrap().revoked_at, Some(world.now()));
    })
    .await;
}
