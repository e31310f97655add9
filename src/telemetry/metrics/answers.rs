//! Answers at the door, by what they were asked in and their HTTP status: also those that never become a record,
//! such as a refused credential.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{CLASSES, place};
use crate::telemetry::Protocol;

const PROTOCOLS: [Protocol; 3] = [Protocol::Rest, Protocol::Grpc, Protocol::GrpcWeb];

/// One counter for each pair, found by its place: a family's own look-up would take a lock that all requests share.
#[derive(Debug)]
pub(super) struct Answers([[Counter; CLASSES.len()]; PROTOCOLS.len()]);

impl Answers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::<[(&'static str, &'static str); 2], Counter>::default();
        let counters = PROTOCOLS.map(|protocol| {
            CLASSES.map(|class| {
                family.get_or_create_owned(&[("protocol", protocol.as_str()), ("status", class)])
            })
        });
        let help = "Answers of the port by protocol and HTTP status; gRPC says its own status in trailers";
        registry.register("http_responses", help, family);
        Self(counters)
    }

    pub(super) fn add(&self, protocol: Protocol, status: u16) {
        let row = match protocol {
            Protocol::Rest => &self.0[0],
            Protocol::Grpc => &self.0[1],
            Protocol::GrpcWeb => &self.0[2],
        };
        row[place(status)].inc();
    }
}
