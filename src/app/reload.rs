//! Takes up another configuration while everything runs: on SIGHUP, and when a file of it has changed. A bad one is refused as
//! at the start, and what runs goes on.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
};
use tracing::{error, info, warn};

use super::{
    cameras::Cameras,
    files::{Files, stamps},
    pipeline_faults,
};
use crate::{
    config::Config,
    http::{Context, Reloads, Serving},
    log::Log,
    media::CameraName,
    panics::{Panicked, Part, Whose, caught, caught_task},
    source::config::{Input, Start},
    systemd,
};

/// The key that waits for the next start.
const WEBRTC_LISTEN: &str = "[webrtc] listen";

/// A configuration that was read, or why it is none, a line for each fault.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Result<Config, Vec<String>>,
    /// Every file that it came from.
    pub files: BTreeSet<PathBuf>,
}

/// Reads the configuration at `path` and the pipelines that it names.
pub fn load(path: &Path) -> Loaded {
    let crate::config::Found { config, files } = crate::config::look(path);
    let config = config.map_err(|faults| faults.iter().map(ToString::to_string).collect());
    let config = config.and_then(|config| {
        let faults = pipeline_faults(&config);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    });
    Loaded { config, files }
}

/// Where a configuration comes from, and when to read it again.
pub(super) struct Reloader {
    path: PathBuf,
    files: Files,
    hangups: Signal,
}

impl Reloader {
    /// Reads `path` again when one of `files` has changed. From now on SIGHUP does not kill the process.
    ///
    /// # Errors
    /// When the system refuses the handler or gives no thread.
    pub(super) fn new(path: PathBuf, files: BTreeSet<PathBuf>) -> io::Result<Self> {
        Ok(Self { path, files: Files::new(files)?, hangups: signal(SignalKind::hangup())? })
    }

    /// Completes when there is a reason to read it again.
    ///
    /// # Cancel safety
    /// No reason is lost.
    async fn due(&mut self) {
        tokio::select! {
            _ = self.hangups.recv() => info!("SIGHUP: reading the configuration again"),
            () = self.files.changed() => info!("the configuration has changed: reading it again"),
        }
    }

    async fn read(&mut self) -> Result<Config, Vec<String>> {
        let (path, names) = (self.path.clone(), self.files.names());
        let read = spawn_blocking(move || caught(Part::Configuration, Whose::NOBODYS, || (stamps(names), load(&path))));
        // It is cancelled only when the program ends.
        let (before, Loaded { config, mut files }) = read.await.unwrap_or(Err(Panicked)).map_err(told)?;
        if config.is_err() {
            // What is wrong may have kept it from being read so far.
            files.append(&mut self.files.names());
        }
        self.files.follow(files, before);
        config
    }
}

/// What runs, as far as another configuration changes it.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) cameras: Cameras,
    pub(super) reloads: Arc<Reloads>,
    pub(super) log: Option<Log>,
}

impl Running {
    /// Reads the configuration again whenever there is a reason, for as long as it is polled.
    pub(super) async fn keep_current(&mut self, mut reloader: Reloader, http: &mut Serving, context: &Context) {
        let mut context = context.clone();
        loop {
            reloader.due().await;
            systemd::reloading();
            let taking_up = async {
                let config = reloader.read().await?;
                self.take_up(config, http, &mut context).await
            };
            // What was taken up until then is, and what runs goes on: nothing of it is worth ending all cameras for.
            let taken_up = caught_task(Part::Configuration, Whose::NOBODYS, taking_up).await;
            let taken_up = taken_up.unwrap_or_else(|panic| Err(told(panic)));
            match taken_up {
                Ok(waiting) => self.reloads.succeeded(waiting),
                Err(faults) => {
                    for fault in &faults {
                        error!("{fault}");
                    }
                    warn!(faults = faults.len(), "the configuration is refused: the one before it goes on");
                    self.reloads.refused(faults);
                }
            }
            // Also when it was refused: everything that was served before is served.
            systemd::ready();
        }
    }

    /// Gives the keys that wait for the next start.
    ///
    /// # Errors
    /// Why nothing was changed, a line for each fault.
    async fn take_up(
        &mut self,
        config: Config,
        http: &mut Serving,
        context: &mut Context,
    ) -> Result<Vec<&'static str>, Vec<String>> {
        let opened = if config.http == self.config.http && always_on(&config) == context.always_on {
            None
        } else {
            Some(http.open(&config.http).await.map_err(|error| vec![error.to_string()])?)
        };
        let media = context.peers.prepare(&config.peer).map_err(|error| vec![error.to_string()])?;
        // From here on without a pause, so that it happens whole or, when the program ends before, not at all.
        self.config = config;
        let mut waiting = Vec::new();
        if !context.peers.change(self.config.peer.clone(), media) {
            waiting.push(WEBRTC_LISTEN);
            warn!(
                "{WEBRTC_LISTEN}: the same port of another address is opened with the next start of camgate: restart it"
            );
        }
        if let Some(log) = &mut self.log {
            log.change(self.config.log);
        }
        // Before those who may see them.
        let changes = self.cameras.apply(self.config.cameras.clone());
        if let Some(opened) = opened {
            context.always_on = always_on(&self.config);
            context.start_deadline = self.config.http.start_deadline;
            http.take_up(opened, context.clone());
        }
        let (added, removed, changed) = (changes.added, changes.removed, changes.changed);
        info!(cameras = self.config.cameras.len(), added, removed, changed, "the configuration is taken up");
        Ok(waiting)
    }
}

fn told(panic: Panicked) -> Vec<String> {
    vec![format!("{panic}, and restart camgate")]
}

/// The cameras that are to be live all the time.
pub(super) fn always_on(config: &Config) -> Arc<[CameraName]> {
    let always = config.cameras.iter().filter(|camera| camera.start == Start::Always);
    // Whether somebody publishes is no question of the gateway's health.
    let cameras = always.filter(|camera| !matches!(camera.input, Input::Whip { .. }));
    cameras.map(|camera| camera.name.clone()).collect()
}
