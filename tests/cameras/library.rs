//! Where the RTSP library would end a session that is good: what camgate makes of it, and what a viewer misses. Each test prints
//! for how long no new picture came; docs/cameras.md has the figures.

use std::time::{Duration, Instant};

use webrtc::peer_connection::RTCPeerConnectionState;

use crate::LIMIT;
use crate::support::camera::scripted::packets::bye;
use crate::support::camera::scripted::rtsp::Reply;
use crate::support::camera::scripted::{Builder, Scripted, Sound, Video};
use crate::support::gateway::Gateway;
use crate::support::viewer::{Kind, Viewer};
use crate::support::wait;

/// A keyframe every two seconds, as cameras have it.
const VIDEO: Video = Video { fps: 25, gop: 50, ..Video::SMALL };
/// A keepalive each second.
const SHORT: &str = "{session};timeout=2";

struct Scene {
    camera: Scripted,
    gateway: Gateway,
    viewer: Viewer,
}

async fn scene(camera: Builder) -> Scene {
    let camera = camera.start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(camera.toml("front")).spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    // A camera that fails within its first three seconds is not connected to again at once.
    viewer.wait_more(Kind::Video, 175, LIMIT).await;
    Scene { camera, gateway, viewer }
}

impl Scene {
    /// The camera is in its session with this number (from 1), its pictures are at the viewer, who is in the one that it
    /// began with.
    async fn plays(&self, sessions: usize) {
        let what = format!("{sessions} sessions");
        wait::until_value(&what, LIMIT, || async { self.camera.plays_total() }, |count| *count == sessions).await;
        self.viewer.wait_more(Kind::Video, 75, LIMIT).await;
        assert_eq!(self.camera.plays_total(), sessions);
        let open = self.gateway.sessions().await;
        assert_eq!(open.len(), 1, "{open:?}");
        assert_eq!(self.viewer.state(), RTCPeerConnectionState::Connected);
    }

    /// Prints the longest time without a picture since then.
    fn tell(&self, what: &str, since: Instant) {
        let times = self.viewer.with(Kind::Video, |log| {
            log.packets.iter().filter(|packet| packet.marker).map(|packet| packet.at).collect::<Vec<_>>()
        });
        let gaps = times.windows(2).filter(|pair| pair[1] >= since).map(|pair| pair[1] - pair[0]);
        let longest = gaps.max().unwrap_or_default();
        println!("without a picture, {what}: {} ms", longest.as_millis());
        assert!(longest > Duration::ZERO);
    }
}

/// Nobody answers keepalives. The library ends such a session after two of them.
#[tokio::test]
async fn a_camera_that_answers_no_keepalive_keeps_its_session() {
    let since = Instant::now();
    let camera = Scripted::builder().video(VIDEO).reply("SETUP", |_, reply| reply.with("Session", SHORT));
    let scene = scene(camera.reply("OPTIONS", |_, _| Reply::none())).await;
    wait::until("a keepalive", LIMIT, || async { scene.camera.requests("OPTIONS").pop() }).await;
    // Two more would be due.
    scene.viewer.wait_more(Kind::Video, 100, LIMIT).await;
    scene.plays(1).await;
    scene.tell("keepalive not answered", since);
}

/// It refuses keepalives.
#[tokio::test]
async fn a_camera_that_refuses_keepalives_keeps_its_session() {
    let camera = Scripted::builder().video(VIDEO).reply("SETUP", |_, reply| reply.with("Session", SHORT));
    let scene = scene(camera.reply("OPTIONS", |_, _| Reply::new(501, "Not Implemented"))).await;
    wait::until("three keepalives", LIMIT, || async { (scene.camera.requests("OPTIONS").len() > 2).then_some(()) })
        .await;
    scene.plays(1).await;
}

/// Tapo's answers to SET_PARAMETER have the number of the request before.
#[tokio::test]
async fn tapo_answers_a_keepalive_with_the_number_of_another() {
    let since = Instant::now();
    let camera = Scripted::builder()
        .video(VIDEO)
        .reply("SETUP", |_, reply| reply.with("Session", SHORT))
        .reply("OPTIONS", |_, reply| reply.with("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, SET_PARAMETER"))
        .reply("SET_PARAMETER", |request, _| {
            let before = request.header("CSeq").parse::<u32>().unwrap() - 1;
            Reply::new(400, "Bad Request").with("CSeq", &before.to_string())
        });
    let scene = scene(camera).await;
    wait::until("a keepalive", LIMIT, || async { scene.camera.requests("SET_PARAMETER").pop() }).await;
    scene.viewer.wait_more(Kind::Video, 75, LIMIT).await;
    scene.plays(1).await;
    scene.tell("keepalive answered with another number", since);
}

