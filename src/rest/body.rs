//! The body on its way in: is it JSON by its headers, and is it here, whole, within its bounds of size and time.
//!
//! Headers are judged before a byte is read, and a declared length that is too large is refused at once.

use std::{error::Error, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use http::{HeaderMap, header};
use http_body_util::BodyExt;

use super::refusal::Refusal;

/// What a body's stream may fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// There is no room for more of the body: what a stream fails with that holds to a bound of everybody's bodies.
#[derive(Debug, thiserror::Error)]
#[error("too much is under way: try again in a second")]
pub struct Crowded;

/// The largest allocation that a declared length alone can cause: of most requests, all of it.
const FIRST_ALLOCATION: usize = 256 * 1024;

/// Whether the headers declare plain JSON. No content type at all counts as JSON.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let shown = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (None, _) => true,
        (Some(only), None) if only == "application/json" => true,
        (Some(only), None) => only.to_str().is_ok_and(is_json),
        (Some(_), Some(_)) => false,
    };
    if !is_json {
        return Err(Refusal::UnsupportedMediaType { given: shown(header::CONTENT_TYPE) });
    }
    let plain = |given: &str, but: &str| {
        given.split(',').all(|coding| {
            let coding = coding.trim();
            coding.is_empty() || coding.eq_ignore_ascii_case(but)
        })
    };
    // A coding that hyper does not undo is a body that the next reader may see otherwise.
    for (name, but) in [(header::CONTENT_ENCODING, "identity"), (header::TRANSFER_ENCODING, "chunked")] {
        if !headers.contains_key(&name) {
            continue;
        }
        let given = shown(name);
        if !plain(&given, but) {
            return Err(Refusal::UnsupportedEncoding { given });
        }
    }
    Ok(())
}

/// Reads the body to its end.
pub(super) async fn read<R>(
    body: &mut R,
    headers: &HeaderMap,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Refusal>
where
    R: http_body::Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let declared = declared.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if declared > limit as u64 || body.size_hint().lower() > limit as u64 {
        return Err(Refusal::TooLarge { limit });
    }
    let mut reading = pin!(collect(body, limit, declared as usize));
    // Most bodies come with their heads: nothing is timed that is there.
    if let Some(read) = poll_immediate(reading.as_mut()).await {
        return read;
    }
    tokio::time::timeout(time, reading).await.unwrap_or(Err(Refusal::BodyTimeout { limit: time }))
}

/// One frame is handed on as it is; only more of them are copied together.
async fn collect<R>(body: &mut R, limit: usize, declared: usize) -> Result<Bytes, Refusal>
where
    R: http_body::Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|broken| broke(broken.into()))?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(declared.min(FIRST_ALLOCATION).max(first.len() + data.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn broke(error: BoxError) -> Refusal {
    if error.is::<Crowded>() { Refusal::Crowded } else { Refusal::BodyUnreadable }
}

/// `application/json` or `application/*+json`, in UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let subtype = media_type.strip_prefix("application/").unwrap_or_default();
    let charset = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    let in_utf8 = charset.is_none_or(|charset| matches!(charset.as_str(), "utf-8" | "utf8"));
    in_utf8 && (subtype == "json" || subtype.strip_suffix("+json").is_some_and(|name| !name.is_empty()))
}
