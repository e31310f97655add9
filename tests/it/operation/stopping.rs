//! A stop: no balancer sends more, what runs finishes, nothing that was confirmed is lost.

use std::{sync::Arc, time::Duration};

use orqen::{app::App, clock::SystemClock};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    actors::Caller,
    server::{Settings, TestServer},
    stores::{Place, on_every_store},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_when_the_server_is_stopped_is_finished() {
    let server = TestServer::new().await;
    let (address, secret) = (server.address(), server.first_key().unwrap().to_owned());
    let body = "{\"name\": \"late\"}";
    let head = format!(
        "POST /v1/keys HTTP/1.1\r\nHost: orqen\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut read = [0; 1024];
    let length = socket.read(&mut read).await.unwrap();
    // The caller is known and the body waited for: the request runs.
    assert!(read[..length].starts_with(b"HTTP/1.1 100 "), "{:?}", String::from_utf8_lossy(&read[..length]));

    let running = server.ask_to_stop();
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!running.is_finished(), "it waits for what runs");
    socket.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"name\":\"late\""), "{answer}");
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_before_a_stop_is_there_after_it() {
    on_every_store(async |place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let (agent, issued) = server.operator().equip(json!({"name": "agent", "denied_tools": ["rm"]})).await;
        let (secret, id) = (agent.secret().to_owned(), issued["id"].as_str().unwrap().to_owned());
        agent.me().await.success();
        let server = server.restart().await;
        let me = server.agent(&secret).me().await.success();
        assert_eq!(
            (me["key"]["id"].as_str().unwrap(), &me["key"]["denied_tools"]),
            (id.as_str(), &json!(["rm"]))
        );
        assert!(me["key"]["last_used_at"].is_string(), "written by the stop at the latest");
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_it_still_answers_and_says_that_it_wants_no_more() {
    let settings = Settings::at(&Place::sqlite()).variable("ORQEN_SERVER__DRAIN_DELAY", "6s");
    let server = TestServer::start(settings).await;
    let (anonymous, operator) = (server.anonymous(), server.operator());
    assert_eq!(anonymous.rest().get("/readyz").await.success(), json!({"status": "ready"}));
    let running = server.ask_to_stop();
    let draining = loop {
        let answer = anonymous.rest().get("/readyz").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((draining.status.as_u16(), draining.json()), (503, json!({"status": "draining"})));
    assert_eq!(anonymous.rest().get("/healthz").await.status, 200, "it lives");
    operator.me().await.success();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_told_by_name() {
    let server = TestServer::new().await;
    let settings =
        Settings::at(&Place::sqlite()).variable("ORQEN_SERVER__LISTEN", &server.address().to_string());
    let refusal = settings.refusal().await;
    assert!(
        refusal.contains(&server.address().to_string()) && refusal.contains("server.listen"),
        "{refusal}"
    );
    server.stop().await;
    // And free again once the other is gone.
    let (config, environment) = (settings.config(), settings.environment());
    let mut tries = 0;
    let app = loop {
        // Another test may have been given the port for a moment, as the near end of a connection.
        match Box::pin(App::start(config.clone(), &environment, Arc::new(SystemClock))).await {
            Ok(app) => break app,
            Err(error) if tries == 50 => panic!("{error:#}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        tries += 1;
    };
    app.run_until(std::future::ready(())).await.unwrap();
}
