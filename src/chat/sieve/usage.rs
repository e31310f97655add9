//! The event of a stream that tells its usage and nothing else: the provider's last, without a choice.

use crate::{
    chat::{glance::tells_usage, sse::SseReader, watch::members},
    domain::json::{Invalid, Kind, Scanner},
};

/// How deep an event is followed.
const DEPTH: usize = 64;

/// Whether this event has figures of usage and no choice. The empty line after it may be missing.
pub(super) fn is_usage_alone(event: &[u8]) -> bool {
    if !tells_usage(event) {
        return false;
    }
    let mut events = Vec::new();
    let mut reader = SseReader::new();
    let read = reader.push(event, &mut events).and_then(|()| reader.push(b"\n\n", &mut events));
    read.is_ok() && events.iter().any(|event| holds_usage_alone(&event.data).unwrap_or(false))
}

fn holds_usage_alone(json: &[u8]) -> Result<bool, Invalid> {
    let mut scan = Scanner::new(json, DEPTH)?;
    let (mut usage, mut choices) = (false, None);
    members(&mut scan, |scan, name| match name {
        "usage" => {
            usage = scan.kind()? == Kind::Object;
            scan.skip().map(drop)
        }
        "choices" if scan.kind()? == Kind::Array => {
            let mut number = 0;
            scan.array(|scan, _| {
                number += 1;
                scan.skip().map(drop)
            })?;
            choices = Some(number);
            Ok(())
        }
        _ => scan.skip().map(drop),
    })?;
    Ok(usage && choices == Some(0))
}
