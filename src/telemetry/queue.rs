//! The queue of log lines. Logging must not wait for the reader of the log: a full pipe
//! would block one thread of the broker after the other.
//!
//! The non-blocking writer of `tracing-appender` 0.2.5 would do, except for three things.
//! Its queue is bounded in lines, whatever their length, not in bytes. It counts lost
//! lines, but provides no moment to report them. And its guard, if the queue is full at
//! the end, prints to stdout: if stdout is the same unread pipe, the program never ends.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// The maximum number of waiting bytes; further lines are dropped and counted.
const MOST_WAITING: usize = 1024 * 1024;

/// The time that the end of the program waits for the last lines to be written.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// A queue of lines that its own thread writes. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    is_writing: bool,
    lost: u64,
}

/// Writes the last lines when dropped, unless the reader is stuck.
#[derive(Debug)]
pub struct LogGuard(LineQueue);

impl LineQueue {
    /// Starts a queue and the thread that writes its lines until the program ends.
    pub(super) fn start(mut writer: impl Write + Send + 'static) -> io::Result<(Self, LogGuard)> {
        let queue = Self::default();
        let taken = queue.clone();
        let write = move || {
            loop {
                // Errors cannot be reported here.
                let _ = writer
                    .write_all(&taken.next())
                    .and_then(|()| writer.flush());
                if let Some(lost) = taken.written() {
                    tracing::warn!(lost, "log lines were lost: stderr was not read in time");
                }
            }
        };
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok((queue.clone(), LogGuard(queue)))
    }

    /// Waits for the oldest line.
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.waiting_bytes -= line.len();
                state.is_writing = true;
                return line;
            }
            let changed = self.0.changed.wait(state);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that a line was written, and returns the number of lost lines not yet
    /// reported.
    fn written(&self) -> Option<u64> {
        let mut state = self.state();
        state.is_writing = false;
        self.0.changed.notify_all();
        let lost = std::mem::take(&mut state.lost);
        (lost > 0).then_some(lost)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.waiting_bytes + line.len() > MOST_WAITING {
            state.lost += 1;
            return;
        }
        state.waiting_bytes += line.len();
        state.waiting.push_back(line.to_owned());
        self.0.changed.notify_all();
    }

    fn wait_until_written(&self, patience: Duration) {
        let is_busy = |state: &mut QueueState| state.is_writing || !state.waiting.is_empty();
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.state(), patience, is_busy);
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.wait_until_written(LAST_PATIENCE);
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Bytes from one write stay together: whole lines.
impl Write for LineQueue {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    #[test]
    fn lines_come_out_in_their_order_before_the_end() {
        let (mut reader, writer) = pipe().unwrap();
        let (mut queue, guard) = LineQueue::start(writer).unwrap();
        let mut lines = Vec::new();
        for number in 0..1_000 {
            let line = format!("{number}\n");
            queue.write_all(line.as_bytes()).unwrap();
            lines.extend(line.bytes());
        }
        drop(guard);
        let mut read = vec![0; lines.len()];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(read, lines);
    }

    /// A writer that blocks until the other end of the channel is gone.
    struct StalledWriter<W>(Receiver<()>, W);

    impl<W: Write> Write for StalledWriter<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _gone = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.1.flush()
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_waits_is_bounded() {
        let (mut reader, writer) = pipe().unwrap();
        let (hold, released) = channel();
        let (mut queue, guard) = LineQueue::start(StalledWriter(released, writer)).unwrap();
        let line = [b'.'; 100];
        for _ in 0..4 * MOST_WAITING / line.len() {
            queue.write_all(&line).unwrap();
        }
        assert!(queue.state().waiting_bytes <= MOST_WAITING);
        assert!(queue.state().lost > 0);
        // The end of the program does not block either.
        drop(guard);

        drop(hold);
        let mut read = [0; 100];
        while !queue.state().waiting.is_empty() {
            reader.read_exact(&mut read).unwrap();
            assert_eq!(read, line);
        }
        assert_eq!(queue.state().waiting_bytes, 0);
    }
}
