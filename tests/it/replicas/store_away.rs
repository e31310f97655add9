//! A PostgreSQL that is cut off, or takes connections and is silent: what goes on, what is refused and how, and what is
//! there once it is back.

use serde_json::{Value, json};

use super::*;
use crate::support::{proxy::Way, stores::on_postgres};

/// A request to the built-in model.
fn asking() -> Value {
    json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "Hello"}]})
}

/// A server behind a proxy, an agent that it knows and one that it does not.
struct Away {
    proxy: Proxy,
    server: TestServer,
    operator: Operator,
    known: Agent,
    unknown: Agent,
    ids: [String; 2],
}

impl Away {
    async fn start(place: &Place, stale_for: &str) -> Self {
        let (proxy, through) = through(place, Kind::Bytes).await;
        let settings = Settings::at(&through).variable("ORQEN_STORE__STALE_FOR", stale_for);
        let server = TestServer::start(settings).await;
        let operator = server.operator();
        let ((known, first), (unknown, second)) = (
            operator.equip(json!({"name": "known"})).await,
            operator.equip(json!({"name": "unknown"})).await,
        );
        known.chat(asking()).await.success();
        operator.me().await.success();
        let ids = [first, second].map(|issued| issued["id"].as_str().unwrap().to_owned());
        Self { proxy, server, operator, known, unknown, ids }
    }

    async fn readiness(&self) -> (u16, String) {
        let answer = self.server.anonymous().rest().get("/readyz").await;
        (answer.status.as_u16(), answer.json()["status"].as_str().unwrap().to_owned())
    }

    /// The store is back: waits until a key that was not known is.
    async fn restored(&self) {
        self.proxy.turn(Way::Open);
        eventually("unknown keys are looked up", async || self.unknown.me().await.status == 200).await;
        eventually("it is ready", async || self.readiness().await == (200, "ready".into())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_go_on_and_nobody_is_told_that_a_key_is_bad() {
    on_postgres(async |place| {
        for way in [Way::Cut, Way::Stalled] {
            let away = Away::start(&place.sibling().await, "60s").await;
            away.proxy.turn(way);
            let looked_up = away.unknown.me();
            let (refused, ()) = tokio::join!(looked_up, async {
                for _ in 0..20 {
                    away.known.chat(asking()).await.success();
                }
            });
            refused.refused(503, "store_unavailable");
            let patience: u64 = refused.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&patience), "{way:?}: {patience}");
            away.known.me().await.success();
            eventually("it says degraded", async || away.readiness().await == (200, "degraded".into())).await;
            assert!(figure(&away.server, "orqen_store_staleness_seconds").await > 1.0);
            away.restored().await;
            away.server.stop().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn management_calls_fail_cleanly_and_leave_nothing_half_done() {
    on_postgres(async |place| {
        let away = Away::start(&place, "60s").await;
        let before = away.operator.list_keys("").await.success();
        away.proxy.turn(Way::Cut);
        let id = &away.ids[0];
        for answer in [
            away.operator.create_key(json!({"name": "never"})).await,
            away.operator.update_key(id, json!({"name": "never"})).await,
            away.operator.rotate_key(id, json!({})).await,
            away.operator.revoke_key(id).await,
            away.operator.list_keys("").await,
            away.operator.key(id).await,
        ] {
            answer.refused(503, "store_unavailable");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        away.restored().await;
        let mut after = away.operator.list_keys("").await.success();
        let mut expected = before.clone();
        // The time of last use is the one thing that goes on.
        for keys in [&mut after, &mut expected] {
            for key in keys["keys"].as_array_mut().unwrap() {
                key["last_used_at"].take();
            }
        }
        assert_eq!(after, expected);
        away.known.me().await.success();
        away.server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_waits_and_is_written_once_the_store_is_back() {
    on_postgres(async |place| {
        for way in [Way::Cut, Way::Stalled] {
            let place = place.sibling().await;
            let away = Away::start(&place, "60s").await;
            away.proxy.turn(way);
            for _ in 0..30 {
                away.known.chat(asking()).await.success();
            }
            away.restored().await;
            let summary = async || away.known.usage_summary().await.success()["requests"]["total"].clone();
            eventually("every request is recorded", async || summary().await == json!(31)).await;
            assert_eq!(figure(&away.server, "orqen_usage_records_dropped_total").await, 0.0);
            away.server.stop().await;
            // What was sent twice, since nobody knew whether it had arrived, is there once.
            let database = behind(&place).await;
            let sql = "DO $$ BEGIN ASSERT (SELECT count(*) FROM usage_record) = 31; END $$";
            database.execute_unprepared(sql).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_the_cache_is_not_trusted_and_the_replica_is_not_ready() {
    on_postgres(async |place| {
        let away = Away::start(&place, "3s").await;
        away.proxy.turn(Way::Cut);
        let began = Instant::now();
        let mut answered = 0;
        loop {
            let answer = away.known.chat(asking()).await;
            if answer.status == 503 {
                answer.refused(503, "store_unavailable");
                break;
            }
            answer.success();
            answered += 1;
            assert!(began.elapsed() < Duration::from_secs(9), "the cache is trusted for ever");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(answered > 10, "{answered}");
        assert_eq!(away.readiness().await, (503, "store_unavailable".into()));
        away.restored().await;
        away.known.chat(asking()).await.success();
        away.server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_elsewhere_while_a_replica_was_cut_off_is_dead_there_once_it_is_back() {
    on_postgres(async |place| {
        let away = Away::start(&place, "60s").await;
        let other =
            TestServer::start_with(Settings::at(&place), Arc::new(crate::support::issuer::Issuer::new()))
                .await;
        away.proxy.turn(Way::Stalled);
        let revoked = other.agent(away.server.first_key().unwrap()).revoke_key(&away.ids[0]).await;
        revoked.success();
        away.known.me().await.success();
        away.proxy.turn(Way::Open);
        let took = eventually("the key is dead", async || away.known.me().await.status == 401).await;
        // The poll that hangs is given up in time, and connections that the network swallowed are not waited for.
        assert!(took < Duration::from_secs(12), "{took:?}");
        away.server.stop().await;
        other.stop().await;
    })
    .await;
}
