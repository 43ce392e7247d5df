//! Keyframes that are rare, never come again, or are huge.

use std::collections::HashMap;

use super::{Scene, VIDEO, firsts, gateway, scene};
use crate::LIMIT;
use crate::support::camera::Profile;
use crate::support::camera::scripted::clip::Refresh;
use crate::support::camera::scripted::packets::{Line, Packet};
use crate::support::camera::scripted::{Builder, Scripted, Unit, Video};
use crate::support::gateway::Gateway;
use crate::support::viewer::{Kind, Viewer};

/// What a keyframe weighs.
const HUGE: usize = 2_000_000;

/// Keyframes come with two megabytes of what a decoder reads over (SEI, user data).
pub(super) fn huge(line: &mut Line, unit: &Unit) -> Vec<Packet> {
    let mut packets = line.packetize(unit);
    if unit.keyframe {
        line.sequence = line.sequence.wrapping_sub(packets.len() as u16);
        let mut sei = vec![0x06, 0x05];
        sei.extend(std::iter::repeat_n(0xff, HUGE / 255));
        sei.push((HUGE % 255) as u8);
        sei.extend(std::iter::repeat_n(0x55, HUGE));
        sei.push(0x80);
        let sets = [line.single(&unit.sps), line.single(&unit.pps)];
        packets = [sets.to_vec(), line.fu_a(&sei, 1_400), line.slices(unit)].concat();
    }
    packets
}

/// Somebody who watches from the first keyframe on that the gateway has. The viewer's library loses what comes before it is ready,
/// which is the keyframe where the machine is busy; a browser asks for it again.
pub(super) async fn watching(gateway: &Gateway) -> Viewer {
    for _ in 0..10 {
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_packets(Kind::Video, 20, LIMIT).await;
        if viewer.time_to_keyframe().is_some() {
            return viewer;
        }
    }
    panic!("ten viewers have not seen the keyframe");
}

/// A keyframe every ten seconds: a newcomer sees a picture at once.
#[tokio::test]
async fn a_keyframe_every_ten_seconds() {
    let camera = Scripted::builder().video(Video { gop: 250, ..VIDEO }).start();
    let gateway = gateway(&camera, "start = \"always\"\n").await;
    let first = watching(&gateway).await;
    first.wait_packets(Kind::Video, 100, LIMIT).await;
    let newcomer = watching(&gateway).await;
    let keyframe = newcomer.time_to_keyframe().unwrap();
    println!("a keyframe every 10 s: a newcomer's first after {} ms", keyframe.as_millis());
    assert_eq!(first.with(Kind::Video, |log| log.keyframes().len()), 1, "the next one was not needed");
}

/// No keyframe but at PLAY, as of an encoder that refreshes its picture piece by piece: once that is a minute ago, and
/// somebody waits for one, the camera is asked to play anew, and who watches already stays.
#[tokio::test]
async fn keyframes_never_come_again() {
    let camera = Scripted::builder()
        .video(VIDEO)
        .shape(|line, unit| if unit.keyframe && line.frame > 0 { Vec::new() } else { line.packetize(unit) })
        .start();
    let gateway = gateway(&camera, "gop_cache_seconds = 2\n").await;
    let begun = std::time::Instant::now();
    let viewer = Viewer::builder(gateway.whep("front")).keep_payloads().join().await;
    viewer.wait_keyframes(1, LIMIT).await;
    viewer.wait_packets(Kind::Video, 150, LIMIT).await;
    let newcomer = Viewer::join(gateway.whep("front")).await;
    newcomer.wait_keyframes(1, 3 * LIMIT).await;
    println!("no keyframe again: a newcomer's first after {} s", newcomer.posted_at().elapsed().as_secs());
    viewer.wait_keyframes(2, LIMIT).await;
    assert_eq!(camera.plays_total(), 2);
    assert_eq!(gateway.sessions().await.len(), 2);
    gateway.wait_camera("front", "live", LIMIT).await;
    assert_eq!(gateway.count_log("not available"), 0, "it was never away");
    // One who has seen it in vain does not make it play anew.
    let third = Viewer::join(gateway.whep("front")).await;
    viewer.wait_more(Kind::Video, 100, LIMIT).await;
    assert_eq!(camera.plays_total(), 2, "at most once a minute");
    drop(third);
    let id = super::id(&gateway).await;
    let scene = Scene { camera, gateway, viewer, id, begun };
    scene.is_smooth();
    scene.tell("no keyframe again");
}

