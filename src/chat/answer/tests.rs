//! The answer body on its own, on a clock that the tests move.

use std::{convert::Infallible, sync::Arc};

use chrono::DateTime;
use futures_util::FutureExt;
use http::HeaderValue;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::*;
use crate::{
    clock::SystemClock,
    domain::{
        chat_answer::AnswerGuard,
        key::{AccountId, ToolMode},
        request_id::RequestId,
        toollist::Toollist,
        usage::{Batch, Record, Totals},
    },
    limits::{Ask, RateLimiter, Rules},
    tokens::Tokenizer,
    upstream::UpstreamResponse,
    usage::{self, UsageRecorder},
};

type Piece = Result<Frame<Bytes>, UpstreamError>;

/// A provider's answer under way, and the record that is kept of it.
struct Answer {
    provider: Option<mpsc::UnboundedSender<Piece>>,
    body: Option<AnswerBody>,
    written: mpsc::UnboundedReceiver<Arc<Batch>>,
}

impl Answer {
    fn new(status: StatusCode, media: &'static str) -> Self {
        Self::sent((status, media, false), None)
    }

    /// A stream whose client did not ask for its usage.
    fn hiding_usage() -> Self {
        Self::sent((StatusCode::OK, "text/event-stream", true), None)
    }

    /// A stream to a key that may not use `gone`.
    fn guarded() -> Self {
        let list = Toollist::new(None, Some(vec!["gone".into()])).unwrap();
        Self::sent((StatusCode::OK, "text/event-stream", false), AnswerGuard::new(&list, ToolMode::Filter))
    }

    fn sent(head: (StatusCode, &'static str, bool), guard: Option<AnswerGuard>) -> Self {
        let (provider, pieces) = mpsc::unbounded_channel();
        let pieces = tokio_stream::wrappers::UnboundedReceiverStream::new(pieces);
        let body = StreamBody::new(pieces).boxed_unsync();
        Self::of(head, body, Some(provider), guard)
    }

    /// A provider's answer without a body.
    fn empty(status: StatusCode) -> Self {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Self::of((status, "application/json", false), body, None, None)
    }

    fn of(
        (status, media, hides_usage): (StatusCode, &'static str, bool),
        body: UpstreamBody,
        provider: Option<mpsc::UnboundedSender<Piece>>,
        guard: Option<AnswerGuard>,
    ) -> Self {
        let (batches, written) = mpsc::unbounded_channel();
        let sink = move |batch: Arc<Batch>| {
            batches.send(batch).expect("the test listens");
            std::future::ready(Ok::<_, Infallible>(()))
        };
        let parts = usage::Parts {
            bounds: usage::Bounds::default(),
            keeps_records: true,
            tokenizer: Arc::new(Tokenizer::new()),
            clock: Arc::new(SystemClock),
            on_counted: Box::new(|_, _| {}),
        };
        let (recorder, writer) = usage::open(parts, sink);
        TaskTracker::new().spawn(writer.run(CancellationToken::new()));
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(media)),
            (header::CONTENT_LENGTH, HeaderValue::from_static("4")),
        ]);
        let response = UpstreamResponse::new(status, headers, body);
        let received = Received { watch: Box::new(Watch::new(None, None, &response)), response, guard };
        let unmetered = Unmetered {
            received,
            withheld: Withheld::default(),
            tally: ToolTally::default(),
            pruned: Pruned::default(),
            hides_usage,
        };
        let answer = unmetered.metered(Running { pending: begun(&recorder), permit: permit() });
        assert_eq!(answer.headers.contains_key(header::CONTENT_LENGTH), media == "application/json");
        Self { provider, body: Some(answer.body), written }
    }

    fn events() -> Self {
        Self::new(StatusCode::OK, "text/event-stream")
    }

    fn provider_sends(&self, text: &'static str) {
        let piece = Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        self.provider.as_ref().unwrap().send(piece).unwrap();
    }

    fn provider_fails(&mut self, error: UpstreamError) {
        self.provider.take().unwrap().send(Err(error)).unwrap();
    }

    fn provider_ends(&mut self) {
        self.provider = None;
    }

    fn client_hangs_up(&mut self) {
        self.body = None;
    }

    /// The next piece that the client gets.
    async fn piece(&mut self) -> Option<Result<String, UpstreamError>> {
        let frame = self.body.as_mut().unwrap().frame().await?;
        Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
    }

    async fn text(&mut self) -> String {
        self.piece().await.unwrap().unwrap()
    }

    /// The one record of the request, as the totals that it becomes.
    async fn record(&mut self) -> Totals {
        let batch = self.written.recv().await.unwrap();
        assert_eq!((batch.totals.len(), batch.records.len()), (1, 1));
        assert!(self.written.try_recv().is_err(), "one record, not two");
        batch.totals[0].totals
    }
}

