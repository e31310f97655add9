//! A connection of the load: sends what is there already, and reads as much of an answer as says that it is right.

use std::{io, net::SocketAddr};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wire::{self, Unframed};

/// A kept connection.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    body: usize,
    unframed: Unframed,
}

/// What an answer was.
#[derive(Default)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The length of a body that is no stream.
    pub(crate) length: Option<usize>,
    /// When the first chunk that has a time came.
    pub(crate) first: Option<u64>,
    /// How long each of those took from the mock to here, in nanoseconds.
    pub(crate) transits: Vec<u64>,
}

impl Connection {
    /// A new connection.
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(1 << 14), body: 0, unframed: Unframed::default() })
    }

    /// A request and its answer, read to the end.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.buffer.clear();
        self.socket.write_all(request).await?;
        let head = wire::head(&mut self.socket, &mut self.buffer).await?;
        let head = head.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.body = head.end;
        let status = self.buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let mut answer = Answer { status: status.unwrap_or(0), length: head.length, ..Answer::default() };
        match head.length {
            Some(length) => wire::until(&mut self.socket, &mut self.buffer, head.end + length).await?,
            None => self.chunks(&mut answer).await?,
        }
        Ok(answer)
    }

    /// Reads a chunked body, and looks for the times in it.
    async fn chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        let mut looked = 0;
        self.unframed.begin(self.body);
        loop {
            let now = wire::now();
            self.unframed.take(&self.buffer);
            while let Some((sent, end)) = mark(&self.unframed.body, looked) {
                answer.first.get_or_insert(now);
                answer.transits.push(now.saturating_sub(sent));
                looked = end;
            }
            if self.unframed.ended {
                return Ok(());
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, answer: &Answer) -> &[u8] {
        if answer.length.is_some() { &self.buffer[self.body..] } else { &self.unframed.body }
    }
}

/// The next time that was written into a chunk, and where it ends.
fn mark(buffer: &[u8], from: usize) -> Option<(u64, usize)> {
    let start = from + memmem::find(&buffer[from..], wire::MARK)? + wire::MARK.len();
    let digits = buffer.get(start..start + 16)?;
    Some((u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, start + 16))
}

/// Asks the mock something by a path of its own, or a candidate for a page.
pub(crate) async fn get(from: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut connection = Connection::open(from).await?;
    let answer = connection.send(format!("GET {path} HTTP/1.1\r\nhost: {from}\r\n\r\n").as_bytes()).await?;
    Ok(connection.body(&answer).to_vec())
}
