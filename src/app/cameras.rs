//! The cameras that run: starts, changes and ends them as the configuration says, and touches no other.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{
    hub::{Camera, Hub},
    source,
};

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
        camera.set_clip_limits(config.clip);
        let (settings, stop) = (watch::Sender::new(config), self.stop.child_token());
        self.sources.spawn(source::run(settings.subscribe(), camera.clone(), stop.clone()));
        self.sources.spawn(source::talk::run(settings.subscribe(), camera.clone(), stop.clone()));
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
        self.camera.set_clip_limits(config.clip);
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
