//! Parameter sets that are missing, late, or become others.

use std::sync::Arc;

use super::{FAULT, VIDEO, gateway, scene};
use crate::LIMIT;
use crate::support::camera::Profile;
use crate::support::camera::scripted::clip::Clip;
use crate::support::camera::scripted::packets::{Line, Packet};
use crate::support::camera::scripted::pps::two_sets;
use crate::support::camera::scripted::{Builder, Scripted, Video, sdp};
use crate::support::viewer::h264::NalTypes;
use crate::support::viewer::{Kind, Viewer};
use crate::support::wait;

/// A description that says nothing of how the picture is coded.
fn silent() -> Builder {
    let silent = sdp::VIDEO.replace(";sprop-parameter-sets={sprop}", "");
    Scripted::builder().video(VIDEO).sdp(&silent)
}

/// The picture of another clip, in time with this one.
pub(super) fn packets_of(clip: &Clip, line: &mut Line, since: u64) -> Vec<Packet> {
    let unit = clip.unit(line.frame - since).clone();
    line.packetize(&unit)
}

/// From [`FAULT`] on the camera sends another picture.
fn becomes(video: Video) -> Builder {
    let other: Arc<Clip> = video.clip();
    Scripted::builder().video(VIDEO).shape(move |line, unit| match line.frame {
        ..FAULT => line.packetize(unit),
        _ => packets_of(&other, line, FAULT),
    })
}

/// The description has none, and the first pictures have none.
#[tokio::test]
async fn parameter_sets_come_two_seconds_late() {
    let scene = scene(silent().shape(|line, unit| match line.frame {
        ..50 => line.slices(unit),
        _ => line.packetize(unit),
    }))
    .await;
    let first = scene.viewer.with(Kind::Video, |log| log.packets[0]);
    assert!(first.nals.has(NalTypes::SPS) && first.nals.has(NalTypes::PPS), "{first:?}");
    println!("parameter sets 2 s late: first picture after {} ms", (first.at - scene.begun).as_millis());
    scene.goes_on("parameter sets 2 s late").await;
    scene.is_first_session();
}

/// The encoder has two picture parameter sets and changes between them. The RTSP library keeps the last one only, so that the next
/// session is taken without it.
#[tokio::test]
async fn pictures_refer_to_two_parameter_sets() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(two_sets)).await;
    scene.wait_plays(2).await;
    let sets = |nals: &Vec<Vec<u8>>| nals.iter().filter(|nal| nal[0] & 0x1f == 8).count();
    let most = || async { scene.viewer.with(Kind::Video, |log| log.pictures().iter().map(sets).max()) };
    wait::until_value("both sets before a keyframe", LIMIT, most, |most| *most == Some(2)).await;
    scene.goes_on("two picture parameter sets").await;
    scene.was_never_away();
    assert_eq!(scene.camera.plays_total(), 2);
}

/// There are none at all, which is said; the next session has them.
#[tokio::test]
async fn parameter_sets_never_come() {
    let camera = silent().shape(|line, unit| match line.session {
        0 => line.slices(unit),
        _ => line.packetize(unit),
    });
    let camera = camera.start();
    let gateway = gateway(&camera, "start = \"always\"\n").await;
    let seen = gateway.wait_camera("front", "backing_off", 2 * LIMIT).await;
    assert_eq!(seen["code"], "no-parameter-sets", "{seen}");
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("without parameter sets (SPS and PPS)"), "{reason}");
    gateway.wait_camera("front", "live", LIMIT).await;
    Viewer::join(gateway.whep("front")).await.wait_keyframes(1, LIMIT).await;
}

/// The description tells of another picture than comes.
#[tokio::test]
async fn the_description_has_the_parameter_sets_of_another_picture() {
    let other = Video { width: 640, height: 360, ..VIDEO }.clip();
    let wrong = sdp::VIDEO.replace("{sprop}", &other.sprop()).replace("{profile}", &other.profile());
    let scene = scene(Scripted::builder().video(VIDEO).sdp(&wrong)).await;
    assert_eq!(scene.gateway.camera("front").await["video"]["width"], 320);
    scene.goes_on("the description is of another picture").await;
    scene.is_first_session();
}

/// The profile changes.
#[tokio::test]
async fn parameter_sets_change_while_it_is_watched() {
    let video = Video { profile: Profile::High, ..VIDEO };
    let scene = scene(becomes(video)).await;
    scene.goes_on("other parameter sets").await;
    let sps = video.clip().units[0].sps.clone();
    let last = scene.viewer.with(Kind::Video, |log| log.pictures());
    let keyframe = last.iter().rev().find(|nals| nals.iter().any(|nal| nal[0] & 0x1f == 7)).unwrap();
    assert_eq!(keyframe.iter().find(|nal| nal[0] & 0x1f == 7), Some(&sps), "the viewer has the new ones");
    scene.is_first_session();
}

/// The picture grows.
#[tokio::test]
async fn the_resolution_changes_while_it_is_watched() {
    let scene = scene(becomes(Video { width: 640, height: 360, ..VIDEO })).await;
    scene.goes_on("another resolution").await;
    let seen = || async { scene.gateway.camera("front").await["video"]["width"].as_u64() };
    wait::until_value("the new width", LIMIT, seen, |width| *width == Some(640)).await;
    scene.is_first_session();
}
