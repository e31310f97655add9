//! What is asked of each method, as the message that gRPC sends; REST's form of it is told from the descriptor.

use orqen::proto::v1;
use prost::Message;
use prost_types::{FieldMask, Timestamp};

/// Left out: its answers are bytes, which a test of their own compares.
pub(super) const RAW: &str = "ChatService/CreateRawChatCompletion";

/// What a case is asked about.
pub(super) struct Turn {
    /// A fresh key.
    pub(super) id: String,
    /// Its prefix.
    pub(super) prefix: String,
    /// The caller's own key.
    pub(super) own: String,
    /// A chat request that was recorded.
    pub(super) request: String,
    /// The caller's account.
    pub(super) account: String,
    /// A name that nothing has.
    pub(super) name: String,
}

/// The encoded message of a case, about this turn.
type Encoded = Box<dyn Fn(&Turn) -> Vec<u8>>;

/// One question.
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) what: &'static str,
    pub(super) succeeds: bool,
    pub(super) as_operator: bool,
    pub(super) message: Encoded,
}

fn case<M: Message>(
    method: &'static str,
    what: &'static str,
    succeeds: bool,
    message: impl Fn(&Turn) -> M + 'static,
) -> Case {
    let as_operator = method.starts_with("AccountService") && method != "AccountService/GetMe";
    Case { method, what, succeeds, as_operator, message: Box::new(move |turn| message(turn).encode_to_vec()) }
}

