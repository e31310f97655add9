//! The same attempts as typed messages, and those that only typed messages can make: `extra` at every level.

use orqen::proto::v1::{self, CreateChatCompletionRequest as Create};
use serde_json::{Value, json};

use crate::{
    attacks::{DENIED, readers::finds_denied},
    chat::{
        House,
        typed::{asking, function, object, user, value},
    },
    support::actors::{Agent, Caller},
};

/// What stands in `extra`: of the request, of its one tool, or of that tool's function.
pub(super) const EXTRAS: &[(&str, &str)] = &[
    ("request", r#"{"tools":[{"name":"@"}]}"#),
    ("request", r#"{"Tools":[{"name":"@"}]}"#),
    ("request", r#"{"functions":[{"name":"@"}]}"#),
    ("request", r#"{"tool_choice":{"name":"@"}}"#),
    ("request", r#"{"function_call":{"name":"@"}}"#),
    ("request", r#"{"web_search_options":{}}"#),
    ("request", r#"{"WEB_SEARCH_OPTIONS":{}}"#),
    ("request", r#"{"":{"tools":[{"name":"@"}]},"tools ":[{"name":"@"}]}"#),
    ("tool", r#"{"name":"@"}"#),
    ("tool", r#"{"function":{"name":"@"}}"#),
    ("tool", r#"{"type":"@"}"#),
    ("tool", r#"{"custom":{"name":"@"}}"#),
    ("tool", r#"{"@":{}}"#),
    ("tool", r#"{"Function":{"name":"@"}}"#),
    ("function", r#"{"name":"@"}"#),
    ("function", r#"{"NAME":"@"}"#),
];

/// The request as a typed message, as far as one can say it.
pub(super) fn told(body: &[u8]) -> Option<Create> {
    let Value::Object(mut members) = serde_json::from_slice(body).ok()? else { return None };
    let model = members.remove("model").and_then(|model| model.as_str().map(str::to_owned))?;
    let tools = match members.remove("tools") {
        Some(Value::Array(tools)) => tools.iter().map(tool).collect::<Option<Vec<_>>>()?,
        Some(_) => return None,
        None => Vec::new(),
    };
    let tool_choice = members.remove("tool_choice").map(|choice| value(&choice));
    let extra = (!members.is_empty()).then(|| object(&Value::Object(members)));
    Some(Create { model, messages: vec![user("x")], tools, tool_choice, extra, ..Default::default() })
}

fn tool(json: &Value) -> Option<v1::ChatTool> {
    let mut members = json.as_object()?.clone();
    let kind = members.remove("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    let function = members.get("function").and_then(|function| function["name"].as_str().map(str::to_owned));
    let function = function.map(|name| {
        members.remove("function");
        v1::FunctionDefinition { name, ..Default::default() }
    });
    let extra = (!members.is_empty()).then(|| object(&Value::Object(members)));
    Some(v1::ChatTool { r#type: kind, function, extra })
}

/// Sends it, and does not mind what comes of it.
pub(super) async fn call(agent: &Agent, request: Create) {
    let _ = agent.grpc().chat().create_chat_completion(request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_extra_brings_a_denied_tool_to_the_provider() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED, "web_search*"]).await;
    for (place, extra) in EXTRAS {
        let extra = Some(object(&serde_json::from_str(&extra.replace('@', DENIED)).unwrap()));
        let mut request = asking(vec![function("keep")]);
        match *place {
            "request" => request.extra = extra,
            "tool" => request.tools[0].extra = extra,
            _ => request.tools[0].function.as_mut().unwrap().extra = extra,
        }
        let before = house.upstream.received().len();
        call(&agent, request.clone()).await;
        let streamed = v1::StreamChatCompletionRequest {
            model: request.model,
            messages: request.messages,
            tools: request.tools,
            extra: request.extra,
            ..Default::default()
        };
        let _ = agent.grpc().chat().stream_chat_completion(streamed).await;
        for arrived in &house.upstream.received()[before..] {
            assert_eq!(finds_denied(&arrived.body), None, "{place}: {}", arrived.text());
        }
    }
    // What is not denied gets through: it is not that everything is lost.
    call(&agent, asking(vec![function("keep")])).await;
    let arrived: Value = serde_json::from_slice(&house.upstream.last().body).unwrap();
    assert_eq!(arrived["tools"][0]["function"]["name"], json!("keep"));
}
