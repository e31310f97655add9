//! A way to Redis that can be stalled or cut.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::spawn;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Bytes pass.
    Open,
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

/// A connection lives as it was opened, and never comes back from a stall: a fresh one is needed.
async fn passed(mut client: TcpStream, server: String, mut way: watch::Receiver<Way>) {
    let now = *way.borrow_and_update();
    if now == Way::Open {
        let mut server = TcpStream::connect(server).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = way.changed() => {}
        }
    }
    let now = *way.borrow_and_update();
    if now == Way::Stalled {
        // Held open until the test ends.
        std::future::pending::<()>().await;
    }
}
