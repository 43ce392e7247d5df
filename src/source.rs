//! Cameras: one task per camera connects, keeps the connection alive, and hands coded media to the hub.
//!
//! In: a camera's [`Config`] and its `hub::Camera`. Out: `AccessUnit`s published through the camera's one `Producer`,
//! and its `CameraState`. [`run`] is called by app, once per camera. A source never waits for a viewer: a camera that
//! is read late disconnects or truncates packets. RTSP is spoken by `rtsp` alone, GStreamer by `capture` alone; the
//! `supervisor` decides when to connect and when to leave.

mod backoff;
pub mod capture;
mod clock;
pub mod config;
mod error;
mod feed;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod rtsp;
mod supervisor;
mod transcoding;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use error::{Error, FailureKind, Step};
pub use rtsp::visit;

use self::supervisor::Ended;
use crate::hub::{Camera, Producer};

/// Keeps one camera alive until `shutdown`; returns when the camera was left properly, which takes at most some
/// seconds. Failures do not end it: they show in the camera's state and are tried again. Other `settings` are taken up as
/// they come; the camera is connected anew only when the way to it is another one, and its viewers' timelines go on then.
pub async fn run(mut settings: watch::Receiver<Config>, camera: Arc<Camera>, shutdown: CancellationToken) {
    let mut producer = Producer::new(camera);
    loop {
        let config = settings.borrow_and_update().clone();
        let ended = match config.input.clone() {
            config::Input::Rtsp { url, credentials, transport } => {
                let sound = rtsp::Sound { policy: config.audio, bitrate_bps: config.audio_bitrate_bps };
                let input = rtsp::Input::new(config.name.clone(), url, credentials, transport, sound);
                supervisor::drive(config, &mut settings, &mut producer, &shutdown, input).await
            }
            config::Input::Pipeline { name, file, with, .. } => {
                let input = capture::Input::new(name, file, with);
                supervisor::drive(config, &mut settings, &mut producer, &shutdown, input).await
            }
        };
        if ended == Ended::Stopped {
            return;
        }
    }
}
