//! What Chromium makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::keyframes::{huge, watching, without_keyframes};
use super::parameter_sets::packets_of;
use super::{FAULT, VIDEO, gateway};
use crate::LIMIT;
use crate::support::browser::Browser;
use crate::support::camera::scripted::clip::Refresh;
use crate::support::camera::scripted::pps::two_sets;
use crate::support::camera::scripted::{Scripted, Video};
use crate::support::viewer::Kind;

/// Notes the time and the width of each picture that is shown.
const WATCH: &str = "
    window.shown = [];
    const video = document.querySelector('video');
    const note = (_, frame) => {
        window.shown.push([Date.now(), frame.width]);
        video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);";

fn milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The picture grows, and shrinks again: Chromium shows it in the session that it has.
#[tokio::test]
async fn chromium_follows_another_resolution() {
    let other = Video { width: 640, height: 360, ..VIDEO }.clip();
    let changed = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let (late, times) = (8 * FAULT, changed.clone());
    let camera = Scripted::builder().video(VIDEO).shape(move |line, unit| match line.frame {
        at if at < 4 * FAULT || at >= late => {
            if at >= late {
                let _ = times[1].compare_exchange(0, milliseconds(), Ordering::SeqCst, Ordering::SeqCst);
            }
            line.packetize(unit)
        }
        _ => {
            let _ = times[0].compare_exchange(0, milliseconds(), Ordering::SeqCst, Ordering::SeqCst);
            packets_of(&other, line, 4 * FAULT)
        }
    });
    let camera = camera.start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open_bare(&gateway.whep("front"), LIMIT).await;
    browser.run(WATCH).await;
    let session = gateway.sessions().await[0]["id"].clone();
    for (index, width) in [640, 320].into_iter().enumerate() {
        let seen = format!("window.shown.some(([at, width]) => width === {width} && at >= ");
        browser.wait_for(&format!("{seen} 0)"), LIMIT).await;
        crate::support::wait::until("the change", LIMIT, || async {
            (changed[index].load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
        let from = changed[index].load(Ordering::SeqCst);
        browser.wait_for(&format!("{seen} {from})"), LIMIT).await;
        let first = format!("window.shown.find(([at, width]) => width === {width} && at >= {from})[0]");
        let at = browser.eval(&first).await.as_f64().unwrap();
        println!("Chromium shows {width} pixels {} ms after they were sent", at - from as f64);
    }
    let gap = "Math.max(...window.shown.slice(1).map(([at], index) => at - window.shown[index][0]))";
    println!("Chromium: at most {} ms without a picture", browser.eval(gap).await);
    browser.wait_decoded(25, LIMIT).await;
    let sessions = gateway.sessions().await;
    assert_eq!((sessions.len(), &sessions[0]["id"]), (1, &session), "in the same session");
    assert_eq!(camera.plays_total(), 1);
}

/// No keyframe but the first, which a newcomer gets from the cache: Chromium shows it, and what is refreshed since.
#[tokio::test]
async fn chromium_shows_intra_refresh() {
    let camera = without_keyframes(Refresh::Intra).start();
    let gateway = gateway(&camera, "").await;
    let first = watching(&gateway).await;
    first.wait_packets(Kind::Video, 100, LIMIT).await;
    let browser = Browser::start().await;
    let join = browser.open_bare(&gateway.whep("front"), LIMIT).await;
    println!("intra refresh: Chromium's first picture after {} ms", join.first_frame);
    browser.wait_decoded(75, LIMIT).await;
    let keyframes = browser.video_stats().await.unwrap_or_default().key_frames_decoded;
    println!("intra refresh: {keyframes} keyframes decoded");
    assert_eq!(camera.plays_total(), 1);
}

/// The encoder has two picture parameter sets and changes between them: Chromium decodes all pictures, also those behind the
/// change of the way in which they are taken.
#[tokio::test]
async fn chromium_shows_pictures_of_two_parameter_sets() {
    let camera = Scripted::builder().video(VIDEO).shape(two_sets).start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open_bare(&gateway.whep("front"), LIMIT).await;
    let plays = || async { camera.plays_total() };
    crate::support::wait::until_value("sessions", LIMIT, plays, |count| *count == 2).await;
    browser.wait_decoded(10, LIMIT).await;
    let before = browser.video_stats().await.unwrap_or_default();
    let after = browser.wait_decoded(60, LIMIT).await;
    let decoded = after.frames_decoded - before.frames_decoded;
    let received = after.frames_received - before.frames_received;
    assert!(received - decoded <= 5, "{decoded} of {received} pictures were decoded");
    assert_eq!(camera.plays_total(), 2);
}

/// Keyframes of two megabytes, which are 1,713 packets: Chromium keeps at most 2,048 of one picture.
#[tokio::test]
async fn chromium_decodes_keyframes_of_two_megabytes() {
    let camera = Scripted::builder().video(Video { gop: 50, ..VIDEO }).shape(huge).start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    let join = browser.open_bare(&gateway.whep("front"), LIMIT).await;
    println!("keyframes of 2 MB: Chromium's first picture after {} ms", join.first_frame);
    browser.run(WATCH).await;
    let keyframes = || async { browser.video_stats().await.unwrap_or_default().key_frames_decoded };
    crate::support::wait::until_value("keyframes decoded", 2 * LIMIT, keyframes, |count| *count >= 4).await;
    let gap = "Math.max(...window.shown.slice(1).map(([at], index) => at - window.shown[index][0]))";
    println!("keyframes of 2 MB: Chromium at most {} ms without a picture", browser.eval(gap).await);
    assert_eq!(gateway.sessions().await.len(), 1);
    assert_eq!(camera.plays_total(), 1);
}
