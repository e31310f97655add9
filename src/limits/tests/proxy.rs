//! A way to Redis that can be slowed, stalled or cut.
//!
//! Between these tests and the real server, so that what they see is a network's doing and not a double's.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::spawn;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Bytes pass.
    Open,
    /// Bytes pass so much later.
    Slow(Duration),
    /// Connections are taken, and nothing passes any more.
    Stalled,
    /// Connections are closed.
    Cut,
}

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    way: watch::Sender<Way>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let task = spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(passed(client, server.clone(), seen.clone()));
            }
        });
        Self { address, way, task }
    }

    pub(super) fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection never comes back from a stall: a fresh one is needed.
async fn passed(mut client: TcpStream, server: String, mut way: watch::Receiver<Way>) {
    let ends = |way: &Way| matches!(way, Way::Stalled | Way::Cut);
    let opened = *way.borrow_and_update();
    let ended = if ends(&opened) {
        opened
    } else {
        let mut server = TcpStream::connect(server).await.unwrap();
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let seen = way.clone();
        tokio::select! {
            () = pump(from_client, to_server, &seen) => return,
            () = pump(from_server, to_client, &seen) => return,
            ended = way.wait_for(ends) => *ended.unwrap(),
        }
    };
    if ended == Way::Stalled {
        // Held open until the test ends.
        std::future::pending::<()>().await;
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, way: &watch::Receiver<Way>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let now = *way.borrow();
        if let Way::Slow(by) = now {
            sleep(by).await;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
