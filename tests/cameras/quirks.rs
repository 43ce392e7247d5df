//! Quirks of cameras, each seen in spite of it: every picture that the camera sent is at the viewer, slice by slice as it
//! was coded, and the viewer can begin with any keyframe.

mod descriptions;
mod media;
mod refused;
mod sessions;
mod sound;
mod urls;

use std::collections::HashMap;

use crate::LIMIT;
use crate::support::camera::scripted::{Builder, Scripted, Video};
use crate::support::gateway::Gateway;
use crate::support::viewer::{Kind, Viewer};
use crate::support::wait;

/// A keyframe every ten pictures, so that a test takes a second.
const QUICK: Video = Video { fps: 25, gop: 10, ..Video::SMALL };
/// Keyframes that a viewer waits for.
const KEYFRAMES: usize = 3;
/// Pictures from the first keyframe to the last.
const PICTURES: usize = (KEYFRAMES - 1) * QUICK.gop as usize;

const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// A camera with a quirk to come.
fn camera() -> Builder {
    Scripted::builder().video(QUICK)
}

/// What plays, for more questions.
struct Scene {
    camera: Scripted,
    gateway: Gateway,
    viewer: Viewer,
}

/// Has a camera seen.
async fn seen(camera: Builder) -> Scene {
    seen_with(camera, "").await
}

/// Has a camera seen, with more keys for its entry.
async fn seen_with(camera: Builder, keys: &str) -> Scene {
    let camera = camera.start();
    let config = camera.toml("front") + keys;
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    let viewer = Viewer::builder(gateway.whep("front")).keep_payloads().join().await;
    viewer.wait_keyframes(KEYFRAMES, LIMIT).await;
    // What a busy viewer has no room for comes again when it asks.
    let pictures = || async { viewer.with(Kind::Video, |log| log.pictures().len()) };
    wait::until_value("pictures in a row", LIMIT, pictures, |count| *count >= PICTURES).await;
    let scene = Scene { camera, gateway, viewer };
    scene.is_whole();
    assert_eq!(scene.camera.plays_total(), 1, "it took more than one session");
    scene
}

impl Scene {
    /// Every picture came, in its order and bit by bit.
    fn is_whole(&self) {
        let clip = &self.camera.clip().units;
        let coded: HashMap<_, _> = clip.iter().enumerate().map(|(at, unit)| (slices(&unit.nals), at)).collect();
        let pictures = self.viewer.with(Kind::Video, |log| log.pictures());
        let mut before = None;
        for (number, nals) in pictures.iter().enumerate() {
            let types: Vec<_> = nals.iter().map(|nal| kind(nal)).collect();
            let Some(at) = coded.get(&slices(nals)) else {
                panic!("picture {number} of {types:?} is none of the camera's")
            };
            let next = before.map(|before| (before + 1) % clip.len());
            assert!(next.is_none_or(|next| next == *at), "picture {at} came behind {before:?}");
            before = Some(*at);
            if types.contains(&IDR) {
                assert!(types.contains(&SPS) && types.contains(&PPS), "a keyframe of {types:?} alone");
            }
        }
    }

    /// Sound comes, too.
    async fn is_heard(&self) {
        self.viewer.wait_packets(Kind::Audio, 10, LIMIT).await;
    }
}

fn kind(nal: &[u8]) -> u8 {
    nal[0] & 0x1f
}

/// The coded picture, without what is said about it.
fn slices(nals: &[Vec<u8>]) -> Vec<Vec<u8>> {
    nals.iter().filter(|nal| [SLICE, IDR].contains(&kind(nal))).cloned().collect()
}

/// A camera that does everything right.
#[tokio::test]
async fn a_camera_without_quirks_is_seen() {
    seen(camera()).await;
}
