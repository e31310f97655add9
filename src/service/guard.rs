//! Who may call what: read from the descriptor, enforced before anything of a request's body is looked at.
//!
//! Every protocol comes through `Guard::admit`: gRPC and gRPC-Web by the layer below, REST by the transcoder's
//! `authorize`. A service method finds its caller in the request; when it does not, because someone mounted it
//! without the guard, it answers `INTERNAL`, never with full access.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use foldhash::HashMap;
use http::{Extensions, HeaderMap};
use prost_reflect::{DescriptorPool, MethodDescriptor, Value};
use tonic::Status;
use tower::{Layer, Service};

use crate::{
    auth::Authenticator,
    chat::Arrivals,
    clock::SharedClock,
    domain::{
        audit::Action,
        caller::{AccountCell, Caller},
        key::Scope,
    },
    limits::{self, Place, RateLimiter, Rules},
    service::{
        Failure, Reason,
        admitted::Admitted,
        auditor::{Attempt, Auditor},
        chat::{COMPLETIONS, EXPLAIN},
        failures,
        visit::Visit,
    },
    telemetry::LoggedCaller,
};

/// The package whose methods are guarded.
const PACKAGE: &str = "orqen.v1";

/// What a method needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Any valid credential that acts for an account.
    Any,
    /// This scope.
    Scope(Scope),
    /// An operator's JWT.
    Operator,
}

impl Requirement {
    pub(super) fn check(self, caller: &Caller) -> Result<(), Failure> {
        match self {
            Requirement::Operator if caller.is_operator() => Ok(()),
            Requirement::Operator => Err(Failure::new(
                Reason::InsufficientScope,
                "this call is for operators: use a JWT of the configured issuer with the scope `operator`, or the \
                 commands `orqen account` and `orqen key` on the server",
            )),
            _ if caller.account().is_none() => Err(Failure::new(
                Reason::InsufficientScope,
                "the token acts for no account: have it issued with the claim `account`",
            )),
            Requirement::Any => Ok(()),
            Requirement::Scope(scope) if caller.holds(scope) => Ok(()),
            Requirement::Scope(scope) => Err(Failure::new(
                Reason::InsufficientScope,
                format!(
                    "this call needs the scope `{0}`: use a key that has `{0}` among its scopes",
                    scope.as_str()
                ),
            )),
        }
    }
}

/// What is known of a method before it is called.
#[derive(Debug, Clone, Copy)]
struct Guarding {
    requirement: Requirement,
    /// What it does, if it changes something.
    action: Option<Action>,
}

/// A method whose `orqen.v1.access` option is missing or says nothing. Stops the start.
#[derive(Debug, thiserror::Error)]
#[error("method {0} does not say what it requires: give it the option orqen.v1.access")]
pub struct Unguarded(String);

/// Decides who may call which method.
pub struct Guard {
    methods: HashMap<String, Guarding>,
    authenticator: Arc<Authenticator>,
    /// In this process: what it bounds is small, and must not wait for anything.
    limiter: RateLimiter,
    rules: Rules,
    /// Who opens the records of chat requests.
    arrivals: Arrivals,
    /// Who writes down what was refused.
    auditor: Arc<Auditor>,
    clock: SharedClock,
}

