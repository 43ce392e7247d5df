//! Media that goes wrong while it is watched. Each test says what a viewer sees, who stays in the session, and prints how long
//! no new picture came (docs/cameras.md has the figures).

mod browser;
mod clocks;
mod keyframes;
mod packets;
mod parameter_sets;
mod sound;

use std::time::{Duration, Instant};

use webrtc::peer_connection::RTCPeerConnectionState;

use crate::LIMIT;
use crate::support::camera::scripted::{Builder, Scripted, Video};
use crate::support::gateway::Gateway;
use crate::support::viewer::track::Packet;
use crate::support::viewer::{Kind, Viewer};
use crate::support::wait;

/// A keyframe each second.
const VIDEO: Video = Video { fps: 25, gop: 25, ..Video::SMALL };
/// The frame of a session at which it goes wrong.
const FAULT: u64 = 75;
/// By how much a timeline may go ahead of what arrives from one picture to the next: what camgate takes for a jump, a picture at
/// two a second, and what a busy machine lets lie. The jumps that are tried are of a minute and more.
const JUMP: f64 = 5.0;
/// By how much a stretch of the timeline may differ from the time in which it came.
const OFF: f64 = 2.0;
const VIDEO_HZ: f64 = 90_000.0;

/// What plays.
struct Scene {
    camera: Scripted,
    gateway: Gateway,
    viewer: Viewer,
    /// The viewer's session.
    id: String,
    begun: Instant,
}

/// A gateway for this camera, with more keys for its entry.
async fn gateway(camera: &Scripted, keys: &str) -> Gateway {
    let config = camera.toml("front") + keys;
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await
}

/// Somebody watches this camera, whose first session goes wrong at [`FAULT`].
async fn scene(camera: Builder) -> Scene {
    let camera = camera.start();
    let gateway = gateway(&camera, "").await;
    let begun = Instant::now();
    let viewer = Viewer::builder(gateway.whep("front")).keep_payloads().join().await;
    viewer.wait_keyframes(1, LIMIT).await;
    let id = id(&gateway).await;
    Scene { camera, gateway, viewer, id, begun }
}

/// Of the session that is the oldest.
async fn id(gateway: &Gateway) -> String {
    gateway.sessions().await[0]["id"].to_string()
}

impl Scene {
    fn keyframes(&self) -> usize {
        self.viewer.with(Kind::Video, |log| log.keyframes().len())
    }

    /// Behind the fault pictures go on, beginning with a keyframe, to the same viewer, on a timeline without a fold.
    async fn goes_on(&self, what: &str) {
        self.sent(FAULT + 10).await;
        self.viewer.wait_keyframes(self.keyframes() + 3, LIMIT).await;
        self.viewer.wait_more(Kind::Video, 25, LIMIT).await;
        self.is_watched().await;
        self.is_smooth();
        self.tell(what);
    }

    /// The camera has sent so many pictures.
    async fn sent(&self, frames: u64) {
        wait::until("the camera's pictures", 2 * LIMIT, || async {
            (self.camera.frames_sent() >= frames).then_some(())
        })
        .await;
    }

    /// Still by the session that it began with, of a camera that is live.
    async fn is_watched(&self) {
        let sessions = self.gateway.sessions().await;
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        assert_eq!(sessions[0]["id"].to_string(), self.id);
        assert_eq!(self.viewer.state(), RTCPeerConnectionState::Connected);
        self.gateway.wait_camera("front", "live", LIMIT).await;
    }

    /// The camera is in its session with this number.
    async fn wait_plays(&self, sessions: usize) {
        wait::until_value("sessions", LIMIT, || async { self.camera.plays_total() }, |count| *count == sessions).await;
    }

    /// Nobody was told that the camera is not available.
    fn was_never_away(&self) {
        assert_eq!(self.gateway.count_log("not available"), 0);
    }

    /// In the session with the camera that it began with, too.
    fn is_first_session(&self) {
        assert_eq!(self.camera.plays_total(), 1, "the camera was connected again");
    }

    /// Neither track goes back, stands still or jumps.
    fn is_smooth(&self) {
        for (kind, hz) in [(Kind::Video, VIDEO_HZ), (Kind::Audio, 8_000.0)] {
            let packets = firsts(&self.viewer, kind);
            for pair in packets.windows(2) {
                let step = ahead(&pair[0], &pair[1], hz);
                assert!(step > 0.0, "{kind:?} goes back by {step} s");
                let passed = pair[1].at.saturating_duration_since(pair[0].at).as_secs_f64();
                assert!(step - passed < JUMP, "{kind:?} jumps by {step} s in {passed} s");
            }
        }
    }

    /// The last pictures' timeline runs as they come, so many of them.
    fn runs_at_the_right_rate(&self, pictures: usize) {
        let packets = firsts(&self.viewer, Kind::Video);
        let last = &packets[packets.len() - pictures..];
        let (first, last) = (&last[0], &last[pictures - 1]);
        let (told, passed) = (ahead(first, last, VIDEO_HZ), (last.at - first.at).as_secs_f64());
        assert!((told - passed).abs() < OFF, "{told} s of pictures came in {passed} s");
    }

    /// Sound and picture are told to have been captured when they were, to within what nobody takes for another scene.
    async fn is_in_step(&self) {
        let lag = || async { self.gateway.camera("front").await["audio"]["lag_ms"].as_f64() };
        wait::until_value("sound and picture in step", LIMIT, lag, |lag| lag.is_some_and(|lag| lag.abs() < 500.0))
            .await;
    }

    /// Prints the longest time without a picture.
    fn tell(&self, what: &str) {
        let packets = firsts(&self.viewer, Kind::Video);
        let gaps = packets.windows(2).map(|pair| pair[1].at.saturating_duration_since(pair[0].at));
        println!("{what}: at most {} ms without a picture", gaps.max().unwrap_or_default().as_millis());
    }
}

/// The first packet of each picture or sound, in the order in which they were sent.
pub(super) fn firsts(viewer: &Viewer, kind: Kind) -> Vec<Packet> {
    let packets = viewer.with(kind, |log| log.packets.clone());
    let mut newest = packets.first().map_or(0, |packet| i64::from(packet.sequence));
    let mut numbered: Vec<_> = packets
        .into_iter()
        .map(|packet| {
            let number = newest + i64::from(packet.sequence.wrapping_sub(newest as u16).cast_signed());
            newest = newest.max(number);
            (number, packet)
        })
        .collect();
    // Of a packet that came twice, the first.
    numbered.sort_by_key(|(number, _)| *number);
    numbered.dedup_by_key(|(number, _)| *number);
    let mut packets: Vec<_> = numbered.into_iter().map(|(_, packet)| packet).collect();
    packets.dedup_by_key(|packet| packet.timestamp);
    packets
}

/// How far the second is ahead of the first on the timeline, in seconds.
fn ahead(first: &Packet, second: &Packet, hz: f64) -> f64 {
    f64::from(second.timestamp.wrapping_sub(first.timestamp).cast_signed()) / hz
}

/// Nothing goes wrong: what the other tests measure is not the gateway's own.
#[tokio::test]
async fn nothing_goes_wrong() {
    let scene = scene(Scripted::builder().video(VIDEO)).await;
    scene.goes_on("no fault").await;
    scene.runs_at_the_right_rate(50);
    scene.is_first_session();
    assert!(scene.begun.elapsed() > Duration::from_secs(3));
}
