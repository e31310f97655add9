//! Percent-decoding of path segments and query parameters, once and strictly: a stray `%` or bytes that are no
//! UTF-8 are told apart from text, where the lenient decoders of the field pass them through.

/// A path segment.
pub(super) fn decode(text: &str) -> Option<String> {
    bytes(text, false)
}

/// A query parameter's name or value, in which `+` is a space.
pub(super) fn decode_query(text: &str) -> Option<String> {
    bytes(text, true)
}

/// A name for a message, decoded if it can be.
pub(super) fn lossy(text: &str) -> String {
    decode_query(text).unwrap_or_else(|| text.to_owned())
}

fn bytes(text: &str, plus_is_space: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
