//! Several servers on one store: what one changes holds on the others, and what they do when the store is away.
//!
//! Two servers of this process share a PostgreSQL, or a SQLite file; `through` puts a proxy between a server and its
//! PostgreSQL that can be cut. `tests/drills` does the same with processes, under load and for longer.

mod changes;
mod migrating;
mod store_away;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

use crate::support::{
    actors::{Agent, Caller, Operator},
    proxy::{Kind, Proxy},
    rest::Rest,
    server::{Settings, TestServer},
    stores::Place,
};

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two servers on one store.
struct Pair {
    one: TestServer,
    two: TestServer,
    operator: Operator,
}

impl Pair {
    async fn on(place: &Place, change: impl Fn(Settings) -> Settings) -> Self {
        Self::of(change(Settings::at(place)), change(Settings::at(place))).await
    }

    async fn of(one: Settings, two: Settings) -> Self {
        let one = TestServer::start(one).await;
        let two = TestServer::start_with(two, Arc::new(crate::support::issuer::Issuer::new())).await;
        let operator = one.operator();
        Self { one, two, operator }
    }

    /// An agent of the second server, with a key that the first made, and the key's id.
    async fn agent(&self) -> (Agent, String) {
        let issued = self.operator.create_key(serde_json::json!({"name": "agent"})).await.success();
        let id = issued["id"].as_str().unwrap().to_owned();
        (self.two.agent(issued["key"].as_str().unwrap()), id)
    }

    async fn stop(self) {
        self.one.stop().await;
        self.two.stop().await;
    }
}

/// A proxy in front of a PostgreSQL, and the place through it.
async fn through(place: &Place, kind: Kind) -> (Proxy, Place) {
    let proxy = Proxy::to(place.host(), kind).await;
    let place = place.at_host(&proxy.address.to_string());
    (proxy, place)
}

/// The database behind the servers' backs.
async fn behind(place: &Place) -> DatabaseConnection {
    Database::connect(place.url()).await.unwrap()
}

/// A figure of a server.
async fn figure(server: &TestServer, name: &str) -> f64 {
    let answer = Rest::new(server.address()).get("/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().unwrap()
}

/// Waits until `holds`, and says how long that took.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}

/// Waits until a server is told of changes.
async fn until_told(server: &TestServer) {
    eventually("PostgreSQL tells of changes", async || figure(server, "orqen_store_listening").await == 1.0)
        .await;
}

/// Ends every connection on which somebody is told of changes.
async fn cut_listeners(database: &DatabaseConnection) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'orqen listener' AND datname = current_database()";
    database.execute_unprepared(sql).await.unwrap();
}
