//! Limits as agents and operators meet them, through every door: what is refused, what it says, what is given back.
//!
//! Most of it goes to the demo, which answers whatever is asked. The clock stands where rates are counted.

mod account_routes;
mod budgets;
mod cancelled;
mod changes;
mod crowded;
mod headers;
mod left;
mod rates;
mod shared;
mod slots;
mod whole_accounts;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use orqen::{clock::ManualClock, proto::v1};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    chat::{House, http_body, typed::user},
    support::{
        actors::{Agent, Caller},
        grpc_web,
        server::Settings,
        told::Told,
    },
};

/// A request that the demo answers at once.
const DEMO: &str = r#"{"model":"orqen/demo","messages":[{"role":"user","content":"x"}]}"#;

/// The limits of a policy, as variables of the environment.
const REQUESTS: &str = "ORQEN_POLICY__REQUESTS_PER_MINUTE";
const CONCURRENT: &str = "ORQEN_POLICY__CONCURRENT_REQUESTS";

/// A way to a chat completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rest,
    RestStream,
    Raw,
    Typed,
    TypedStream,
    Web,
}

const WAYS: [Way; 6] = [Way::Rest, Way::RestStream, Way::Raw, Way::Typed, Way::TypedStream, Way::Web];

/// A refusal, with what goes with it.
#[derive(Debug)]
struct Refused {
    told: Told,
    headers: HeaderMap,
    retry_after: Option<Duration>,
    /// Whose limit it was and how that is said; gRPC alone has a place for it.
    quota: Option<(String, String)>,
}

/// A house whose clock stands, with these variables.
async fn standing(variables: &[(&str, &str)]) -> (House, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at("2026-03-11T09:26:53Z".parse().unwrap()));
    (House::with(|settings| with(settings, variables).clock(&clock)).await, clock)
}

fn with(settings: Settings, variables: &[(&str, &str)]) -> Settings {
    variables.iter().fold(settings, |settings, (name, value)| settings.variable(name, value))
}

impl Agent {
    /// Asks the demo something and reads the whole answer; its headers, or how it was refused.
    async fn asks(&self, way: Way) -> Result<HeaderMap, Box<Refused>> {
        let chat = || self.grpc().chat();
        let (model, messages) = (|| "orqen/demo".to_owned(), || vec![user("x")]);
        let create =
            || v1::CreateChatCompletionRequest { model: model(), messages: messages(), ..Default::default() };
        match way {
            Way::Rest => rest(self.posts(DEMO).await),
            Way::RestStream => rest(self.posts(DEMO.replacen('{', r#"{"stream":true,"#, 1)).await),
            Way::Raw => {
                let answer = chat().create_raw_chat_completion(http_body(DEMO)).await.map_err(refused)?;
                let headers = answer.metadata().clone().into_headers();
                let mut pieces = answer.into_inner();
                while pieces.message().await.unwrap().is_some() {}
                Ok(headers)
            }
            Way::Typed => {
                let answer = chat().create_chat_completion(create()).await.map_err(refused)?;
                Ok(answer.metadata().clone().into_headers())
            }
            Way::TypedStream => {
                let request = v1::StreamChatCompletionRequest {
                    model: model(),
                    messages: messages(),
                    ..Default::default()
                };
                let answer = chat().stream_chat_completion(request).await.map_err(refused)?;
                let headers = answer.metadata().clone().into_headers();
                let mut chunks = answer.into_inner();
                while chunks.message().await.unwrap().is_some() {}
                Ok(headers)
            }
            Way::Web => {
                let message = grpc_web::framed(&create().encode_to_vec());
                let answer =
                    self.grpc_web().send("/orqen.v1.ChatService/CreateChatCompletion", message).await;
                grpc_web::read(&answer).map(|_: Bytes| answer.headers).map_err(refused)
            }
        }
    }

    /// Is refused with this code.
    async fn is_refused(&self, way: Way, code: &str) -> Refused {
        let refused = self.asks(way).await;
        let refused = *refused.expect_err("the limit is reached");
        assert_eq!(refused.told.code, code, "{way:?}: {refused:?}");
        refused
    }

    /// Waits for a slot: it comes back a moment after the client has left, which the server has to notice first.
    async fn gets_a_slot(&self) {
        for _ in 0..2_000 {
            match self.asks(Way::Rest).await {
                Ok(_) => return,
                Err(refused) => assert_eq!(refused.told.code, "concurrency_limit_exceeded", "{refused:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the slot never came back");
    }
}

fn rest(answer: crate::support::rest::Answer) -> Result<HeaderMap, Box<Refused>> {
    if answer.status.is_success() {
        return Ok(answer.headers);
    }
    let retry_after = answer.header("retry-after").parse().ok().map(Duration::from_secs);
    Err(Box::new(Refused { told: Told::by_rest(&answer), headers: answer.headers, retry_after, quota: None }))
}

fn refused(status: Status) -> Box<Refused> {
    let details = status.get_error_details();
    let retry_after = details.retry_info().and_then(|info| info.retry_delay);
    let quota = details.quota_failure().and_then(|failure| failure.violations.first());
    let quota = quota.map(|violation| (violation.subject.clone(), violation.description.clone()));
    assert_ne!(status.code(), Code::Ok);
    let headers = status.metadata().clone().into_headers();
    Box::new(Refused { told: Told::by_grpc(&status), headers, retry_after, quota })
}

/// The three headers of the limit of requests: limit, remaining, reset.
fn figures(headers: &HeaderMap) -> [&str; 3] {
    ["limit", "remaining", "reset"].map(|name| {
        let value = headers.get(format!("x-ratelimit-{name}-requests"));
        value.map_or("", |value| value.to_str().unwrap())
    })
}
