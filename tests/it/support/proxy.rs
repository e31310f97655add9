//! A way to a server that can be stalled, cut and restored, and that can keep PostgreSQL's notifications back as
//! a pooler does.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::TaskTracker;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// They pass.
    Open,
    /// Connections are taken, and nothing passes any more.
    Stalled,
    /// Connections are closed.
    Cut,
}

/// What the server's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bytes,
    /// Messages of PostgreSQL, in clear text, from which notifications are taken out.
    Unnotified,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: String, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let task = TaskTracker::new().spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(passed(client, server.clone(), kind, seen.clone()));
            }
        });
        Self { address, way, task }
    }

    pub(crate) fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection never comes back from a stall or a cut: a fresh one is needed.
async fn passed(client: TcpStream, server: String, kind: Kind, mut way: watch::Receiver<Way>) {
    let gone = async |way: &mut watch::Receiver<Way>| {
        *way.wait_for(|way| matches!(way, Way::Stalled | Way::Cut)).await.unwrap()
    };
    let exchange = async {
        let Ok(server) = TcpStream::connect(server).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // Whichever ends first ends both.
        tokio::select! {
            () = pump(from_client, to_server) => {}
            () = async {
                match kind {
                    Kind::Bytes => pump(from_server, to_client).await,
                    Kind::Unnotified => unnotified(from_server, to_client).await,
                }
            } => {}
        }
    };
    let mut exchange = Box::pin(exchange);
    let now = *way.borrow_and_update();
    let stopped = match now {
        Way::Stalled | Way::Cut => now,
        _ => tokio::select! {
            () = &mut exchange => return,
            stopped = gone(&mut way) => stopped,
        },
    };
    if stopped == Way::Stalled {
        // Held open until the test ends.
        std::future::pending::<()>().await;
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// A message is its kind, its length with these four bytes, and as many bytes.
async fn unnotified(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    const NOTIFICATION: u8 = b'A';
    loop {
        let mut message = vec![0; 5];
        if from.read_exact(&mut message).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize;
        message.resize(1 + length, 0);
        if from.read_exact(&mut message[5..]).await.is_err() {
            return;
        }
        if message[0] != NOTIFICATION && to.write_all(&message).await.is_err() {
            return;
        }
    }
}
