//! Keys, one caller at a time.

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::{
        audit::Actor,
        generation::LivingSecret,
        key::{Key, Scope},
    },
    store::{Change, CreateKeyError, Entity, KeyPage, KeysMeant, Swept, UpdateKeyError},
};

const PAGE: KeyPage = KeyPage { size: 100, before: None, include_revoked: false };

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|&word| word.to_owned()).collect())
}

fn full_key(account: AccountId, number: u8) -> NewKey {
    NewKey {
        name: "Ünïcode 🔑 'quoted\" \\name".to_owned(),
        scopes: [Scope::Usage, Scope::Chat].into_iter().collect(),
        toollist: Toollist::new(words(&["github_*", "a\"b\\c", "ü"]), words(&["rm"])).unwrap(),
        tool_mode: ToolMode::Block,
        own_limits: OwnLimits {
            rate_limit_rpm: Some(1),
            daily_token_budget: Some(i64::MAX),
            weekly_token_budget: Some(0),
            k_target_override: Some(7),
        },
        by: Actor { name: "jwt:sub\0ject".to_owned(), ..Actor::cli() },
        expires_at: Some(time("2030-02-28T12:00:00.000001999Z")),
        digest: digest(number),
        pepper_version: u32::MAX,
        ..new_key(account, "")
    }
}

#[tokio::test]
async fn a_key_comes_back_with_every_field_by_every_way() {
    on_every_store(async |world| {
        let account = world.account("a").await;
        let new = full_key(account.id, 1);
        let keys = world.store.keys();
        let made = keys.create(new.clone()).await.unwrap();
        let expected = Key {
            id: new.id,
            account_id: account.id,
            name: new.name,
            prefix: new.prefix,
            disabled: false,
            scopes: new.scopes,
            toollist: new.toollist,
            tool_mode: ToolMode::Block,
            own_limits: new.own_limits,
            created_at: world.now(),
            created_by: "jwt:sub\u{fffd}ject".to_owned(),
            last_used_at: None,
            expires_at: Some(time("2030-02-28T12:00:00.000001Z")),
            revoked_at: None,
            rotated_at: None,
            secrets: vec![LivingSecret {
                number: 1,
                prefix: made.prefix.clone(),
                created_at: world.now(),
                expires_at: None,
                last_used_at: None,
            }],
            revision: 1,
        };
        assert_eq!(made, expected);
        assert_eq!(keys.find(account.id, made.id).await.unwrap().as_ref(), Some(&expected));
        assert_eq!(keys.find_any(made.id).await.unwrap().as_ref(), Some(&expected));
        assert_eq!(keys.list(account.id, &PAGE).await.unwrap(), std::slice::from_ref(&expected));
        assert_eq!(
            keys.by_ids(&[made.id, KeyId(Uuid::now_v7())]).await.unwrap(),
            std::slice::from_ref(&expected)
        );
        let found = keys.by_digest(&[digest(9), digest(1)]).await.unwrap();
        let generation = generation(expected.id, 1);
        assert_eq!(found, Some(KeyBySecret { key: expected, account, digest: digest(1), generation }));
    })
    .await;
}

#[tokio::test]
async fn no_list_and_an_empty_list_stay_two_things() {
    on_every_store(async |world| {
        let account = world.account("a").await;
        let keys = world.store.keys();
        for (allowed, denied) in
            [(None, None), (Some(vec![]), None), (None, Some(vec![])), (Some(vec![]), words(&["x"]))]
        {
            let toollist = Toollist::new(allowed.clone(), denied.clone()).unwrap();
            let made = keys.create(NewKey { toollist, ..new_key(account.id, "k") }).await.unwrap();
            let found = keys.find_any(made.id).await.unwrap().unwrap();
            assert_eq!(found.toollist.allowed(), allowed.as_deref());
            assert_eq!(found.toollist.denied(), denied.as_deref());
            let swapped = Toollist::new(denied.clone(), allowed.clone()).unwrap();
            let set = |key: &mut Key| {
                key.toollist = swapped;
                Ok::<_, ()>(())
            };
            keys.update(&Actor::cli(), account.id, made.id, set).await.unwrap();
            let found = keys.find_any(made.id).await.unwrap().unwrap();
            assert_eq!(found.toollist.allowed(), denied.as_deref());
            assert_eq!(found.toollist.denied(), allowed.as_deref());
        }
    })
    .await;
}

