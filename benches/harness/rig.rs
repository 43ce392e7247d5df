//! One camera of ours and a gateway that takes it for several.

use std::time::Duration;

use super::binary::Binary;
use super::load::Target;
use super::{LIMIT, without_gso};
use crate::support::camera::Camera;
use crate::support::gateway::Gateway;

/// After the last camera is live: what starting took is over.
const SETTLE: Duration = Duration::from_secs(3);

/// Frames a second.
pub const FPS: u32 = 25;

/// Small and noisy: cheap to encode, and the bits are spent all the same.
pub fn camera() -> Camera {
    Camera::builder().size(480, 270).fps(FPS).gop(2 * FPS).bitrate_kbps(3_200).noise_percent(75).start()
}

/// A running gateway and its cameras.
pub struct Rig {
    pub gateway: Gateway,
    pub target: Target,
}

impl Rig {
    /// The gateway pulls the stream behind `url` as many times as it is to have cameras: that is as much work for it as
    /// different streams would be, at the worst moment, because the pictures of all of them come at once.
    pub async fn start(binary: &Binary, url: &str, cameras: usize, gso: bool) -> Self {
        let name = |index: usize| format!("camera-{index}");
        let entry =
            |index: usize| format!("[[camera]]\nname = \"{}\"\nurl = \"{url}\"\nstart = \"always\"\n", name(index));
        let entries: String = (0..cameras).map(entry).collect();
        let mut builder = Gateway::builder(&binary.path).config(entries).http("rate_limit_burst = 1000");
        if !gso {
            builder = builder.under(without_gso::prefix());
        }
        let gateway = builder.spawn().await;
        for index in 0..cameras {
            gateway.wait_camera(&name(index), "live", LIMIT).await;
        }
        tokio::time::sleep(SETTLE).await;
        let wheps = (0..cameras).map(|index| gateway.whep(&name(index))).collect();
        let target = Target { wheps, pid: gateway.pid() };
        Self { gateway, target }
    }

    /// Lets the gateway take leave of its cameras, so that the RTSP server does not lose up to 40 clients of one stream in
    /// the middle of their packets.
    pub async fn end(mut self) {
        self.gateway.signal("TERM");
        self.gateway.wait_exit(LIMIT).await;
    }
}
