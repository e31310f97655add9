//! The audit trail: one event for each write, in one transaction with it, and those of refused attempts.

use super::{World, new_key, on_every_store};
use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    domain::{
        audit::{Action, Actor, Deed, Event, Outcome, Refusal},
        key::{AccountId, Key, KeyId},
        policy::PolicyValues,
        request_id::RequestId,
    },
    store::{AuditPage, KeysMeant, NewSecret, Rotation},
};

fn actor(world: &World) -> Actor {
    let request_id = Some(RequestId::generate(world.now(), &mut rand::rng()));
    Actor { name: "jwt:a\0nn".to_owned(), key_id: None, request_id }
}

async fn events(world: &World, account: AccountId, page: AuditPage) -> Vec<Event> {
    world.store.audit().list(account, &AuditPage { size: 1000, ..page }).await.unwrap()
}

/// What an event says was changed: fields, before, after.
fn changes(event: &Event) -> Vec<(&str, &Value, &Value)> {
    let Outcome::Done(changes) = &event.outcome else { panic!("{event:?}") };
    changes.iter().map(|one| (one.field.as_str(), &one.before, &one.after)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_leaves_an_event_of_what_differs_and_what_changes_nothing_leaves_none() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let (keys, by) = (world.store.keys(), actor(&world));
        let step = || world.clock.advance(TimeDelta::milliseconds(1));
        step();
        let key = keys.create(super::NewKey { by: by.clone(), ..new_key(account, "k") }).await.unwrap();
        step();
        let rename = |key: &mut Key| {
            key.name = "other".to_owned();
            Ok::<_, ()>(())
        };
        keys.update(&by, account, key.id, rename).await.unwrap();
        keys.update(&by, account, key.id, rename).await.unwrap();
        let refused = keys.update(&by, account, key.id, |_| Err(())).await;
        assert!(refused.is_err());
        step();
        let secret =
            NewSecret { prefix: "sk-orq-89abcdef".to_owned(), digest: super::digest(9), pepper_version: 1 };
        let turn = Rotation {
            account_id: account,
            id: key.id,
            by: by.clone(),
            secret,
            overlap: TimeDelta::hours(1),
            once: None,
        };
        keys.rotate(turn, |_, _| Ok::<_, ()>(())).await.unwrap();
        step();
        let raise = |values: &mut PolicyValues| {
            values.max_keys = Some(7);
            Ok::<_, ()>(())
        };
        world.store.accounts().update_policy(&by, account, raise).await.unwrap();
        world.store.accounts().update_policy(&by, account, raise).await.unwrap();
        step();
        keys.revoke(&by, account, key.id).await.unwrap();
        keys.revoke(&by, account, key.id).await.unwrap();

        let found = events(&world, account, AuditPage::default()).await;
        let actions: Vec<_> = found.iter().rev().map(|event| event.action.as_str()).collect();
        let all = ["create_account", "create_key", "update_key", "rotate_key", "update_policy", "revoke_key"];
        assert_eq!(actions, all);
        for event in &found[..5] {
            assert_eq!((event.actor.as_str(), event.request_id), ("jwt:a\u{fffd}nn", by.request_id));
        }
        assert_eq!(found[5].actor, "cli");
        assert_eq!(changes(&found[3]), [("name", &json!("k"), &json!("other"))]);
        let [("generations", before, after)] = changes(&found[2])[..] else { panic!("{found:?}") };
        assert_eq!((before.as_array().unwrap().len(), after.as_array().unwrap().len()), (1, 2));
        assert_eq!(after[0]["key_prefix"], "sk-orq-89abcdef");
        assert_eq!(changes(&found[1]), [("max_keys", &Value::Null, &json!(7))]);
        assert_eq!(changes(&found[0])[0].0, "revoked_at");
        assert_eq!(found[4].key_id, Some(key.id));
        let made: Vec<_> =
            changes(&found[4]).into_iter().map(|(field, before, _)| (field, before.is_null())).collect();
        assert!(made.contains(&("name", true)) && made.contains(&("scopes", true)), "{made:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_undone_leaves_no_event() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let key = world.store.keys().create(new_key(account, "k")).await.unwrap();
        let before = events(&world, account, AuditPage::default()).await.len();
        world.sql("DELETE FROM change_counter").await;
        assert!(world.store.keys().revoke(&Actor::cli(), account, key.id).await.is_err());
        assert!(world.store.keys().create(new_key(account, "l")).await.is_err());
        let raise = |values: &mut PolicyValues| {
            values.max_keys = Some(7);
            Ok::<_, ()>(())
        };
        assert!(world.store.accounts().update_policy(&Actor::cli(), account, raise).await.is_err());
        assert_eq!(events(&world, account, AuditPage::default()).await.len(), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_attempts_stand_there_in_their_order_and_pages_go_through_all() {
    on_every_store(async |world| {
        let (account, other) = (AccountId(Uuid::now_v7()), AccountId(Uuid::now_v7()));
        let key = KeyId(Uuid::now_v7());
        let start = world.now();
        for number in 0..10_u32 {
            world.clock.advance(TimeDelta::milliseconds(1));
            let refusal = Refusal {
                code: "privilege_escalation".to_owned(),
                field: Some("scopes".to_owned()),
                message: format!("{number}\0"),
            };
            let deed = Deed {
                account_id: if number == 5 { other } else { account },
                action: Action::UpdateKey,
                key_id: (number % 2 == 0).then_some(key),
                outcome: Outcome::Refused(refusal),
            };
            world.store.audit().add(&actor(&world), deed).await.unwrap();
        }
        let numbers = |events: &[Event]| -> Vec<String> {
            let message = |event: &Event| match &event.outcome {
                Outcome::Refused(refusal) => refusal.message.trim_end_matches('\u{fffd}').to_owned(),
                Outcome::Done(_) => panic!("{event:?}"),
            };
            events.iter().map(message).collect()
        };
        let mut seen = Vec::new();
        let mut page = AuditPage { size: 4, ..AuditPage::default() };
        loop {
            let found = world.store.audit().list(account, &page).await.unwrap();
            let Some(last) = found.last() else { break };
            page.before = Some(last.id);
            seen.extend(numbers(&found));
        }
        assert_eq!(seen, ["9", "8", "7", "6", "4", "3", "2", "1", "0"]);
        let of_key = events(&world, account, AuditPage { key_id: Some(key), ..AuditPage::default() }).await;
        assert_eq!(numbers(&of_key), ["8", "6", "4", "2", "0"]);
        let at = |millis| Some(start + TimeDelta::milliseconds(millis));
        let between = AuditPage { since: at(3), until: at(5), ..AuditPage::default() };
        assert_eq!(numbers(&events(&world, account, between).await), ["3", "2"]);
        assert_eq!(events(&world, other, AuditPage::default()).await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_an_event_for_each_key() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        for _ in 0..300 {
            world.store.keys().create(new_key(account, "k")).await.unwrap();
        }
        let since = Some(world.now() + TimeDelta::seconds(1));
        world.clock.advance(TimeDelta::seconds(1));
        let swept =
            world.store.keys().sweep(&Actor::cli(), account, &KeysMeant::default(), None).await.unwrap();
        let found = events(&world, account, AuditPage { since, ..AuditPage::default() }).await;
        let mut ended: Vec<_> = found.iter().map(|event| event.key_id.unwrap()).collect();
        ended.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(ended, swept.revoked);
    })
    .await;
}