#[tokio::test]
async fn another_accounts_key_looks_like_one_that_never_was() {
    on_every_store(async |world| {
        let (own, other) = (world.account("own").await.id, world.account("other").await.id);
        let keys = world.store.keys();
        let key = keys.create(new_key(own, "k")).await.unwrap();
        let rename = |key: &mut Key| {
            key.name = "stolen".to_owned();
            Ok::<_, ()>(())
        };
        for (account, id) in [(other, key.id), (own, KeyId(Uuid::now_v7()))] {
            assert_eq!(keys.find(account, id).await.unwrap(), None);
            assert!(matches!(
                keys.update(&Actor::cli(), account, id, rename).await,
                Err(UpdateKeyError::NotFound)
            ));
            assert_eq!(keys.revoke(&Actor::cli(), account, id).await.unwrap(), None);
        }
        assert!(keys.list(other, &PAGE).await.unwrap().is_empty());
        assert_eq!(keys.find(own, key.id).await.unwrap(), Some(key));
    })
    .await;
}

#[tokio::test]
async fn a_key_of_no_account_is_refused() {
    on_every_store(async |world| {
        let refused = world.store.keys().create(new_key(AccountId(Uuid::now_v7()), "k")).await;
        assert!(matches!(refused, Err(CreateKeyError::UnknownAccount)), "{refused:?}");
        assert!(!world.store.keys().any().await.unwrap());
        let account = world.account("a").await.id;
        world.store.keys().create(new_key(account, "k")).await.unwrap();
        assert!(world.store.keys().any().await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_from_the_newest_on() {
    on_every_store(async |world| {
        let (account, other) = (world.account("a").await.id, world.account("b").await.id);
        let keys = world.store.keys();
        let mut made = Vec::new();
        for number in 0..7 {
            keys.create(new_key(other, "other")).await.unwrap();
            made.push(keys.create(new_key(account, &number.to_string())).await.unwrap().id);
        }
        made.reverse();
        keys.revoke(&Actor::cli(), account, made[1]).await.unwrap();
        let all = pages(keys, account, true).await;
        assert_eq!(all, made);
        let live = pages(keys, account, false).await;
        made.remove(1);
        assert_eq!(live, made);
    })
    .await;
}

async fn pages(keys: &crate::store::KeyStore, account: AccountId, include_revoked: bool) -> Vec<KeyId> {
    let mut page = KeyPage { size: 3, before: None, include_revoked };
    let mut seen = Vec::new();
    loop {
        let found = keys.list(account, &page).await.unwrap();
        assert!(found.len() <= 3);
        seen.extend(found.iter().map(|key| key.id));
        page.before = seen.last().copied();
        if found.is_empty() {
            return seen;
        }
    }
}

#[tokio::test]
async fn a_change_reaches_only_what_may_be_changed() {
    on_every_store(async |world| {
        let (account, other) = (world.account("a").await.id, world.account("b").await.id);
        let keys = world.store.keys();
        let before = keys.create(new_key(account, "before")).await.unwrap();
        let at = world.now();
        let change = |key: &mut Key| {
            *key = Key {
                id: KeyId(Uuid::now_v7()),
                account_id: other,
                name: "after".to_owned(),
                prefix: "x".to_owned(),
                disabled: true,
                scopes: Scopes::default(),
                created_at: at + TimeDelta::days(1),
                created_by: "x".to_owned(),
                last_used_at: Some(at),
                expires_at: Some(at),
                revoked_at: Some(at),
                rotated_at: Some(at),
                secrets: Vec::new(),
                revision: 99,
                ..key.clone()
            };
            Ok::<_, ()>(())
        };
        let after = keys.update(&Actor::cli(), account, before.id, change).await.unwrap();
        let expected = Key {
            name: "after".to_owned(),
            disabled: true,
            scopes: Scopes::default(),
            expires_at: Some(at),
            revision: 2,
            ..before
        };
        assert_eq!(after, expected);
        assert_eq!(keys.find_any(after.id).await.unwrap(), Some(expected));
    })
    .await;
}

#[tokio::test]
async fn a_change_that_changes_nothing_or_is_refused_writes_nothing() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(full_key(account, 1)).await.unwrap();
        let seq = world.store.changes().latest().await.unwrap();
        // Finer than a microsecond, so equal once stored.
        let same = |key: &mut Key| {
            key.expires_at = Some(time("2030-02-28T12:00:00.000001111Z"));
            Ok::<_, ()>(())
        };
        assert_eq!(keys.update(&Actor::cli(), account, key.id, same).await.unwrap(), key);
        let refuse = |key: &mut Key| {
            key.name = "half-written".to_owned();
            Err("no")
        };
        let refused = keys.update(&Actor::cli(), account, key.id, refuse).await;
        assert!(matches!(refused, Err(UpdateKeyError::Refused("no"))), "{refused:?}");
        assert_eq!(keys.find_any(key.id).await.unwrap(), Some(key));
        assert_eq!(world.store.changes().latest().await.unwrap(), seq);
    })
    .await;
}

#[tokio::test]
async fn revoking_again_keeps_the_first_time() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let keys = world.store.keys();
        let key = keys.create(new_key(account, "k")).await.unwrap();
        let first = keys.revoke(&Actor::cli(), account, key.id).await.unwrap().unwrap();
        assert!(!first.earlier);
        let first = first.key;
        assert_eq!((first.revoked_at, first.revision), (Some(world.now()), 2));
        let seq = world.store.changes().latest().await.unwrap();
        world.clock.advance(TimeDelta::hours(1));
        let again = keys.revoke_any(&Actor::cli(), key.id).await.unwrap().unwrap();
        assert_eq!((again.key, again.earlier), (first, true));
        assert_eq!(world.store.changes().latest().await.unwrap(), seq);
    })
    .await;
}

