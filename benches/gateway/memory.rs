//! Resident memory: idle, with a thousand streams open, and after they have gone.

use std::{net::SocketAddr, time::Duration};

use tokio::{task::JoinSet, time};

use crate::{
    candidate::{Candidate, SUMS},
    client::{self, Connection},
    payload::{self, Size},
    procs,
};

const STREAMS: usize = 1_000;
/// Each stream goes on for eight seconds, which is longer than all of them take to be opened.
const STREAM: &str = "/set?chunks=40&pause_us=200000";

/// How long after the last of them it is looked at again: soon, and once no connection waits any more for the next request.
const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(60);

/// What a candidate holds, in MiB.
pub(crate) struct Memory {
    /// Before anything was asked of it.
    pub(crate) idle: f64,
    /// With all streams open.
    pub(crate) streaming: f64,
    /// `SOON` and `LATER` after the last of them.
    pub(crate) after: [f64; 2],
    /// Streams that did not come to their end.
    pub(crate) errors: usize,
}

/// Measures the candidates that take part in everything, one after the other; `None` for one that is not there.
pub(crate) async fn measured(candidates: &[Candidate], mock: SocketAddr) -> Vec<Option<Memory>> {
    client::get(mock, STREAM).await.unwrap();
    let mut all = Vec::new();
    for candidate in &candidates[..SUMS] {
        all.push(match candidate.address {
            Some(to) => Some(of(candidate, to).await),
            None => None,
        });
    }
    println!("memory is done");
    all
}

/// Opens the streams over two seconds, and looks again once all are there.
async fn of(candidate: &Candidate, to: SocketAddr) -> Memory {
    let idle = procs::resident_mib(candidate.id());
    let request = payload::request(to, candidate.key.as_deref(), &payload::bodies(Size::Small, true)[0]);
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let request = request.clone();
        streams.spawn(async move {
            let mut connection = Connection::open(to).await.ok()?;
            let answer = connection.send(&request).await.ok()?;
            (answer.status == 200 && answer.transits.len() == 40).then_some(())
        });
        time::sleep(Duration::from_millis(2)).await;
    }
    time::sleep(Duration::from_secs(2)).await;
    let streaming = procs::resident_mib(candidate.id());
    let whole = async {
        let mut whole = 0;
        while let Some(stream) = streams.join_next().await {
            whole += usize::from(stream.is_ok_and(|stream| stream.is_some()));
        }
        whole
    };
    let whole = time::timeout(Duration::from_secs(30), whole).await.unwrap_or(0);
    time::sleep(SOON).await;
    let soon = procs::resident_mib(candidate.id());
    time::sleep(LATER - SOON).await;
    let after = [soon, procs::resident_mib(candidate.id())];
    Memory { idle, streaming, after, errors: STREAMS - whole }
}
