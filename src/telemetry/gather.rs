//! Lines of the log that go out together: a write for each would be a system call for each request.
//!
//! Nothing is waited for. A worker of tokio's keeps its lines until it has no more to do just now, which is when it says
//! so (`on_thread_park`): a server at rest writes each line at once, and a busy one, seen with strace, those of
//! fifteen requests with one call. What is a warning or worse, and what any other thread says, goes out at once. A process that is killed loses what
//! its workers were in the middle of.

use std::{
    cell::RefCell,
    io::{self, Write},
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes are kept at most: some twenty lines.
const ENOUGH: usize = 8 * 1024;

/// Writes lines to standard error so.
pub(super) struct Gathered;

/// One line on its way.
pub(super) struct Line {
    urgent: bool,
}

thread_local! {
    /// The lines of this thread. What is left is written when it ends.
    static KEPT: RefCell<Kept<io::Stderr>> = RefCell::new(Kept::new(io::stderr()));
}

/// Writes what this thread has kept. For a runtime to call whenever one of its workers is about to wait.
pub fn write_kept_lines() {
    // A thread that is being ended has written it already.
    let _ = KEPT.try_with(|kept| kept.borrow_mut().rest());
}

impl<'a> MakeWriter<'a> for Gathered {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { urgent: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { urgent: *metadata.level() <= Level::WARN }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match KEPT.try_with(|kept| kept.borrow_mut().add(line, self.urgent)) {
            Ok(written) => written.map(|()| line.len()),
            Err(_) => io::stderr().write_all(line).map(|()| line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that wait for others.
struct Kept<W: Write> {
    to: W,
    lines: Vec<u8>,
    /// Whether this thread says when it has no more to do.
    rests: bool,
}

impl<W: Write> Kept<W> {
    const fn new(to: W) -> Self {
        Self { to, lines: Vec::new(), rests: false }
    }

    fn add(&mut self, line: &[u8], urgent: bool) -> io::Result<()> {
        self.lines.extend_from_slice(line);
        if urgent || !self.rests || self.lines.len() >= ENOUGH { self.write() } else { Ok(()) }
    }

    /// The thread has no more to do just now.
    fn rest(&mut self) {
        self.rests = true;
        if !self.lines.is_empty() {
            let _ = self.write();
        }
    }

    /// Of what cannot be written nothing is kept.
    fn write(&mut self) -> io::Result<()> {
        let written = self.to.write_all(&self.lines);
        self.lines.clear();
        written
    }
}

impl<W: Write> Drop for Kept<W> {
    fn drop(&mut self) {
        let _ = self.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, a piece a call.
    #[derive(Default)]
    struct Calls<'a>(Option<&'a RefCell<Vec<String>>>);

    impl Write for Calls<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let calls = self.0.ok_or_else(|| io::Error::other("closed"))?;
            calls.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_thread_that_never_rests_writes_each_line_at_once() {
        let calls = RefCell::default();
        let mut kept = Kept::new(Calls(Some(&calls)));
        ["a\n", "b\n"].into_iter().for_each(|line| kept.add(line.as_bytes(), false).unwrap());
        assert_eq!(*calls.borrow(), ["a\n", "b\n"]);
    }

    #[test]
    fn a_worker_writes_its_lines_together_and_in_order() {
        let calls = RefCell::default();
        let mut kept = Kept::new(Calls(Some(&calls)));
        kept.rest();
        let mut add = |line: &str, urgent| kept.add(line.as_bytes(), urgent).unwrap();
        add("a\n", false);
        add("b\n", false);
        assert!(calls.borrow().is_empty());
        add("warning\n", true);
        assert_eq!(calls.take(), ["a\nb\nwarning\n"]);
        add("c\n", false);
        kept.rest();
        assert_eq!(calls.take(), ["c\n"]);
        kept.rest();
        assert!(calls.borrow().is_empty(), "nothing is written when there is nothing");
        kept.add(b"d\n", false).unwrap();
        drop(kept);
        assert_eq!(calls.take(), ["d\n"], "the end of the thread");
    }

    #[test]
    fn no_more_is_kept_than_is_enough_and_what_cannot_be_written_is_not_kept() {
        let calls = RefCell::default();
        let mut kept = Kept::new(Calls(Some(&calls)));
        kept.rest();
        let line = "x".repeat(100);
        for _ in 0..1_000 {
            kept.add(line.as_bytes(), false).unwrap();
            assert!(kept.lines.len() < ENOUGH);
        }
        kept.rest();
        assert_eq!(calls.take().concat().len(), 100_000);

        let mut kept = Kept::new(Calls::default());
        kept.rest();
        assert!(kept.add(line.as_bytes(), true).is_err());
        assert!(kept.lines.is_empty());
    }
}
