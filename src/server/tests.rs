//! How long a connection is waited for. Time stands still but for what sleeps.

use http_body_util::Empty;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: orqen\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\n";
/// What handlers take to answer: longer than any head may.
const SLOW: Duration = Duration::from_secs(10 * 120);

/// A connection to a server whose handler is slow, and what tells that server to stop.
fn connected() -> (DuplexStream, oneshot::Sender<()>) {
    let (ours, theirs) = duplex(1 << 16);
    let handler = |_: Request<Incoming>, _: SocketAddr| async {
        tokio::time::sleep(SLOW).await;
        Response::new(Empty::<Bytes>::new())
    };
    let (stop, stopped) = oneshot::channel();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    TaskTracker::new().spawn(speak(theirs, peer, Arc::new(handler), stopped));
    (ours, stop)
}

/// What comes until the connection is closed, and how long that took.
async fn rest(mut connection: DuplexStream) -> (String, Duration) {
    let (mut all, began) = (Vec::new(), Instant::now());
    connection.read_to_end(&mut all).await.unwrap();
    (String::from_utf8_lossy(&all).into_owned(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_hung_up_on() {
    for said in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: or", b"PRI * HTTP/2.0\r\n"] {
        let (mut connection, _stop) = connected();
        connection.write_all(said).await.unwrap();
        let (came, took) = rest(connection).await;
        assert!(!came.contains("200"), "{said:?}: {came}");
        assert!((HEAD_TIMEOUT..HEAD_TIMEOUT + Duration::from_secs(1)).contains(&took), "{said:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_is_not_waited_for_longer_because_it_comes_in_drops() {
    let (connection, _stop) = connected();
    let (reading, mut writing) = tokio::io::split(connection);
    let dripping = async {
        for byte in b"GET / HTTP/1.1\r\nhost: a-long-name-of-a-host-that-comes-in-drops\r\n".iter().cycle() {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(HEAD_TIMEOUT / 20).await;
        }
    };
    let began = Instant::now();
    let mut reading = reading;
    let mut all = Vec::new();
    tokio::select! {
        () = dripping => {}
        read = reading.read_to_end(&mut all) => drop(read.unwrap()),
    }
    assert!(began.elapsed() < HEAD_TIMEOUT * 11 / 10, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_its_time_and_the_next_head_has_all_of_its_own() {
    let (mut connection, _stop) = connected();
    let mut answer = [0; ANSWER.len()];
    for _ in 0..3 {
        connection.write_all(REQUEST).await.unwrap();
        let began = Instant::now();
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer, began.elapsed() >= SLOW), (&ANSWER.as_bytes().try_into().unwrap(), true));
        tokio::time::sleep(HEAD_TIMEOUT * 9 / 10).await;
        let mut rest = vec![0; 1 << 12];
        let came = connection.read(&mut rest).await.unwrap();
        assert!(came > 0, "the rest of the head");
    }
    let (came, took) = rest(connection).await;
    assert_eq!(came, "");
    assert!(took <= HEAD_TIMEOUT / 5, "the rest of what the next head had: {took:?}");
}
