//! What the front door knows of a request, for whoever decides about it: one value among the request's extensions, since
//! each costs an allocation and a place in a map.

use crate::{
    auth::Source,
    limits::Place,
    telemetry::{CallerSlot, RequestId},
};

/// A request that came in by the front door.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Its id.
    pub id: RequestId,
    /// Where its log learns who called.
    pub log: CallerSlot,
    /// Where it came from.
    pub source: Source,
    /// Its place among what is under way.
    pub place: Place,
}
