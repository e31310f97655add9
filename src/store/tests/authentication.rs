//! Keys by their secret, times of use, and rows that nobody should have written.

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::key::{Key, Scope},
    store::CreateKeyError,
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
        assert_eq!(keys.by_digest(&[digest(1)]).await.unwrap().unwrap().0.name, "first");
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
        keys.revoke(account, key.id).await.unwrap();
        // A revoked one is found, so that its holder can be told.
        assert!(keys.by_digest(&[digest(1)]).await.unwrap().unwrap().0.revoked_at.is_some());
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
        for (used, expected) in [
            (vec![(key.id, early)], early),
            (vec![(key.id, late), (key.id, early), (KeyId(Uuid::now_v7()), late)], late),
            (vec![(key.id, early)], late),
        ] {
            keys.touch(&used).await.unwrap();
            let found = keys.find_any(key.id).await.unwrap().unwrap();
            assert_eq!(found, Key { last_used_at: Some(expected), ..key.clone() });
        }
        assert_eq!(keys.find_any(idle.id).await.unwrap(), Some(idle));
        assert_eq!(world.store.changes().latest().await.unwrap(), seq);
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
        let mut used: Vec<_> = (0..1_200).map(|_| (KeyId(Uuid::now_v7()), at)).collect();
        used.insert(600, (key.id, at));
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
            let revoked = keys.revoke(account, broken.id).await.unwrap().unwrap();
            assert_eq!((revoked.key, revoked.earlier), (None, earlier));
        }
        assert_eq!(keys.revoke(world.account("other").await.id, broken.id).await.unwrap(), None);
        assert_eq!(world.sql(r#"UPDATE "key" SET allowed_tools = NULL"#).await, 2);
        assert_eq!(keys.find_any(broken.id).await.unwrap().unwrap().revoked_at, Some(world.now()));
    })
    .await;
}
