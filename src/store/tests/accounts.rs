//! Accounts and policies, one caller at a time.

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::{
        audit::Actor,
        policy::{Policy, PruneMode},
    },
    store::{CreateAccountError, UpdateAccountError},
};

const FULL: PolicyValues = PolicyValues {
    requests_per_minute: Some(60),
    concurrent_requests: Some(i64::MAX),
    daily_token_budget: Some(0),
    weekly_token_budget: Some(4),
    tool_window: Some(5),
    max_keys: Some(1_000),
    prune_mode: Some(PruneMode::Balanced),
    account_requests_per_minute: Some(600),
    account_concurrent_requests: Some(1),
    account_daily_token_budget: Some(i64::MAX),
    account_weekly_token_budget: Some(0),
};

#[tokio::test]
async fn an_account_comes_back_with_its_policy() {
    on_every_store(async |world| {
        let accounts = world.store.accounts();
        assert!(!accounts.any().await.unwrap());
        for (name, values) in [("Ünï 🔑 '", FULL), ("bare", PolicyValues::default())] {
            let made = world.account_with(name, values).await;
            let policy = Policy { values, revision: 1, updated_at: world.now() };
            let expected = Account { id: made.id, name: name.to_owned(), created_at: world.now(), policy };
            assert_eq!(made, expected);
            assert_eq!(accounts.find(made.id).await.unwrap().as_ref(), Some(&expected));
            assert_eq!(accounts.find_by_name(name).await.unwrap(), Some(expected));
        }
        assert!(accounts.any().await.unwrap());
        assert_eq!(accounts.find(AccountId(Uuid::now_v7())).await.unwrap(), None);
        assert_eq!(accounts.find_by_name("BARE").await.unwrap(), None);
        assert_eq!(accounts.find_by_name("bare\0").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_name_belongs_to_one_account() {
    on_every_store(async |world| {
        world.account("a").await;
        let id = AccountId(Uuid::now_v7());
        let refused = world.store.accounts().create(&Actor::cli(), id, "a", FULL).await;
        assert!(matches!(refused, Err(CreateAccountError::NameTaken)), "{refused:?}");
        assert_eq!(world.store.accounts().find(id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn accounts_are_listed_from_the_newest_on() {
    on_every_store(async |world| {
        let mut made = Vec::new();
        for number in 0..5 {
            made.push(world.account(&number.to_string()).await);
        }
        made.reverse();
        let accounts = world.store.accounts();
        assert_eq!(accounts.list(2, None).await.unwrap(), made[..2]);
        assert_eq!(accounts.list(10, Some(made[1].id)).await.unwrap(), made[2..]);
        assert!(accounts.list(10, Some(made[4].id)).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_policy_changes_under_a_new_revision_unless_it_stays_equal() {
    on_every_store(async |world| {
        let account = world.account("a").await;
        let accounts = world.store.accounts();
        world.clock.advance(TimeDelta::seconds(1));
        let set = |values: &mut PolicyValues| {
            *values = FULL;
            Ok::<_, ()>(())
        };
        let changed = accounts.update_policy(&Actor::cli(), account.id, set).await.unwrap();
        let policy = Policy { values: FULL, revision: 2, updated_at: world.now() };
        assert_eq!(changed, Account { policy, ..account });
        let seq = world.store.changes().latest().await.unwrap();
        world.clock.advance(TimeDelta::seconds(1));
        assert_eq!(accounts.update_policy(&Actor::cli(), changed.id, set).await.unwrap(), changed);
        let refuse = |values: &mut PolicyValues| {
            values.max_keys = None;
            Err("no")
        };
        let refused = accounts.update_policy(&Actor::cli(), changed.id, refuse).await;
        assert!(matches!(refused, Err(UpdateAccountError::Refused("no"))), "{refused:?}");
        let nobody = accounts.update_policy(&Actor::cli(), AccountId(Uuid::now_v7()), set).await;
        assert!(matches!(nobody, Err(UpdateAccountError::NotFound)), "{nobody:?}");
        assert_eq!(accounts.find(changed.id).await.unwrap(), Some(changed));
        assert_eq!(world.store.changes().latest().await.unwrap(), seq);
    })
    .await;
}