fn permit() -> Permit {
    let limiter = RateLimiter::in_process(|_, _| std::future::ready(Ok(0)));
    let ask = Ask {
        account: AccountId(Uuid::nil()),
        key: None,
        key_rules: Rules::UNLIMITED,
        account_rules: Rules::UNLIMITED,
        now: DateTime::UNIX_EPOCH,
    };
    limiter.admit(&ask).now_or_never().unwrap().unwrap()
}

fn begun(recorder: &UsageRecorder) -> Pending {
    let id = RequestId::from_bytes([0; 16]);
    recorder.begin(Record::begun(id, AccountId(Uuid::nil()), None, DateTime::UNIX_EPOCH))
}

fn broken() -> UpstreamError {
    UpstreamError::Unreachable { message: "the upstream `openai` broke off its answer".into() }
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_keeps_the_connection_alive_with_comments() {
    let mut answer = Answer::events();
    let began = Instant::now();
    for line in 1..=3 {
        assert_eq!(answer.text().await, ": keep-alive\n\n");
        assert_eq!(began.elapsed().as_secs(), 15 * line);
    }
    answer.provider_sends("data: 1\n\n");
    assert_eq!(answer.text().await, "data: 1\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_piece_puts_the_comment_off() {
    let mut answer = Answer::events();
    tokio::time::advance(Duration::from_secs(10)).await;
    answer.provider_sends("data: 1\n\n");
    let began = Instant::now();
    assert_eq!(answer.text().await, "data: 1\n\n");
    assert_eq!(answer.text().await, ": keep-alive\n\n");
    assert!((15..=30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_comment_lands_inside_an_event() {
    let mut answer = Answer::events();
    answer.provider_sends("data: {\"a\"");
    assert_eq!(answer.text().await, "data: {\"a\"");
    let waiting = tokio::time::timeout(Duration::from_secs(300), answer.piece()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    answer.provider_sends(":1}\n\n");
    assert_eq!(answer.text().await, ":1}\n\n");
    assert_eq!(answer.text().await, ": keep-alive\n\n");
}

#[tokio::test(start_paused = true)]
async fn a_plain_answer_gets_no_comments() {
    let mut answer = Answer::new(StatusCode::OK, "application/json");
    assert!(tokio::time::timeout(Duration::from_secs(300), answer.piece()).await.is_err());
    answer.provider_sends("{}  ");
    assert_eq!(answer.text().await, "{}  ");
    answer.provider_ends();
    assert!(answer.piece().await.is_none());
    assert_eq!(answer.record().await, Totals { complete: 1, ..Totals::default() });
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_ends_with_an_error_event_and_no_done() {
    for (sent, before) in [("data: 1\n\n", ""), ("data: {\"a\"", "\n\n")] {
        let mut answer = Answer::events();
        answer.provider_sends(sent);
        answer.provider_fails(broken());
        assert_eq!(answer.text().await, sent);
        let event = answer.text().await;
        let data = event.strip_prefix(before).unwrap().strip_prefix("data: ").unwrap();
        let error: serde_json::Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "upstream_unreachable");
        assert!(answer.piece().await.is_none());
        assert_eq!(answer.record().await, Totals { upstream: 1, ..Totals::default() });
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_for_good_ends_with_the_timeout() {
    let mut answer = Answer::events();
    answer.provider_fails(UpstreamError::Timeout { what: "the upstream `openai` was silent".into() });
    assert!(answer.text().await.contains("\"code\":\"upstream_timeout\""));
    assert!(answer.piece().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_plain_answer_that_breaks_is_an_error_for_the_connection() {
    let mut answer = Answer::new(StatusCode::OK, "application/json");
    answer.provider_fails(broken());
    assert_eq!(answer.piece().await, Some(Err(broken())));
    assert!(answer.piece().await.is_none());
    assert_eq!(answer.record().await, Totals { upstream: 1, ..Totals::default() });
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_is_recorded_and_leaves_the_provider() {
    let mut answer = Answer::events();
    answer.provider_sends("data: 1\n\n");
    answer.text().await;
    answer.client_hangs_up();
    assert_eq!(answer.record().await, Totals { client: 1, ..Totals::default() });
    assert!(answer.provider.unwrap().is_closed(), "the provider's body is dropped, which cancels the call");
}

#[tokio::test(start_paused = true)]
async fn a_providers_own_error_is_recorded_as_the_providers() {
    let mut answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, "application/json");
    answer.provider_ends();
    assert!(answer.piece().await.is_none());
    assert_eq!(answer.record().await, Totals { upstream: 1, ..Totals::default() });
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_is_recorded_though_nobody_asks_it_for_a_piece() {
    for (status, totals) in [
        (StatusCode::NO_CONTENT, Totals { complete: 1, ..Totals::default() }),
        (StatusCode::INTERNAL_SERVER_ERROR, Totals { upstream: 1, ..Totals::default() }),
    ] {
        let mut answer = Answer::empty(status);
        assert!(answer.body.as_ref().unwrap().is_end_stream());
        answer.client_hangs_up();
        assert_eq!(answer.record().await, totals);
    }
}

#[tokio::test]
async fn usage_that_was_not_asked_for_is_counted_and_kept_back() {
    let mut answer = Answer::hiding_usage();
    answer.provider_sends("data: {\"choices\":[{}]}\n\n");
    answer.provider_sends("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,");
    answer.provider_sends("\"completion_tokens\":2}}\n\ndata: [DONE]\n\n");
    answer.provider_ends();
    assert_eq!(answer.text().await, "data: {\"choices\":[{}]}\n\n");
    assert_eq!(answer.text().await, "data: [DONE]\n\n");
    assert!(answer.piece().await.is_none());
    let record = answer.record().await;
    assert_eq!((record.complete, record.prompt_tokens, record.completion_tokens), (1, 7, 2));
}

#[tokio::test]
async fn of_a_stream_that_breaks_within_an_event_the_error_is_told() {
    let mut answer = Answer::hiding_usage();
    answer.provider_sends("data: {\"choices\"");
    answer.provider_fails(broken());
    let event = answer.text().await;
    assert!(event.starts_with("data: {\"error\"") && event.contains("upstream_unreachable"), "{event}");
    assert!(answer.piece().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_taken_out_are_counted_and_a_call_that_is_held_lets_comments_through() {
    let mut answer = Answer::guarded();
    let part = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"gone\"}}]}}]}\n\n";
    answer.provider_sends("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
    answer.provider_sends(part);
    assert!(answer.text().await.contains("content"));
    assert_eq!(answer.text().await, ": keep-alive\n\n");
    answer.provider_sends("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n");
    assert_eq!(answer.text().await, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    answer.provider_ends();
    assert!(answer.piece().await.is_none());
    let record = answer.record().await;
    assert_eq!((record.complete, record.tools_called), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_calls_cannot_be_told_ends_with_an_error_event_and_leaves_the_provider() {
    let mut answer = Answer::guarded();
    answer.provider_sends("data: 1\n\ndata: {\"choices\":[],\"Choices\":[{\"tool_calls\":0}]}\n\n");
    let text = answer.text().await;
    assert!(
        text.starts_with("data: 1\n\ndata: {\"error\"") && text.contains("upstream_unreachable"),
        "{text}"
    );
    assert!(answer.piece().await.is_none());
    assert_eq!(answer.record().await, Totals { upstream: 1, ..Totals::default() });
    answer.client_hangs_up();
    assert!(answer.provider.unwrap().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_before_it_says_so_is_none_of_the_complete_ones() {
    for (sent, totals) in [
        ("data: 1\n\n", Totals { upstream: 1, ..Totals::default() }),
        ("data: 1\n\ndata: [DONE]\n\n", Totals { complete: 1, ..Totals::default() }),
    ] {
        let mut answer = Answer::events();
        answer.provider_sends(sent);
        answer.provider_ends();
        assert_eq!(answer.text().await, sent);
        assert!(answer.piece().await.is_none());
        assert_eq!(answer.record().await, totals);
    }
}