pub(super) fn cases() -> Vec<Case> {
    [
        creating(),
        listing(),
        auditing(),
        updating(),
        toollists(),
        rotating(),
        delegating(),
        others(),
        tools(),
        usage(),
        accounts(),
        policies(),
        revocations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn list(values: &[&str]) -> Option<v1::StringList> {
    Some(v1::StringList { values: values.iter().map(|value| (*value).to_owned()).collect() })
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

const IN_2030: Timestamp = Timestamp { seconds: 1_900_000_000, nanos: 123_456_000 };
const IN_2000: Timestamp = Timestamp { seconds: 946_684_800, nanos: 0 };
const NOBODY: &str = "018f0000-0000-7000-8000-000000000000";

const CHAT: &str = r#"{"model":"orqen/demo","messages":[{"role":"user","content":"rain?"}],
    "tools":[{"name":"weather","description":"Tells the weather"},{"type":"web_search"}],"tool_choice":"auto"}"#;

fn explain(body: &str, prune: Option<&str>) -> v1::ExplainToolSelectionRequest {
    let request = orqen::proto::google::api::HttpBody {
        content_type: String::new(),
        data: body.to_owned().into(),
        extensions: Vec::new(),
    };
    v1::ExplainToolSelectionRequest {
        request: Some(request),
        prune: prune.map(str::to_owned),
        session_id: Some("s-1".into()),
    }
}

fn creating() -> Vec<Case> {
    let create = "KeyService/CreateKey";
    let full = |turn: &Turn| v1::CreateKeyRequest {
        name: turn.name.clone(),
        expires_at: Some(IN_2030),
        scopes: Some(v1::ScopeList { values: vec![v1::Scope::Chat.into(), v1::Scope::Usage.into()] }),
        rate_limit_rpm: Some(10),
        daily_token_budget: Some(0),
        weekly_token_budget: Some(1_000_000_000_000),
        k_target_override: Some(8),
        allowed_tools: list(&["github_*", "\u{1f6e0} \"quoted\" \\ tool"]),
        denied_tools: list(&[]),
        tool_mode: v1::ToolMode::Block.into(),
        idempotency_key: Some(turn.name.clone()),
    };
    let wrong = |_: &Turn| v1::CreateKeyRequest {
        name: "  ".into(),
        expires_at: Some(IN_2000),
        scopes: Some(v1::ScopeList::default()),
        rate_limit_rpm: Some(0),
        k_target_override: Some(1001),
        denied_tools: list(&["fine", ""]),
        idempotency_key: Some("two words".into()),
        ..Default::default()
    };
    let observe = |turn: &Turn| v1::CreateKeyRequest {
        name: turn.name.clone(),
        tool_mode: v1::ToolMode::Observe.into(),
        ..Default::default()
    };
    let named = |turn: &Turn| v1::CreateKeyRequest { name: turn.name.clone(), ..Default::default() };
    vec![
        case(create, "a name alone", true, named),
        case(create, "every field", true, full),
        case(create, "no name", false, |_| v1::CreateKeyRequest::default()),
        case(create, "many fields wrong at once", false, wrong),
        case(create, "a mode that operators set", false, observe),
    ]
}

fn listing() -> Vec<Case> {
    let list = "KeyService/ListKeys";
    let page = |size, token: &str| {
        let page_token = token.to_owned();
        move |_: &Turn| v1::ListKeysRequest {
            page_size: size,
            page_token: page_token.clone(),
            include_revoked: false,
        }
    };
    vec![
        case(list, "the newest", true, page(Some(1), "")),
        case(list, "no key at all", true, page(Some(5), "00000000000000000000000000000000")),
        case(list, "a page of nothing", false, page(Some(0), "")),
        case(list, "a page too large", false, page(Some(1001), "made-up")),
        case("KeyService/GetKey", "a key", true, |turn| v1::GetKeyRequest { key_id: turn.id.clone() }),
        case("KeyService/GetKey", "no such key", false, |_| v1::GetKeyRequest { key_id: NOBODY.into() }),
        case("KeyService/GetKey", "no UUID", false, |_| v1::GetKeyRequest { key_id: "key".into() }),
    ]
}

fn auditing() -> Vec<Case> {
    let list = "KeyService/ListAuditEvents";
    let wrong = |_: &Turn| v1::ListAuditEventsRequest {
        page_size: Some(1001),
        page_token: "made-up".to_owned(),
        key_id: Some("key".to_owned()),
        ..Default::default()
    };
    let of_key = |turn: &Turn| v1::ListAuditEventsRequest {
        page_size: Some(1),
        key_id: Some(turn.own.clone()),
        since: Some(IN_2000),
        until: Some(IN_2030),
        ..Default::default()
    };
    vec![
        case(list, "of a key", true, of_key),
        case(list, "nothing of a key", true, |_| v1::ListAuditEventsRequest {
            key_id: Some(NOBODY.to_owned()),
            ..Default::default()
        }),
        case(list, "all wrong", false, wrong),
    ]
}

fn updating() -> Vec<Case> {
    const EVERY: &[&str] = &[
        "name",
        "expires_at",
        "disabled",
        "scopes",
        "rate_limit_rpm",
        "daily_token_budget",
        "weekly_token_budget",
        "k_target_override",
        "tool_mode",
    ];
    let update = "KeyService/UpdateKey";
    let every = |turn: &Turn| v1::UpdateKeyRequest {
        key_id: turn.id.clone(),
        name: Some("  renamed ".into()),
        expires_at: Some(IN_2030),
        disabled: Some(true),
        scopes: Some(v1::ScopeList { values: vec![v1::Scope::Usage.into()] }),
        rate_limit_rpm: Some(10),
        daily_token_budget: None,
        weekly_token_budget: Some(0),
        k_target_override: Some(8),
        tool_mode: Some(v1::ToolMode::Block.into()),
        update_mask: mask(EVERY),
        revision: Some(1),
    };
    let cleared = |turn: &Turn| v1::UpdateKeyRequest {
        key_id: turn.id.clone(),
        update_mask: mask(&["expires_at"]),
        ..Default::default()
    };
    let nothing = |turn: &Turn| v1::UpdateKeyRequest { key_id: turn.id.clone(), ..Default::default() };
    let wrong = |turn: &Turn| v1::UpdateKeyRequest {
        key_id: turn.id.clone(),
        name: Some("\u{7}".into()),
        expires_at: Some(IN_2000),
        disabled: None,
        scopes: Some(v1::ScopeList::default()),
        rate_limit_rpm: Some(0),
        daily_token_budget: Some(-1),
        weekly_token_budget: Some(i64::MAX),
        k_target_override: Some(0),
        tool_mode: None,
        update_mask: mask(EVERY),
        revision: None,
    };
    let observe = |turn: &Turn| v1::UpdateKeyRequest {
        key_id: turn.id.clone(),
        tool_mode: Some(v1::ToolMode::Observe.into()),
        update_mask: mask(&["tool_mode"]),
        ..Default::default()
    };
    let nobody = |_: &Turn| v1::UpdateKeyRequest {
        key_id: NOBODY.into(),
        name: Some("renamed".into()),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    vec![
        case(update, "every field", true, every),
        case(update, "an expiry taken away", true, cleared),
        case(update, "nothing", true, nothing),
        case(update, "every field wrong", false, wrong),
        case(update, "a mode that operators set", false, observe),
        case(update, "another revision", false, |turn| v1::UpdateKeyRequest {
            key_id: turn.id.clone(),
            revision: Some(9),
            ..Default::default()
        }),
        case(update, "no such key", false, nobody),
    ]
}

fn toollists() -> Vec<Case> {
    let set = "KeyService/SetToollist";
    let lists =
        |allowed: Option<v1::StringList>, denied: Option<v1::StringList>, paths: &'static [&'static str]| {
            move |turn: &Turn| v1::SetToollistRequest {
                key_id: turn.id.clone(),
                allowed_tools: allowed.clone(),
                denied_tools: denied.clone(),
                update_mask: mask(paths),
                revision: None,
            }
        };
    let at = |revision| {
        move |turn: &Turn| v1::SetToollistRequest {
            key_id: turn.id.clone(),
            denied_tools: list(&["rm*"]),
            update_mask: mask(&["denied_tools"]),
            revision: Some(revision),
            ..Default::default()
        }
    };
    let both = &["allowed_tools", "denied_tools"];
    let long = "a".repeat(257);
    vec![
        case(set, "both lists", true, lists(list(&["a", "b*"]), list(&["c"]), both)),
        case(set, "an empty allowlist", true, lists(list(&[]), None, &["allowed_tools"])),
        case(set, "both lists cleared", true, lists(None, None, both)),
        case(set, "neither list", true, lists(None, None, &[])),
        case(set, "a list, at the revision that it is", true, at(1)),
        case(set, "a list, at another revision", false, at(i64::MAX)),
        case(set, "entries too short and too long", false, lists(list(&["", &long]), list(&[""]), both)),
    ]
}

fn rotating() -> Vec<Case> {
    let rotate = "KeyService/RotateKey";
    let with = |overlap_seconds, revision, idempotency_key: Option<&'static str>| {
        move |turn: &Turn| v1::RotateKeyRequest {
            key_id: turn.id.clone(),
            overlap_seconds,
            revision,
            idempotency_key: idempotency_key.map(|key| format!("{key}{}", turn.name)),
        }
    };
    let nobody = |_: &Turn| v1::RotateKeyRequest { key_id: NOBODY.into(), ..Default::default() };
    vec![
        case(rotate, "at once", true, with(None, None, None)),
        case(rotate, "every field", true, with(Some(604_800), Some(1), Some("!~"))),
        case(rotate, "another revision", false, with(Some(0), Some(2), None)),
        case(rotate, "fields out of bounds", false, with(Some(604_801), None, Some("two words "))),
        case(rotate, "no such key", false, nobody),
    ]
}

fn delegating() -> Vec<Case> {
    let delegate = "KeyService/DelegateKey";
    let with = |expires_in_seconds, allowed: &[&str], denied: &[&str], scope: v1::Scope| {
        let (allowed_tools, denied_tools) = (list(allowed), list(denied));
        move |turn: &Turn| v1::DelegateKeyRequest {
            key_id: turn.id.clone(),
            expires_in_seconds,
            allowed_tools: allowed_tools.clone(),
            denied_tools: denied_tools.clone(),
            scopes: Some(v1::ScopeList { values: vec![scope.into()] }),
            tool_mode: v1::ToolMode::Block.into(),
        }
    };
    let plain = |turn: &Turn| v1::DelegateKeyRequest { key_id: turn.id.clone(), ..Default::default() };
    let nobody = |_: &Turn| v1::DelegateKeyRequest { key_id: NOBODY.into(), ..Default::default() };
    let (narrow, keys) = (&["github_get"][..], v1::Scope::Keys);
    vec![
        case(delegate, "as it is", true, plain),
        case(delegate, "every field", true, with(Some(3600), narrow, &["r*"], keys)),
        case(delegate, "a wider list", false, with(None, &["*"], &["rm"], keys)),
        case(delegate, "fields out of bounds", false, with(Some(3601), &[""], &[], v1::Scope::Chat)),
        case(delegate, "no such key", false, nobody),
    ]
}

fn others() -> Vec<Case> {
    let revoke = "KeyService/RevokeKey";
    let key = |revision| move |turn: &Turn| v1::RevokeKeyRequest { key_id: turn.id.clone(), revision };
    let nobody = |_: &Turn| v1::RevokeKeyRequest { key_id: NOBODY.into(), revision: Some(1) };
    vec![
        case(revoke, "a key", true, key(None)),
        case(revoke, "a key, at the revision that it is", true, key(Some(1))),
        case(revoke, "a key, at another revision", false, key(Some(2))),
        case(revoke, "no such key", false, nobody),
        case("UsageService/GetSummary", "this month", true, |_| v1::GetSummaryRequest {}),
        case("AccountService/GetMe", "oneself", true, |_| v1::GetMeRequest {}),
        case("ChatService/ExplainToolSelection", "a request of the demo's", true, |_| explain(CHAT, None)),
        case("ChatService/ExplainToolSelection", "less pruning", true, |_| explain(CHAT, Some("off"))),
        case("ChatService/ExplainToolSelection", "no chat request", false, |_| explain("{", None)),
        case("ChatService/ExplainToolSelection", "no such mode", false, |_| explain(CHAT, Some("most"))),
        case("ChatService/ExplainToolSelection", "no such model", false, |_| {
            explain(r#"{"model":"x"}"#, None)
        }),
        case("ChatService/ListModels", "the models", true, |_| v1::ListModelsRequest {}),
    ]
}

fn tools() -> Vec<Case> {
    let health = |size: i32, token: &'static str| {
        move |_: &Turn| v1::ListToolHealthRequest { page_size: Some(size), page_token: token.to_owned() }
    };
    vec![
        case("ToolService/ListToolHealth", "all of them", true, health(1000, "")),
        case("ToolService/ListToolHealth", "a page of nothing, after nothing of ours", false, health(0, "=")),
        case("ToolService/ListRecallAlerts", "all of them", true, |_| v1::ListRecallAlertsRequest {}),
        case("ToolService/ListToolSuggestions", "all", true, |_| v1::ListToolSuggestionsRequest {}),
    ]
}

fn usage() -> Vec<Case> {
    let (daily, by_key) = ("UsageService/GetDaily", "UsageService/GetByKey");
    let (list, one) = ("UsageService/ListRequests", "UsageService/GetRequest");
    let day = |text: &str| Some(text.to_owned());
    let days = move |first: &'static str, last: &'static str| {
        move |_: &Turn| v1::GetDailyRequest { first_day: day(first), last_day: day(last) }
    };
    let filtered = |turn: &Turn| v1::ListRequestsRequest {
        page_size: Some(1),
        key_id: Some(turn.id.clone()),
        model: Some("orqen/demo".into()),
        status: Some(200),
        session: Some("a-b".into()),
        since: Some(IN_2000),
        until: Some(IN_2030),
        ..Default::default()
    };
    let wrong = |_: &Turn| v1::ListRequestsRequest {
        page_size: Some(0),
        page_token: "made-up".into(),
        key_id: Some("key".into()),
        status: Some(99),
        ..Default::default()
    };
    let pages = |size, token: &'static str, first: Option<&'static str>| {
        move |_: &Turn| v1::GetByKeyRequest {
            first_day: first.map(str::to_owned),
            page_size: Some(size),
            page_token: token.to_owned(),
            ..Default::default()
        }
    };
    let request = |id: Option<&'static str>| {
        move |turn: &Turn| v1::GetRequestRequest {
            request_id: id.map_or_else(|| turn.request.clone(), str::to_owned),
        }
    };
    vec![
        case(daily, "the last days", true, |_| v1::GetDailyRequest::default()),
        case(daily, "some days", true, days("2026-03-13", "2026-03-15")),
        case(daily, "no days", false, days("2026-02-29", "tomorrow")),
        case(daily, "too many days", false, days("2020-01-01", "2026-01-01")),
        case(by_key, "this month", true, |_| v1::GetByKeyRequest::default()),
        case(by_key, "everything wrong", false, pages(0, "x", Some("x"))),
        case(list, "the newest", true, |_| v1::ListRequestsRequest::default()),
        case(list, "every filter", true, filtered),
        case(list, "everything wrong", false, wrong),
        case(one, "a request", true, request(None)),
        case(one, "no such request", false, request(Some("req_00000000000000000000000000000000"))),
        case(one, "no id at all", false, request(Some("x"))),
    ]
}

