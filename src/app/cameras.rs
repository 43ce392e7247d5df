//! The cameras that run: starts, changes and ends them as the configuration says, and touches no other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use crate::{
    hub::{Camera, CameraState, Hub},
    media::Reason,
    source,
};

/// Before a camera's source that panicked is started again.
const RESTART: Duration = Duration::from_secs(10);

/// Every camera of the configuration with its source.
pub(super) struct Cameras {
    hub: Arc<Hub>,
    running: Vec<Running>,
    sources: TaskTracker,
    stop: CancellationToken,
}

struct Running {
    camera: Arc<Camera>,
    settings: watch::Sender<source::Config>,
    stop: CancellationToken,
}

/// How many cameras a configuration had something else for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: usize,
    pub(super) removed: usize,
    pub(super) changed: usize,
}

impl Cameras {
    /// None yet; `hub` is to show them.
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, running: Vec::new(), sources: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Has these cameras from now on, in this order.
    pub(super) fn apply(&mut self, wanted: Vec<source::Config>) -> Changes {
        let mut changes = Changes::default();
        let mut before = std::mem::take(&mut self.running);
        for config in wanted {
            let known = before.iter().position(|running| running.camera.name() == &config.name);
            let running = match known {
                Some(index) => {
                    let running = before.swap_remove(index);
                    changes.changed += usize::from(running.change(config));
                    running
                }
                None => {
                    changes.added += 1;
                    self.start(config)
                }
            };
            self.running.push(running);
        }
        changes.removed = before.len();
        for running in before {
            info!(camera = %running.camera.name(), "camera removed from the configuration");
            running.stop.cancel();
        }
        self.hub.arrange(self.running.iter().map(|running| running.camera.clone()).collect());
        changes
    }

    fn start(&self, config: source::Config) -> Running {
        info!(camera = %config.name, start = ?config.start, "camera configured");
        let camera = Camera::new(config.name.clone(), config.gop);
        let (settings, stop) = (watch::Sender::new(config), self.stop.child_token());
        self.sources.spawn(keep_running(settings.subscribe(), camera.clone(), stop.clone()));
        Running { camera, settings, stop }
    }

    /// Where to wait for the end of all sources, once they are told of it.
    pub(super) fn sources(&self) -> (CancellationToken, TaskTracker) {
        (self.stop.clone(), self.sources.clone())
    }
}

impl Running {
    /// Takes other settings over; tells whether they are others.
    fn change(&self, config: source::Config) -> bool {
        self.camera.set_gop_limits(config.gop);
        self.settings.send_if_modified(|settings| {
            let is_other = *settings != config;
            if is_other {
                info!(camera = %config.name, "the camera's settings have changed");
                *settings = config;
            }
            is_other
        })
    }
}

/// Runs a camera's source, and runs it again should it panic: one camera's fault is not to end even that camera.
async fn keep_running(settings: watch::Receiver<source::Config>, camera: Arc<Camera>, stop: CancellationToken) {
    loop {
        let mut running = JoinSet::new();
        running.spawn(source::run(settings.clone(), camera.clone(), stop.clone()));
        match running.join_next().await {
            Some(Err(fault)) if fault.is_panic() => {
                error!(camera = %camera.name(), "an internal error ended this camera's source: please report it");
                let reason =
                    Reason::new("internal-error", "an internal error of camgate: please report it with its log");
                camera.set_state(CameraState::BackingOff { reason, retry_at: Instant::now() + RESTART });
                camera.forget_gop();
                if stop.run_until_cancelled(sleep(RESTART)).await.is_none() {
                    return;
                }
            }
            _ => return,
        }
    }
}
