//! Cameras: one task per camera connects, keeps the connection alive, and hands coded media to the hub.
//!
//! In: a camera's [`Config`] and its `hub::Camera`. Out: `AccessUnit`s published through the camera's one `Producer`,
//! and its `CameraState`. [`run`] is called by app, once per camera. A source never waits for a viewer: a camera that
//! is read late disconnects or truncates packets. RTSP is spoken by `rtsp` alone, GStreamer by `capture` alone; the
//! `supervisor` decides when to connect and when to leave, and knocks at the `door` of a camera that is away.

mod backoff;
pub mod capture;
mod clock;
pub mod config;
mod door;
mod error;
mod feed;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod published;
mod rtsp;
mod slices;
mod speech;
mod supervisor;
pub mod talk;
mod transcoding;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use error::{Error, FailureKind, Step};
pub use rtsp::visit;

use self::supervisor::Ended;
use crate::{
    hub::{Camera, CameraState, Producer},
    media::Reason,
    panics::{Panicked, Part, Whose, caught_task},
};

/// A source that ran for so long without a panic had nothing wrong with it: the next wait is the shortest again.
const STABLE: Duration = Duration::from_secs(60);

/// Keeps one camera alive until `shutdown`; returns when the camera was left properly, which takes at most some
/// seconds. Failures do not end it: they show in the camera's state and are tried again. Other `settings` are taken up as
/// they come; the camera is connected anew only when the way to it is another one, and its viewers' timelines go on then. So it
/// is after a panic, too.
pub async fn run(settings: watch::Receiver<Config>, camera: Arc<Camera>, shutdown: CancellationToken) {
    keep_up(Configured, settings, camera, shutdown).await;
}

/// What keeps a camera alive, and may panic.
trait Keep: Send {
    /// As `config` says, until `shutdown`, or until `settings` say another way to the camera.
    fn keep(
        &mut self,
        config: Config,
        settings: &mut watch::Receiver<Config>,
        producer: &mut Producer,
        shutdown: &CancellationToken,
    ) -> impl Future<Output = Ended> + Send;
}

async fn keep_up(
    mut keeper: impl Keep,
    mut settings: watch::Receiver<Config>,
    camera: Arc<Camera>,
    shutdown: CancellationToken,
) {
    let mut producer = Producer::new(camera.clone());
    // In a row.
    let mut panics = 0;
    loop {
        let config = settings.borrow_and_update().clone();
        let began = Instant::now();
        // What a panic leaves half done is one unit's: the producer numbers and times the next as after any reconnect.
        let kept = keeper.keep(config, &mut settings, &mut producer, &shutdown);
        match caught_task(Part::Camera, Whose::camera(camera.name()), kept).await {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Moved) => panics = 0,
            Err(panic) => {
                panics = if began.elapsed() > STABLE { 1 } else { panics + 1 };
                if shutdown.run_until_cancelled(wait(&camera, panic, panics)).await.is_none() {
                    return camera.set_state(CameraState::Stopped);
                }
            }
        }
    }
}

/// As the configuration says.
struct Configured;

impl Keep for Configured {
    async fn keep(
        &mut self,
        config: Config,
        settings: &mut watch::Receiver<Config>,
        producer: &mut Producer,
        shutdown: &CancellationToken,
    ) -> Ended {
        if !matches!(config.input, config::Input::Whip { .. }) {
            producer.camera().intake().open(None);
        }
        match config.input.clone() {
            config::Input::Whip { takeover } => {
                producer.camera().intake().open(Some(takeover));
                let input = published::Input::new(producer.camera().clone());
                supervisor::drive(config, settings, producer, shutdown, input).await
            }
            config::Input::Rtsp { url, credentials, transport } => {
                let sound = rtsp::Sound { policy: config.audio, bitrate_bps: config.audio_bitrate_bps };
                let input = rtsp::Input::new(config.name.clone(), url, credentials, transport, sound);
                let input = input.with_events(config.events);
                supervisor::drive(config, settings, producer, shutdown, input).await
            }
            config::Input::Pipeline { name, file, with, .. } => {
                let input = capture::Input::new(name, file, with);
                supervisor::drive(config, settings, producer, shutdown, input).await
            }
        }
    }
}

/// Says why there is no picture, until the camera may be tried again.
async fn wait(camera: &Camera, panic: Panicked, panics: u32) {
    let delay = backoff::delay(FailureKind::Passing, panics, rand::random());
    let reason = Reason::new("internal-error", panic.to_string());
    camera.set_state(CameraState::BackingOff { reason, retry_at: Instant::now() + delay });
    camera.forget_gop();
    sleep(delay).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hub::GopLimits,
        media::{AccessUnit, Kind, MediaTime},
        source::config::{Audio, Input, Start},
    };

    /// Publishes a unit and panics, as often as it is to; then it stops.
    struct Touchy {
        panics: u32,
        begun: Vec<tokio::time::Instant>,
    }

    impl Keep for &mut Touchy {
        async fn keep(
            &mut self,
            _: Config,
            _: &mut watch::Receiver<Config>,
            producer: &mut Producer,
            _: &CancellationToken,
        ) -> Ended {
            self.begun.push(tokio::time::Instant::now());
            producer.camera().set_state(CameraState::Live);
            let (time, captured) = (MediaTime { ticks: 0, rate: crate::media::ClockRate::OPUS }, Instant::now());
            let data = (&b"sound"[..]).into();
            producer.publish(&AccessUnit { kind: Kind::Audio, time, captured, keyframe: true, data });
            assert!(self.begun.len() > self.panics as usize, "as the test wishes");
            Ended::Stopped
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_panics_is_begun_again_later_and_later_and_says_so() {
        let limits = GopLimits { max_bytes: 1_000, max_age: Duration::from_secs(60) };
        let camera = Camera::new("front".parse().expect("a name"), limits);
        let config = Config {
            name: camera.name().clone(),
            input: Input::Pipeline { name: "none".into(), file: "none".into(), with: Default::default(), content: 0 },
            start: Start::Always,
            audio: Audio::Auto,
            audio_bitrate_bps: None,
            events: false,
            linger: Duration::ZERO,
            gop: limits,
            clip: None,
            talk: None,
        };
        let settings = watch::Sender::new(config);
        let mut touchy = Touchy { panics: 3, begun: Vec::new() };
        let mut said = Vec::new();
        let watching = async {
            let mut changes = camera.status_changes();
            while changes.changed().await.is_ok() {
                if let CameraState::BackingOff { reason, .. } = camera.status().state {
                    said.push(reason.code);
                }
            }
        };
        let kept = keep_up(&mut touchy, settings.subscribe(), camera.clone(), CancellationToken::new());
        tokio::select! {
            biased;
            () = watching => {}
            () = kept => {}
        }
        assert_eq!(said, ["internal-error"; 3]);
        let waits: Vec<_> = touchy.begun.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64().round()).collect();
        let nearly = waits.iter().zip([1.0, 2.0, 4.0]).all(|(wait, full)| (full * 0.7..=full).contains(wait));
        assert!(waits.len() == 3 && nearly, "{waits:?}");
        assert_eq!(camera.counters.units.total(), 4, "of one producer");
    }
}
