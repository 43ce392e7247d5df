//! The way of lines to standard error: a bounded queue and a thread, so that nobody who has something to say waits for a disk
//! that is full, or for a program that does not read what it is piped. What finds no way is counted, and told when there is one.

use std::{
    io::{self, Write, stderr},
    sync::{
        OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use crate::stats::Counter;

/// Lines that may wait: what a start with a hundred cameras says in a moment, at 200 bytes or so each. More are lost.
const LINES: usize = 2_048;
/// How long the end of the program waits for the lines before it. Longer than a disk that is merely busy takes.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

static LOST: Counter = Counter::new();
static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

enum Entry {
    Line(Box<[u8]>),
    /// To be answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// Where the log writes to.
#[derive(Clone)]
pub(super) struct Queue(SyncSender<Entry>);

impl Queue {
    /// Writes to standard error from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, entries) = sync_channel(LINES);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&entries, stderr()))?;
        // The log is started once.
        let _ = QUEUE.set(queue.clone());
        Ok(Self(queue))
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// One call is one line. It does not fail.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Entry::Line(line.into())).is_err() {
            LOST.add(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until what was logged so far is written, which takes no more than a moment, written or not.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, wait) = sync_channel(1);
    if queue.try_send(Entry::Flush(done)).is_ok() {
        let _ = wait.recv_timeout(FLUSH_LIMIT);
    }
}

/// Lines that could not be written since the start.
pub fn lost_lines() -> u64 {
    LOST.total()
}

fn write(entries: &Receiver<Entry>, mut out: impl Write) {
    let mut told = 0;
    for entry in entries {
        match entry {
            Entry::Line(line) => match out.write_all(&line) {
                Ok(()) => {
                    let lost = LOST.total();
                    if lost > told {
                        let lines = lost - told;
                        told = lost;
                        warn!(lines, "the log could not be written for a while: lines of it are lost");
                    }
                }
                Err(_) => LOST.add(1),
            },
            Entry::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}
