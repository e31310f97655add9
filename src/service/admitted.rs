//! What the guard lets through: the proof that a caller may make its call, which the services ask for, and of a chat
//! request the record that is open from then on.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::Status;

use crate::{
    chat::Arrival,
    clock::SharedClock,
    domain::{audit::Actor, caller::Caller, request_id::RequestId},
    service::{Failure, Reason, guard::Requirement},
};

/// A caller that was let in by the headers of its request. Clones are one and the same.
#[derive(Clone)]
pub struct Admitted {
    caller: Caller,
    request_id: Option<RequestId>,
    requirement: Requirement,
    clock: SharedClock,
    /// Of a chat request, until the pipeline takes it or it is refused.
    arrival: Option<Arc<Mutex<Option<Arrival>>>>,
}

/// A call that changes something: its caller, and how the audit trail names him.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) actor: Actor,
}

impl Admitted {
    pub(super) fn new(
        (caller, request_id): (Caller, Option<RequestId>),
        requirement: Requirement,
        clock: SharedClock,
        arrival: Option<Arrival>,
    ) -> Self {
        let arrival = arrival.map(|arrival| Arc::new(Mutex::new(Some(arrival))));
        Self { caller, request_id, requirement, clock, arrival }
    }

    /// The caller, if it would be let in now too. To be asked once the whole request is there: a key that was
    /// revoked or narrowed while its body trickled in must not act by what it once was.
    pub fn now(&self) -> Result<Caller, Failure> {
        let caller = self.caller.at(self.clock.now())?;
        self.requirement.check(&caller)?;
        Ok(caller)
    }

    /// The chat request, for the pipeline.
    pub(super) fn arrival(&self) -> Result<Arrival, Failure> {
        self.take()
            .ok_or_else(|| Failure::internal("a chat request without a record: it is none of COMPLETIONS"))
    }

    /// Says that the call was answered. A chat request that is still here never reached the pipeline: it was refused,
    /// and `why` is asked for the reason.
    pub(super) fn refused(&self, why: impl FnOnce() -> Reason) {
        if let Some(arrival) = self.take() {
            arrival.refused(why().http().as_u16());
        }
    }

    fn take(&self) -> Option<Arrival> {
        self.arrival.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The proof that the guard let a request through.
pub(super) fn admitted<T>(request: &tonic::Request<T>) -> Result<&Admitted, Failure> {
    request.extensions().get::<Admitted>().ok_or_else(|| {
        Failure::internal("a method was called past the guard: it is mounted without the guard's layer")
    })
}

/// The caller that the guard let through.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    Ok(admitted(request)?.now()?)
}

/// The same, of a call that changes something.
pub(super) fn call<T>(request: &tonic::Request<T>) -> Result<Call, Status> {
    let admitted = admitted(request)?;
    let caller = admitted.now()?;
    let actor = caller.actor(admitted.request_id);
    Ok(Call { caller, actor })
}