impl Guard {
    /// A guard for every method of `orqen.v1` in `pool`, of which those that are not chat take `requests_per_minute`
    /// of one key, and those that complete a chat leave a record. A refusal of one that changes something leaves an event.
    pub fn new(
        pool: &DescriptorPool,
        authenticator: Arc<Authenticator>,
        requests_per_minute: Option<i64>,
        (arrivals, auditor): (Arrivals, Arc<Auditor>),
        clock: SharedClock,
    ) -> Result<Self, Unguarded> {
        let methods = pool
            .services()
            .filter(|service| service.package_name() == PACKAGE)
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| {
                let requirement =
                    requirement(&method).ok_or_else(|| Unguarded(method.full_name().to_owned()))?;
                let guarding = Guarding { requirement, action: Action::of_method(method.name()) };
                Ok((format!("/{}/{}", method.parent_service().full_name(), method.name()), guarding))
            })
            .collect::<Result<_, Unguarded>>()?;
        let limiter = RateLimiter::in_process(|_, _| std::future::ready(Ok(0)));
        let rules = Rules { requests_per_minute, ..Rules::UNLIMITED };
        Ok(Self { methods, authenticator, limiter, rules, arrivals, auditor, clock })
    }

    /// The caller behind `headers`, if it may call the method at `path` (`/orqen.v1.KeyService/CreateKey`).
    pub async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Admitted, Failure> {
        let Some(Guarding { requirement, action }) = self.methods.get(path).copied() else {
            return Err(Failure::new(Reason::RouteNotFound, format!("there is no method {path}")));
        };
        let mut credentials = headers.get_all(http::header::AUTHORIZATION).iter();
        let credential = credentials.next().map(http::HeaderValue::as_bytes);
        if credentials.next().is_some() {
            // Two readers could choose differently: the one that checks and the one that logs.
            return Err(Failure::new(
                Reason::InvalidApiKey,
                "the request has more than one Authorization header: send one",
            ));
        }
        let visit = extensions.get::<Visit>();
        let caller = self.authenticator.authenticate(credential, visit.map(|visit| visit.source)).await?;
        if let Some(visit) = visit {
            fits(&visit.place, &caller)?;
            visit.log.fill(LoggedCaller {
                account: caller.account().map(|account| account.id),
                key: caller.key().cloned(),
                token: caller.token().map(|token| token.id),
            });
        }
        // Before the refusal, which may be written down: whoever is refused all the time must not get that for free.
        if requirement != Requirement::Scope(Scope::Chat) || path == EXPLAIN {
            Box::pin(self.limit(&caller)).await?;
        }
        let request_id = visit.map(|visit| visit.id);
        if let Err(failure) = requirement.check(&caller) {
            if let Some(action) = action {
                let attempt = Attempt::new(&caller, caller.actor(request_id), action);
                Box::pin(self.auditor.refused(attempt, &failure)).await;
            }
            return Err(failure);
        }
        let arrival = match COMPLETIONS.contains(&path) {
            true => {
                let id = request_id.ok_or_else(|| {
                    Failure::internal("a request without an id: it came past the front door")
                })?;
                self.arrivals.let_in(id, &caller, self.clock.now())
            }
            false => None,
        };
        Ok(Admitted::new((caller, request_id), requirement, Arc::clone(&self.clock), arrival))
    }

    /// How many calls of account routes were over their limit since the start.
    pub fn refused(&self) -> u64 {
        self.limiter.stats().refused.requests
    }

    /// How many refused attempts are not in the audit trail.
    pub fn refusals_unwritten(&self) -> u64 {
        self.auditor.unwritten()
    }

    /// Takes a call to anything but chat, which has limits of its own, from the rate of its caller. An explanation is
    /// none of chat's: whoever asks why must neither use up what its agent needs nor work past every limit. Operators
    /// without an account have none.
    async fn limit(&self, caller: &Caller) -> Result<(), Failure> {
        let Some(account) = caller.account() else { return Ok(()) };
        let ask = limits::Ask {
            account: account.id,
            key: caller.key_id(),
            key_rules: self.rules,
            account_rules: Rules::UNLIMITED,
            now: self.clock.now(),
        };
        match self.limiter.admit(&ask).await {
            Ok(_) => Ok(()),
            Err(refusal) => Err(failures::account_routes(refusal)),
        }
    }
}

/// Whether there is room for one more request of the caller.
fn fits(place: &Place, caller: &Caller) -> Result<(), Failure> {
    let owner = caller.key_id().map(|key| key.0).or_else(|| caller.account().map(|account| account.id.0));
    match owner {
        Some(owner) if !place.is_of(owner) => Err(Failure::new(
            Reason::Overloaded,
            "the server is crowded, and more than an eighth of what it takes is yours already: try again in a second",
        )),
        _ => Ok(()),
    }
}

/// What the option `orqen.v1.access` of a method says.
fn requirement(method: &MethodDescriptor) -> Option<Requirement> {
    let extension = method.parent_pool().get_extension_by_name("orqen.v1.access")?;
    let options = method.options();
    let access = options.get_extension(&extension);
    let requires = access.as_message()?.get_field_by_name("requires")?.into_owned();
    let Value::EnumNumber(number) = requires else { return None };
    use crate::proto::v1::Requirement as Proto;
    match Proto::try_from(number).ok()? {
        Proto::Unspecified => None,
        Proto::Any => Some(Requirement::Any),
        Proto::Chat => Some(Requirement::Scope(Scope::Chat)),
        Proto::Keys => Some(Requirement::Scope(Scope::Keys)),
        Proto::Usage => Some(Requirement::Scope(Scope::Usage)),
        Proto::Operator => Some(Requirement::Operator),
    }
}

/// The account that an admitted caller acts for: only operators' calls are open to callers without one.
pub(super) fn account(caller: &Caller) -> Result<&Arc<AccountCell>, Failure> {
    caller.account().ok_or_else(|| Failure::internal("a caller without an account passed the guard"))
}

/// Why a call was refused, by a service or by tonic before it.
fn reason(answer: &HeaderMap) -> Reason {
    Status::from_header_map(answer).map_or(Reason::Internal, |status| Failure::from_status(&status).reason())
}

/// Puts the guard before gRPC routes.
#[derive(Clone)]
pub struct GuardLayer(pub Arc<Guard>);

/// A gRPC service behind the guard.
#[derive(Clone)]
pub struct Guarded<S> {
    guard: Arc<Guard>,
    inner: S,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: Arc::clone(&self.0), inner }
    }
}

impl<S, B> Service<http::Request<B>> for Guarded<S>
where
    S: Service<http::Request<B>, Response = http::Response<tonic::body::Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let guard = Arc::clone(&self.guard);
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match guard.admit(request.uri().path(), request.headers(), request.extensions()).await {
                Ok(admitted) => {
                    request.extensions_mut().insert(admitted.clone());
                    let answer = inner.call(request).await?;
                    admitted.refused(|| reason(answer.headers()));
                    Ok(answer)
                }
                Err(failure) => Ok(Status::from(failure).into_http()),
            }
        })
    }
}
