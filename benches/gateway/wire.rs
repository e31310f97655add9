//! As much of HTTP/1.1 as the mock and the load need: heads with a length, and chunked bodies to their end. By hand, for
//! what drives must cost less than what is measured, or the bench measures itself.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use memchr::memmem;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What comes in a chunk of the mock before the time, in sixteen hexadecimal digits.
pub(crate) const MARK: &[u8] = b"tok@";

/// Where a head ends, and how long the body is, where it says so.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// Its length, the empty line included.
    pub(crate) end: usize,
    /// That of the body.
    pub(crate) length: Option<usize>,
}

/// Reads until `buffer` begins with a whole head; `None` where the other side has gone before one.
pub(crate) async fn head(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Head>> {
    loop {
        if let Some(end) = memmem::find(buffer, b"\r\n\r\n") {
            let length = length(&buffer[..end]);
            return Ok(Some(Head { end: end + 4, length }));
        }
        if socket.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

/// Reads until `buffer` has so many bytes.
pub(crate) async fn until(socket: &mut TcpStream, buffer: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
    buffer.reserve(bytes.saturating_sub(buffer.len()));
    while buffer.len() < bytes {
        if socket.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A chunked body, taken out of its frames as it comes: a proxy may cut and join chunks as it likes.
#[derive(Default)]
pub(crate) struct Unframed {
    at: usize,
    left: usize,
    /// What has come of it.
    pub(crate) body: Vec<u8>,
    /// Whether that is all.
    pub(crate) ended: bool,
}

impl Unframed {
    /// Begins anew, with a body that begins there.
    pub(crate) fn begin(&mut self, at: usize) {
        self.body.clear();
        (self.at, self.left, self.ended) = (at, 0, false);
    }

    /// Takes what is new of all that has been read; `None` where it ends in the middle of a chunk.
    pub(crate) fn take(&mut self, raw: &[u8]) -> Option<()> {
        while !self.ended {
            let rest = raw.get(self.at..)?;
            if self.left > 0 {
                let part = rest.get(..self.left).unwrap_or(rest);
                self.body.extend_from_slice(part);
                (self.at, self.left) = (self.at + part.len(), self.left - part.len());
                if self.left > 0 {
                    return None;
                }
                // The end of the line after it, come or not.
                self.at += 2;
                continue;
            }
            let line = memmem::find(rest, b"\r\n")?;
            self.left = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
            if self.left == 0 {
                rest.get(line + 2..line + 4)?;
                self.ended = true;
            }
            self.at += line + 2;
        }
        Some(())
    }
}

/// The value of `content-length`.
fn length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

/// The time in nanoseconds, on the one clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
