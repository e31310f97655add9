//! Event streams as two kinds of clients read them: by the rules (WHATWG), from all of the bytes at once, and line by
//! line, as many small clients do.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event: its name, and its data in one.
pub(super) type Event = (Vec<u8>, Vec<u8>);

/// The events of a stream, and what stands after the last of them, as if it had ended.
pub(super) fn events(stream: &[u8]) -> (Vec<Event>, Option<Event>) {
    let stream = stream.strip_prefix(BYTE_ORDER_MARK).unwrap_or(stream);
    let (mut events, mut name, mut data) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    for (line, ended) in lines(stream) {
        if line.is_empty() && ended {
            let name = std::mem::take(&mut name);
            events.extend(data.take().map(|data| (name, data)));
            continue;
        }
        if let Some(value) = value_of(line, b"data") {
            let data = data.get_or_insert_default();
            data.extend_from_slice(value);
            data.push(b'\n');
        } else if let Some(value) = value_of(line, b"event") {
            name = value.to_vec();
        }
    }
    let last = data.map(|data| (name, data));
    let without_last_feed = |(name, mut data): Event| {
        data.pop();
        (name, data)
    };
    (events.into_iter().map(without_last_feed).collect(), last.map(without_last_feed))
}

/// The `data` of each line by itself.
pub(super) fn data_lines(stream: &[u8]) -> Vec<Vec<u8>> {
    let stream = stream.strip_prefix(BYTE_ORDER_MARK).unwrap_or(stream);
    lines(stream).iter().filter_map(|(line, _)| Some(value_of(line, b"data")?.to_vec())).collect()
}

/// Each line, and whether something ends it.
pub(super) fn lines(stream: &[u8]) -> Vec<(&[u8], bool)> {
    let (mut lines, mut start, mut at) = (Vec::new(), 0, 0);
    while at < stream.len() {
        let end = match &stream[at..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        if end > 0 {
            lines.push((&stream[start..at], true));
            start = at + end;
        }
        at += end.max(1);
    }
    if start < stream.len() {
        lines.push((&stream[start..], false));
    }
    lines
}

/// The value of a line, where it is that of this field.
fn value_of<'a>(line: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(field)? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}
