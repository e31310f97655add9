//! A refusal as it was told, whichever protocol told it; and the table of section 8 of the contract, written a second
//! time, so that a slip in the server's is seen.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::rest::Answer;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// `error.code`, which is `ErrorInfo.reason` in lower case.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

/// Every error: its code, HTTP status, gRPC code and OpenAI's word.
const TABLE: &[(&str, u16, Code, &str)] = &[
    ("invalid_api_key", 401, Code::Unauthenticated, "authentication_error"),
    ("api_key_expired", 401, Code::Unauthenticated, "authentication_error"),
    ("api_key_disabled", 401, Code::Unauthenticated, "authentication_error"),
    ("api_key_revoked", 401, Code::Unauthenticated, "authentication_error"),
    ("insufficient_scope", 403, Code::PermissionDenied, "permission_error"),
    ("tool_not_allowed", 403, Code::PermissionDenied, "permission_error"),
    ("privilege_escalation", 403, Code::PermissionDenied, "permission_error"),
    ("invalid_request_error", 400, Code::InvalidArgument, "invalid_request_error"),
    ("key_not_found", 404, Code::NotFound, "not_found_error"),
    ("account_not_found", 404, Code::NotFound, "not_found_error"),
    ("request_not_found", 404, Code::NotFound, "not_found_error"),
    ("model_not_found", 404, Code::NotFound, "not_found_error"),
    ("route_not_found", 404, Code::NotFound, "not_found_error"),
    ("method_not_allowed", 405, Code::Unimplemented, "invalid_request_error"),
    ("conflict", 409, Code::Aborted, "invalid_request_error"),
    ("request_too_large", 413, Code::ResourceExhausted, "invalid_request_error"),
    ("unsupported_media_type", 415, Code::InvalidArgument, "invalid_request_error"),
    ("key_limit_exceeded", 429, Code::ResourceExhausted, "rate_limit_error"),
    ("rate_limit_exceeded", 429, Code::ResourceExhausted, "rate_limit_error"),
    ("concurrency_limit_exceeded", 429, Code::ResourceExhausted, "rate_limit_error"),
    ("saved_token_limit_exceeded", 429, Code::ResourceExhausted, "rate_limit_error"),
    ("overloaded", 503, Code::Unavailable, "server_error"),
    ("upstream_unreachable", 502, Code::Unavailable, "server_error"),
    ("upstream_credential_rejected", 502, Code::Unavailable, "server_error"),
];

/// The code of an error that is a provider's (the demo's too) and not in our table.
pub(crate) const PROVIDER: &str = "provider_error";

fn row(code: &str) -> (u16, Code, &'static str) {
    let row = TABLE.iter().find(|row| row.0 == code);
    row.map(|row| (row.1, row.2, row.3)).unwrap_or_else(|| panic!("{code} is not in the table"))
}

impl Told {
    /// What a REST answer says, which must be whole and fit the table.
    pub(crate) fn by_rest(answer: &Answer) -> Self {
        let body = answer.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("no error object: {answer:?}"));
        let members: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(members, ["code", "message", "param", "type"], "{answer:?}");
        if error["code"].is_null() {
            return Self { code: PROVIDER.into(), message: error["message"].to_string(), param: None };
        }
        let text = |member: &str| {
            error[member].as_str().unwrap_or_else(|| panic!("{member}: {answer:?}")).to_owned()
        };
        let told = Self {
            code: text("code"),
            message: text("message"),
            param: error["param"].as_str().map(str::to_owned),
        };
        let (http, _, kind) = row(&told.code);
        assert_eq!((answer.status.as_u16(), text("type").as_str()), (http, kind), "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        told
    }

    /// What a gRPC status says, which must be whole and fit the table.
    pub(crate) fn by_grpc(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
        assert_eq!(info.domain, "orqen");
        assert_eq!(info.reason, info.reason.to_uppercase());
        let told = Self {
            code: info.reason.to_lowercase(),
            message: status.message().to_owned(),
            param: info.metadata.get("param").cloned(),
        };
        if told.code == PROVIDER {
            return told;
        }
        assert_eq!(status.code(), row(&told.code).1, "{status:?}");
        told
    }

    /// The same with each of `texts` replaced by a mark, so that answers about two things can be compared.
    pub(crate) fn less(mut self, texts: &[&str]) -> Self {
        for text in texts.iter().filter(|text| !text.is_empty()) {
            self.message = self.message.replace(text, "…");
        }
        self
    }
}