fn accounts() -> Vec<Case> {
    let create = "AccountService/CreateAccount";
    let list =
        |size| move |_: &Turn| v1::ListAccountsRequest { page_size: Some(size), page_token: String::new() };
    vec![
        case(create, "a new name", true, |turn| v1::CreateAccountRequest { name: turn.name.clone() }),
        case(create, "a name that is taken", false, |_| v1::CreateAccountRequest { name: "default".into() }),
        case(create, "no name", false, |_| v1::CreateAccountRequest::default()),
        case("AccountService/ListAccounts", "all of them", true, list(1000)),
        case("AccountService/ListAccounts", "fewer than none", false, list(-1)),
        case("AccountService/GetAccount", "one", true, |turn| v1::GetAccountRequest {
            account_id: turn.account.clone(),
        }),
        case("AccountService/GetAccount", "no UUID", false, |_| v1::GetAccountRequest {
            account_id: "a".into(),
        }),
    ]
}

fn revocations() -> Vec<Case> {
    let revoke = "AccountService/RevokeKeys";
    let of = |created_by: Option<&'static str>, created_before, all: Option<bool>| {
        move |turn: &Turn| v1::RevokeKeysRequest {
            account_id: turn.account.clone(),
            created_by: created_by.map(str::to_owned),
            created_before,
            all,
        }
    };
    let nobody =
        |_: &Turn| v1::RevokeKeysRequest { account_id: NOBODY.into(), all: Some(true), ..Default::default() };
    vec![
        case(revoke, "what nobody made, long ago", true, of(Some("jwt:nobody"), Some(IN_2000), None)),
        case(revoke, "no condition", false, of(None, None, None)),
        case(revoke, "not all and no condition", false, of(None, None, Some(false))),
        case(revoke, "all and a condition", false, of(Some(""), None, Some(true))),
        case(revoke, "an account that is not there", false, nobody),
    ]
}