/// A picture that is refreshed piece by piece, or by pictures that are no IDR pictures, both coded by x264.
pub(super) fn without_keyframes(refresh: Refresh) -> Builder {
    let video = Video { refresh, ..VIDEO };
    let video = match refresh {
        Refresh::OpenGops => Video { b_frames: 1, profile: Profile::Main, ..video },
        Refresh::Intra | Refresh::Keyframes => video,
    };
    let clip = video.clip();
    // SEI with payload type 6 (ISO/IEC 14496-10 annex D.1.8).
    let recovers = |unit: &Unit| unit.nals.iter().any(|nal| nal[0] & 0x1f == 6 && nal[1] == 6);
    assert_eq!(clip.units.iter().filter(|unit| unit.keyframe).count(), 1);
    assert!(clip.units.iter().filter(|unit| recovers(unit)).count() > 5, "x264 makes recovery points");
    Scripted::builder().video(video).shape(move |line, unit| {
        // Sent in the order of coding, with the times of showing.
        let coded = clip.units.iter().position(|other| other.counter == unit.counter).unwrap() as i64;
        line.timestamp = line.timestamp.wrapping_add(((i64::from(unit.counter) - coded) * 3_600) as u32);
        line.packetize(unit)
    })
}

/// Recovery points, and no keyframe but at PLAY: a newcomer is given that one, and everything since.
async fn newcomers_see(refresh: Refresh, what: &str) {
    let camera = without_keyframes(refresh).start();
    let gateway = gateway(&camera, "").await;
    let first = watching(&gateway).await;
    first.wait_packets(Kind::Video, 100, LIMIT).await;
    let newcomer = watching(&gateway).await;
    newcomer.wait_more(Kind::Video, 50, LIMIT).await;
    let keyframe = newcomer.time_to_keyframe().unwrap();
    println!("{what}: a newcomer's first picture after {} ms", keyframe.as_millis());
    assert_eq!(first.with(Kind::Video, |log| log.keyframes().len()), 1);
    assert_eq!(camera.plays_total(), 1);
}

#[tokio::test]
async fn intra_refresh_has_no_keyframes() {
    newcomers_see(Refresh::Intra, "intra refresh").await;
}

#[tokio::test]
async fn open_gops_have_recovery_points_for_keyframes() {
    newcomers_see(Refresh::OpenGops, "open GOPs").await;
}

/// The same, and no keyframe at PLAY either: no browser can begin there, and it is said.
#[allow(clippy::disallowed_methods, reason = "the scripted camera answers on a thread of its own")]
#[tokio::test]
async fn recovery_points_alone_are_no_beginning() {
    let camera = without_keyframes(Refresh::Intra).keyframe_on_play(false).reply("DESCRIBE", |_, reply| {
        // The camera has been on for a while.
        std::thread::sleep(std::time::Duration::from_millis(200));
        reply
    });
    let camera = camera.start();
    let gateway = gateway(&camera, "start = \"always\"\n").await;
    let seen = gateway.wait_camera("front", "backing_off", 2 * LIMIT).await;
    assert_eq!(seen["code"], "no-keyframe", "{seen}");
}

/// Keyframes of two megabytes.
#[tokio::test]
async fn keyframes_of_two_megabytes() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(huge)).await;
    scene.goes_on("keyframes of 2 MB").await;
    let mut sizes = HashMap::new();
    scene.viewer.with(Kind::Video, |log| {
        for packet in &log.packets {
            let size = sizes.entry(packet.timestamp).or_insert((0, 0));
            *size = (size.0 + packet.payload_len, size.1 + 1);
        }
    });
    let (bytes, packets) = sizes.values().max().unwrap();
    assert!(*bytes > HUGE, "{bytes}");
    println!("keyframes of 2 MB: {packets} packets");
    let pictures = firsts(&scene.viewer, Kind::Video).len();
    assert!(pictures > 50, "{pictures}");
    scene.is_first_session();
}
