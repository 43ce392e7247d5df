//! A thread that looks at what must move, tells systemd that the program is alive only as long as it does, and what it is at.
//!
//! A thread, because the runtime is among what must move.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tracing::{error, info};

use super::{
    judge::{Judge, Sign},
    tell,
};
use crate::panics::{Part, Whose, caught};

/// Between two looks: shorter where systemd waits for less than three of them.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two sentences that systemd is told.
const STATUS_PAUSE: Duration = Duration::from_secs(3);
/// For a task of the runtime to be run, and for its timers: more than any machine that is merely busy takes.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(10);

/// What there is to see at one moment.
#[derive(Debug, Default)]
pub struct Look {
    /// What must move.
    pub signs: Vec<Sign>,
    /// What the program is at, for `systemctl status`: a line without secrets.
    pub status: String,
}

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    _running: mpsc::Sender<()>,
}

impl Watch {
    /// Looks by `look`, about once a second. `look` may wait for what is stuck: then nothing is told, which is what has to
    /// happen.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(runtime: Handle, look: impl FnMut() -> Look + Send + 'static) -> io::Result<Self> {
        let (running, ended) = mpsc::channel();
        let pulse = Pulse { runtime, asked: 0, answered: Arc::default() };
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || watch(&ended, pulse, look))?;
        Ok(Self { _running: running })
    }
}

fn watch(ended: &mpsc::Receiver<()>, mut pulse: Pulse, mut look: impl FnMut() -> Look) {
    let limit = sd_notify::watchdog_enabled();
    let pause = limit.map_or(PAUSE, |limit| PAUSE.min(limit / 3));
    let mut judge = Judge::default();
    let mut news = News::default();
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
        // A look that panics has seen nothing: systemd is not told that all is well. If all looks do, it starts the program again.
        let looked = caught(Part::Watch, Whose::NOBODYS, || {
            let mut looked = look();
            looked.signs.push(pulse.take());
            looked
        });
        let Ok(Look { signs, status }) = looked else { continue };
        let stuck = judge.stuck(&signs, pause, Instant::now());
        if limit.is_some() && stuck.is_empty() {
            tell(&[NotifyState::Watchdog]);
        }
        news.tell(stuck, &status, Instant::now());
    }
}

/// Whether the runtime runs tasks and wakes them in time.
struct Pulse {
    runtime: Handle,
    asked: u64,
    answered: Arc<AtomicU64>,
}

impl Pulse {
    fn take(&mut self) -> Sign {
        let count = self.answered.load(Ordering::Relaxed);
        if count == self.asked {
            self.asked += 1;
            let answered = self.answered.clone();
            self.runtime.spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                answered.fetch_add(1, Ordering::Relaxed);
            });
        }
        Sign { of: "the runtime of cameras and HTTP".to_owned(), count, patience: RUNTIME_PATIENCE }
    }
}

/// What systemd and the log have been told.
#[derive(Default)]
struct News {
    stuck: Vec<String>,
    status: String,
    told: Option<Instant>,
}

impl News {
    fn tell(&mut self, stuck: Vec<String>, status: &str, now: Instant) {
        let turned = stuck != self.stuck;
        if turned {
            match stuck.is_empty() {
                false => error!(
                    stuck = stuck.join(", "),
                    "an internal error: this has stood still for too long; please report it"
                ),
                true => info!(moves = self.stuck.join(", "), "everything moves again"),
            }
            self.stuck = stuck;
        }
        let status = match self.stuck.as_slice() {
            [] => status.to_owned(),
            stuck => format!("stuck: {}; {status}", stuck.join(", ")),
        };
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= STATUS_PAUSE);
        if status != self.status && (turned || is_due) {
            tell(&[NotifyState::Status(&status)]);
            (self.status, self.told) = (status, Some(now));
        }
    }
}