fn policies() -> Vec<Case> {
    let update = "AccountService/UpdatePolicy";
    let fields = &[
        "requests_per_minute",
        "concurrent_requests",
        "daily_token_budget",
        "weekly_token_budget",
        "tool_window",
        "max_keys",
        "prune_mode",
        "account_requests_per_minute",
        "account_concurrent_requests",
        "account_daily_token_budget",
        "account_weekly_token_budget",
    ];
    let set = |value: i64| {
        move |turn: &Turn| v1::UpdatePolicyRequest {
            account_id: turn.account.clone(),
            requests_per_minute: Some(value),
            concurrent_requests: Some(value),
            daily_token_budget: Some(value),
            weekly_token_budget: Some(value),
            tool_window: Some(value),
            prune_mode: Some(v1::PruneMode::Balanced.into()),
            max_keys: None,
            account_requests_per_minute: Some(value),
            account_concurrent_requests: Some(value),
            account_daily_token_budget: Some(value),
            account_weekly_token_budget: Some(value),
            update_mask: mask(fields),
        }
    };
    let nobody = |_: &Turn| v1::UpdatePolicyRequest {
        account_id: NOBODY.into(),
        requests_per_minute: Some(1),
        update_mask: mask(&["requests_per_minute"]),
        ..Default::default()
    };
    vec![
        // Every door but the first finds the values so already, and no change of the revision.
        case(update, "every field", true, set(7)),
        case(update, "negative numbers", false, set(-1)),
        case(update, "an account that is not there", false, nobody),
    ]
}