/// The camera has GET_PARAMETER, as VLC has: keepalives are that from the second one on.
#[tokio::test]
async fn vlc_is_kept_alive_by_get_parameter() {
    let camera = Scripted::builder().video(VIDEO).reply("SETUP", |_, reply| reply.with("Session", SHORT));
    let scene = scene(camera).await;
    let asked = wait::until("a keepalive", LIMIT, || async { scene.camera.requests("GET_PARAMETER").pop() }).await;
    assert!(asked.uri.starts_with(&scene.camera.url()), "{asked:?}");
    scene.plays(1).await;
}

/// FLIR ends sessions in which nothing was asked for some seconds, and says so: keepalives come in time.
#[tokio::test]
async fn flir_says_that_it_ends_sessions_soon() {
    let camera = Scripted::builder().video(VIDEO).session_limit(Duration::from_secs(6));
    let scene = scene(camera.reply("SETUP", |_, reply| reply.with("Session", "{session};timeout=6"))).await;
    scene.viewer.wait_more(Kind::Video, 375, LIMIT).await;
    scene.plays(1).await;
    assert!(scene.camera.requests("OPTIONS").len() + scene.camera.requests("GET_PARAMETER").len() > 2);
}

/// The same, and it says nothing, or a minute: the library asks each half minute, and the session is begun again.
#[tokio::test]
async fn flir_ends_sessions_sooner_than_it_says() {
    let since = Instant::now();
    let scene = scene(Scripted::builder().video(VIDEO).session_limit(Duration::from_secs(10))).await;
    scene.plays(2).await;
    scene.tell("a session that ends sooner than it says", since);
}

/// The camera asks whether the client is there.
#[tokio::test]
async fn a_camera_that_asks_its_client_keeps_its_session() {
    let since = Instant::now();
    let scene = scene(Scripted::builder().video(VIDEO)).await;
    scene.camera.garbage(b"OPTIONS rtsp://127.0.0.1/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    scene.plays(1).await;
    scene.tell("a request of the camera", since);
}

/// The camera gives a new nonce between DESCRIBE and SETUP.
#[tokio::test]
async fn a_camera_wants_another_nonce_behind_describe() {
    let camera = Scripted::builder().video(VIDEO).user("viewer", "a secret").reply("SETUP", |request, reply| {
        let challenge = "Digest realm=\"camera\", nonce=\"another\", stale=true";
        if request.connection > 0 { reply } else { Reply::new(401, "Unauthorized").with("WWW-Authenticate", challenge) }
    });
    let scene = scene(camera).await;
    assert_eq!(scene.camera.requests("DESCRIBE").len(), 4, "two, each with its challenge");
    scene.plays(1).await;
}

/// While it plays, the camera wants another nonce for keepalives, and ends the session that is not kept alive.
#[tokio::test]
async fn a_camera_wants_another_nonce_for_keepalives() {
    let camera = Scripted::builder().video(VIDEO).user("viewer", "a secret");
    let scene = scene(camera.reply("SETUP", |_, reply| reply.with("Session", SHORT))).await;
    let since = Instant::now();
    let keepalives = || scene.camera.requests("").len();
    let before = keepalives();
    scene.camera.new_nonce();
    wait::until("keepalives", LIMIT, || async { (keepalives() > before + 1).then_some(()) }).await;
    scene.plays(1).await;
    scene.camera.hang_up();
    scene.plays(2).await;
    scene.tell("nonce of keepalives", since);
}

/// The source changes in the middle of a session, with a word (BYE) or without.
#[tokio::test]
async fn an_encoder_that_restarts_changes_its_source() {
    for says_bye in [false, true] {
        let camera = Scripted::builder().video(VIDEO).sound(Sound::Pcmu).shape(|line, unit| {
            if (line.session, line.frame) == (0, 250) {
                line.ssrc ^= 0xff;
                line.sequence = line.sequence.wrapping_add(12_345);
            }
            line.packetize(unit)
        });
        let camera = camera.reports(move |now| match (says_bye, now.count) {
            (true, 10) => bye(now.ssrc),
            _ => Vec::new(),
        });
        let since = Instant::now();
        let scene = scene(camera).await;
        scene.plays(2).await;
        scene.tell(if says_bye { "another source, with BYE" } else { "another source" }, since);
    }
}

/// The numbers of the packets go back in the middle of a session.
#[tokio::test]
async fn an_encoder_that_restarts_begins_its_numbers_again() {
    let camera = Scripted::builder().video(VIDEO).first_sequence(30_000).shape(|line, unit| {
        if (line.session, line.frame) == (0, 250) {
            line.sequence = 1;
        }
        line.packetize(unit)
    });
    let since = Instant::now();
    let scene = scene(camera).await;
    scene.plays(2).await;
    scene.tell("numbers that go back", since);
}

/// Bytes that belong to nothing come between packets.
#[tokio::test]
async fn a_camera_that_loses_its_place_is_asked_again() {
    let scene = scene(Scripted::builder().video(VIDEO)).await;
    let since = Instant::now();
    scene.camera.garbage(&[0x00, 0x17, 0x80, 0xfe, 0x24, 0x00]);
    scene.plays(2).await;
    scene.tell("garbage", since);
}
