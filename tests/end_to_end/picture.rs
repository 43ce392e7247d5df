//! Chromium decodes what we send.

use std::time::Duration;

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Audio, Camera},
    },
};

#[tokio::test]
async fn chromium_shows_an_rtsp_camera() {
    let camera = Camera::builder().gop(150).start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let browser = Browser::start().await;
    let join = browser.open_bare(&gateway.whep("front"), LIMIT).await;
    assert_eq!((join.width, join.height), (320, 180));
    let stats = browser.wait_decoded(30, LIMIT).await;
    assert_eq!(stats.packets_lost, 0, "{stats:?}");
    let picture = browser.wait_counter(LIMIT).await;
    assert!(picture.shows_something(), "{picture:?}");
    let age = camera.age_of(picture.counter.expect("waited for it"));
    assert!(age < Duration::from_secs(3), "the picture is live and not the cached past: {age:?}");
}

#[tokio::test]
async fn chromium_follows_a_change_of_resolution() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open_bare(&gateway.whep("front"), LIMIT).await;
    browser.wait_decoded(10, LIMIT).await;
    camera.change_size(640, 360);
    browser.wait_for("document.querySelector('video').videoWidth === 640", LIMIT).await;
    browser.wait_decoded(20, LIMIT).await;
    assert_eq!(gateway.camera("front").await["video"]["width"], 640);
    assert_eq!(gateway.sessions().await.len(), 1, "on the same session");
}

/// What `scripts/run` shows: no camera, no network, picture and sound.
#[cfg(feature = "gstreamer")]
#[tokio::test]
async fn chromium_shows_and_hears_the_test_pattern() {
    let pipelines = concat!("[pipelines]\npath = [\"", env!("CARGO_MANIFEST_DIR"), "/pipelines\"]");
    let entry = "[[camera]]\nname = \"test\"\npipeline = \"test-pattern\"\n[camera.with]\nwidth = 320\nheight = 180\n";
    let gateway = crate::support::gateway::Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .config(entry)
        .config(pipelines)
        .spawn()
        .await;
    let environment = std::fs::read(format!("/proc/{}/environ", gateway.pid())).expect("it runs");
    let variables = String::from_utf8_lossy(&environment);
    assert!(variables.contains("GST_V4L2_FORCE_DRAIN=1\0"), "for webcams, under the process id it was started with");
    let browser = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
    browser.open(&gateway.url("/watch/test?sound=1")).await;
    let stats = browser.wait_decoded(30, LIMIT).await;
    assert_eq!((stats.frame_width, stats.frame_height), (320, 180));
    assert!(browser.picture().await.is_some_and(|picture| picture.shows_something()));
    let energy = || async { browser.audio_stats().await.map_or(0.0, |audio| audio.total_audio_energy) };
    let before = energy().await;
    crate::support::wait::until_value("the tone to be heard", LIMIT, energy, |energy| *energy > before).await;
}

/// Plays every kind of sound in Chromium and measures the pitch of what comes out of it.
#[tokio::test]
async fn chromium_hears_the_tone_that_the_camera_sends() {
    const PITCH: &str = "
        const stream = document.querySelector('video').srcObject;
        const context = new AudioContext();
        const analyser = context.createAnalyser();
        analyser.fftSize = 8192;
        context.createMediaStreamSource(stream).connect(analyser);
        window.pitch = () => {
            const levels = new Float32Array(analyser.frequencyBinCount);
            analyser.getFloatFrequencyData(levels);
            const loudest = levels.indexOf(levels.reduce((a, b) => Math.max(a, b)));
            return levels[loudest] < -60 ? 0 : loudest * context.sampleRate / analyser.fftSize;
        };";
    for audio in [Audio::Aac, Audio::L16, Audio::Opus, Audio::Pcmu, Audio::Pcma, Audio::G722] {
        let camera = Camera::builder().audio(audio).tone(1_250.0).start();
        let gateway = gateway(&camera, "").await;
        let browser = Browser::builder().autoplay_policy("no-user-gesture-required").start().await;
        browser.open(&gateway.url("/watch/front?sound=1")).await;
        browser.wait_decoded(10, LIMIT).await;
        browser.run(PITCH).await;
        let heard = || async { browser.eval("window.pitch()").await.as_f64().unwrap_or(0.0) };
        let right = |pitch: &f64| (pitch - 1_250.0).abs() < 15.0;
        crate::support::wait::until_value(&format!("1,250 Hz by {audio:?}"), LIMIT, heard, right).await;
    }
}
