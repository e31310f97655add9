//! The words for what can go wrong, each with its HTTP status, its gRPC code and OpenAI's word for the status: the
//! table that REST and gRPC share.
//!
//! The HTTP status is a column of its own and not derived from the gRPC code, which several reasons share.

use http::StatusCode;
use tonic::Code;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $http:ident, $grpc:ident, $kind:literal;)*) => {
        /// What went wrong, in one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The word: `error.code` in REST; in upper case the reason of gRPC's `ErrorInfo`.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }

            /// The HTTP status.
            pub fn http(self) -> StatusCode {
                match self { $(Reason::$name => StatusCode::$http,)* }
            }

            /// The gRPC code.
            pub fn grpc(self) -> Code {
                match self { $(Reason::$name => Code::$grpc,)* }
            }

            /// OpenAI's word for the status: `error.type`.
            pub fn kind(self) -> &'static str {
                match self { $(Reason::$name => $kind,)* }
            }
        }
    };
}

reasons! {
    /// No credential, a malformed one, or one that nobody was given.
    InvalidApiKey = "invalid_api_key", UNAUTHORIZED, Unauthenticated, "authentication_error";
    /// The key is past its expiry.
    ApiKeyExpired = "api_key_expired", UNAUTHORIZED, Unauthenticated, "authentication_error";
    /// The key is switched off.
    ApiKeyDisabled = "api_key_disabled", UNAUTHORIZED, Unauthenticated, "authentication_error";
    /// The key was revoked.
    ApiKeyRevoked = "api_key_revoked", UNAUTHORIZED, Unauthenticated, "authentication_error";
    /// The credential lacks the scope.
    InsufficientScope = "insufficient_scope", FORBIDDEN, PermissionDenied, "permission_error";
    /// A forced tool is not allowed, or the key's mode is `block`.
    ToolNotAllowed = "tool_not_allowed", FORBIDDEN, PermissionDenied, "permission_error";
    /// Granting more than one holds.
    PrivilegeEscalation = "privilege_escalation", FORBIDDEN, PermissionDenied, "permission_error";
    /// Bad JSON, a bad field, an unknown field, a repeated member.
    InvalidRequest = "invalid_request_error", BAD_REQUEST, InvalidArgument, "invalid_request_error";
    /// No such key in the account.
    KeyNotFound = "key_not_found", NOT_FOUND, NotFound, "not_found_error";
    /// No such account.
    AccountNotFound = "account_not_found", NOT_FOUND, NotFound, "not_found_error";
    /// No such request in the account.
    RequestNotFound = "request_not_found", NOT_FOUND, NotFound, "not_found_error";
    /// No upstream serves the model.
    ModelNotFound = "model_not_found", NOT_FOUND, NotFound, "not_found_error";
    /// No such path.
    RouteNotFound = "route_not_found", NOT_FOUND, NotFound, "not_found_error";
    /// The path does not take this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Unimplemented, "invalid_request_error";
    /// The thing is not in a state that allows it, or a name is taken.
    Conflict = "conflict", CONFLICT, Aborted, "invalid_request_error";
    /// The body took too long to arrive.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, DeadlineExceeded, "invalid_request_error";
    /// The body is larger than it may be.
    RequestTooLarge = "request_too_large", PAYLOAD_TOO_LARGE, ResourceExhausted, "invalid_request_error";
    /// The body is not JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, InvalidArgument, "invalid_request_error";
    /// The key, or its account, has sent as many requests a minute as it may.
    RateLimitExceeded = "rate_limit_exceeded", TOO_MANY_REQUESTS, ResourceExhausted, "rate_limit_error";
    /// The key, or its account, has as many requests under way as it may.
    ConcurrencyLimitExceeded = "concurrency_limit_exceeded", TOO_MANY_REQUESTS, ResourceExhausted, "rate_limit_error";
    /// A budget of saved tokens is spent, and that refuses requests here.
    SavedTokenLimitExceeded = "saved_token_limit_exceeded", TOO_MANY_REQUESTS, ResourceExhausted, "rate_limit_error";
    /// The account has as many keys as it may.
    KeyLimitExceeded = "key_limit_exceeded", TOO_MANY_REQUESTS, ResourceExhausted, "rate_limit_error";
    /// The store cannot be reached.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, Unavailable, "server_error";
    /// Too much at once.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Unavailable, "server_error";
    /// The provider cannot be reached.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, Unavailable, "server_error";
    /// The provider refuses Orqen's own credential.
    UpstreamCredentialRejected = "upstream_credential_rejected", BAD_GATEWAY, Unavailable, "server_error";
    /// The provider is too slow.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, DeadlineExceeded, "server_error";
    /// Our fault.
    Internal = "internal_error", INTERNAL_SERVER_ERROR, Internal, "server_error";
}
