//! Opening, closing, and stores that cannot be reached.

use super::*;

async fn refusal(url: &str) -> StoreError {
    let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
    Store::connect(&configuration(url), clock).await.expect_err(url)
}

#[tokio::test]
async fn what_was_written_is_there_when_the_store_is_opened_again() {
    on_every_store(async |world| {
        let account = world.account("a").await;
        let key = world.store.keys().create(new_key(account.id, "k")).await.unwrap();
        world.store.close().await;
        let store = world.open_again().await;
        assert_eq!(store.accounts().find(account.id).await.unwrap(), Some(account));
        assert_eq!(store.keys().find_any(key.id).await.unwrap(), Some(key));
        assert_eq!(store.changes().latest().await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    on_every_store(async |world| {
        world.store.ping().await.unwrap();
        world.store.close().await;
        assert_unavailable(world.store.ping().await);
        assert_unavailable(world.store.keys().any().await);
        assert_unavailable(
            world.store.keys().touch(&[(generation(KeyId(Uuid::now_v7()), 1), world.now())]).await,
        );
    })
    .await;
}

#[tokio::test]
async fn a_store_whose_rows_stay_locked_is_unavailable_in_time() {
    on_every_store(async |world| {
        let account = world.account("a").await.id;
        let other = world.open_again().await;
        let holder = other.0.database.begin().await.unwrap();
        holder.execute_unprepared("UPDATE policy SET max_keys = 1").await.unwrap();
        let limit = std::time::Duration::from_secs(9);
        let create = world.store.keys().create(new_key(account, "k"));
        let result = tokio::time::timeout(limit, create).await.expect("the wait is bounded");
        let error = result.expect_err("the policy is locked");
        assert!(
            matches!(error, crate::store::CreateKeyError::Store(StoreError::Unavailable { .. })),
            "{error:?}"
        );
        // Readers do not wait for writers.
        assert!(world.store.accounts().find(account).await.unwrap().is_some());
        holder.rollback().await.unwrap();
        world.store.keys().create(new_key(account, "k")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(format!("sqlite://{}", folder.path().join("orqen.db").display())).await;
    world.account("a").await;
    assert!(world.store.is_embedded());
    assert_eq!(file_of(&world), Some(folder.path().join("orqen.db")));
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.iter().any(|file| file.file_name() == "orqen.db-wal"), "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_can_be_opened_by_many_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(&format!("sqlite://{}", folder.path().join("orqen.db").display()));
        let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
        let opens = (0..6).map(|_| Store::connect(&configuration, clock.clone()));
        for store in futures_util::future::join_all(opens).await {
            store.unwrap().ping().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_in_is_refused_with_what_can() {
    let error = refusal("mysql://root:hunter2@localhost/orqen").await;
    assert!(matches!(error, StoreError::UnsupportedUrl { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "`store.url` names `mysql`, which Orqen cannot store in; supported are `sqlite://FILE` and \
         `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"
    );
    let error = refusal("sqlite:///nowhere/at/all/orqen.db").await;
    assert!(
        matches!(&error, StoreError::File { path, .. } if path == "/nowhere/at/all/orqen.db"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    let text = "not a database, but somebody's notes. ".repeat(100);
    std::fs::write(&file, &text).unwrap();
    let error = refusal(&format!("sqlite://{}", file.display())).await;
    assert!(!error.is_unavailable(), "{error:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let error = refusal("postgres://orqen:hunter2@127.0.0.1:1/orqen").await;
    assert!(error.is_unavailable(), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    on_every_store(async |world| {
        world.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)").await;
        let error = refusal(&world.url).await;
        assert!(matches!(error, StoreError::Migration { .. }), "{error:?}");
    })
    .await;
}
