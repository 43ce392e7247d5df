//! Whether the system gives this process the threads that it needs, found out before it starts: those who start some later can
//! only panic, or wait for one for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, available_parallelism},
};

use anyhow::{Context as _, bail};

/// Beside those for each core: the log, passwords, the reader, two that watch, and cameras that start or sound that is
/// transcoded.
const OTHERS: usize = 12;

/// # Errors
/// What to give it, in words.
pub fn check_threads() -> anyhow::Result<()> {
    // The runtime has one for each core, and viewers have.
    let wanted = OTHERS + 2 * available_parallelism().map_or(1, usize::from);
    let are_enough = Arc::new(AtomicBool::new(false));
    let idle = {
        let are_enough = are_enough.clone();
        move || {
            while !are_enough.load(Ordering::Acquire) {
                thread::park();
            }
        }
    };
    let mut threads = Vec::with_capacity(wanted);
    let given = (0..wanted).try_for_each(|_| {
        threads.push(thread::Builder::new().spawn(idle.clone())?);
        Ok::<_, std::io::Error>(())
    });
    are_enough.store(true, Ordering::Release);
    threads.iter().for_each(|thread| thread.thread().unpark());
    let count = threads.len();
    if threads.into_iter().any(|thread| thread.join().is_err()) {
        bail!("a thread that does nothing has failed");
    }
    given.with_context(|| {
        format!(
            "the system gives this process {count} threads, and it needs {wanted}: raise its limit of memory (MemoryMax= under \
             systemd, ulimit -v) or of threads (TasksMax= under systemd, ulimit -u)"
        )
    })
}