#[tokio::test]
async fn a_sweep_ends_what_is_meant_in_steps_and_records_each() {
    on_every_store(async |world| {
        let (account, other) = (world.account("a").await.id, world.account("b").await.id);
        let keys = world.store.keys();
        keys.create(new_key(other, "other")).await.unwrap();
        let mut made = Vec::new();
        for number in 0..1_003_usize {
            let name = if number % 500 == 0 { "jwt:ann" } else { "cli" }.to_owned();
            let new = NewKey { by: Actor { name, ..Actor::cli() }, ..new_key(account, "k") };
            made.push(keys.create(new).await.unwrap().id);
        }
        keys.revoke(&Actor::cli(), account, made[1000]).await.unwrap();
        let seen = world.store.changes().latest().await.unwrap();
        let meant = KeysMeant { created_by: Some("jwt:ann".to_owned()), created_before: None };
        let first = keys.sweep(&Actor::cli(), account, &meant, None).await.unwrap();
        assert_eq!((first.revoked.as_slice(), first.next), (&[made[500]][..], Some(made[2])));
        let second = keys.sweep(&Actor::cli(), account, &meant, first.next).await.unwrap();
        assert_eq!((second.revoked.as_slice(), second.next), (&[made[0]][..], None));
        let changes = world.store.changes().since(seen, 10).await.unwrap().changes;
        let change = |seq, key| Change { seq, entity: Entity::Key(key), revision: 2 };
        assert_eq!(changes, [change(seen + 1, made[500]), change(seen + 2, made[0])]);

        let all = KeysMeant::default();
        let first = keys.sweep(&Actor::cli(), account, &all, None).await.unwrap();
        assert_eq!((first.revoked.len(), first.next), (1_000, Some(made[1])));
        let rest = keys.sweep(&Actor::cli(), account, &all, first.next).await.unwrap();
        assert_eq!(rest, Swept { revoked: vec![], next: None });
        assert_eq!(world.store.changes().latest().await.unwrap(), seen + 1_002);
        let page = world.store.changes().since(seen + 2, 2_000).await.unwrap();
        assert!(!page.gap && page.changes.len() == 1_000);
        assert_eq!(
            keys.sweep(&Actor::cli(), account, &all, None).await.unwrap(),
            Swept { revoked: vec![], next: None }
        );
        assert_eq!(keys.list(other, &PAGE).await.unwrap().len(), 1);
        let early = KeysMeant { created_before: Some(world.now()), ..KeysMeant::default() };
        assert_eq!(keys.sweep(&Actor::cli(), other, &early, None).await.unwrap().revoked, []);
    })
    .await;
}

#[tokio::test]
async fn the_count_of_living_keys_follows_every_way_that_they_come_and_go() {
    on_every_store(async |world| {
        let (account, other) = (world.account("a").await.id, world.account("b").await.id);
        let keys = world.store.keys();
        let counted = async |account: AccountId, living: i64| {
            let transaction = world.store.0.database.begin().await.unwrap();
            assert_eq!(crate::store::accounts::live_keys(&transaction, account).await.unwrap(), living);
            transaction.rollback().await.unwrap();
        };
        let mut made = Vec::new();
        for _ in 0..7 {
            made.push(keys.create(new_key(account, "k")).await.unwrap().id);
        }
        keys.create(new_key(other, "k")).await.unwrap();
        counted(account, 7).await;
        keys.revoke(&Actor::cli(), account, made[0]).await.unwrap();
        keys.revoke(&Actor::cli(), account, made[0]).await.unwrap();
        keys.revoke_any(&Actor::cli(), made[1]).await.unwrap();
        counted(account, 5).await;
        let rename = |key: &mut Key| {
            key.name = "another".into();
            Ok::<_, ()>(())
        };
        keys.update(&Actor::cli(), account, made[2], rename).await.unwrap();
        counted(account, 5).await;
        // Behind the store's back: by hand, or by an older version.
        world.sql("UPDATE \"key\" SET revoked_at = NULL").await;
        counted(account, 7).await;
        let meant = KeysMeant { created_by: None, created_before: None };
        keys.sweep(&Actor::cli(), account, &meant, None).await.unwrap();
        counted(account, 0).await;
        counted(other, 1).await;
        world.sql("DELETE FROM key_generation").await;
        world.sql("DELETE FROM \"key\"").await;
        counted(other, 0).await;
    })
    .await;
}
