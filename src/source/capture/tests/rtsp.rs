//! What plain RTSP does not reach.

use super::{
    camera::{Camera, FINGERPRINT, Plan},
    *,
};
use crate::media::AudioCodec;

fn rtspsrc(values: &[(&str, &str)]) -> Launch {
    shipped("rtspsrc", &[], values)
}

/// Starts it and takes a second of picture, and of sound if there is some.
async fn watch(values: &[(&str, &str)], sound: bool) -> Run {
    let mut run = Run::start(&rtspsrc(values));
    // A camera starts anywhere; what comes before its first keyframe is dropped later.
    while !run.pictures.last().is_some_and(|(_, keyframe)| *keyframe) {
        run.take(1, 0).await.unwrap();
    }
    run.pictures.drain(..run.pictures.len() - 1);
    run.take(20, if sound { 20 } else { 0 }).await.unwrap();
    run.check_pictures(320, 180);
    run
}

#[tokio::test]
async fn sound_as_it_comes() {
    for (audio, codec, channels) in [
        (None, None, 0),
        (Some("audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay pt=97"), Some(AudioCodec::Opus), 2),
        (Some("audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay"), Some(AudioCodec::Pcma), 1),
        (Some("audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay"), Some(AudioCodec::Pcmu), 1),
        (Some("audio/x-raw,rate=16000,channels=1 ! avenc_aac ! rtpmp4gpay pt=97"), Some(AudioCodec::Opus), 1),
        (
            Some("audio/x-raw,rate=44100,channels=2 ! avenc_aac ! aacparse ! rtpmp4apay pt=97"),
            Some(AudioCodec::Opus),
            2,
        ),
    ] {
        let camera = Camera::start(Plan { audio, ..Plan::default() });
        let run = watch(&[("url", &camera.url("rtsp"))], audio.is_some()).await;
        assert_eq!(run.audio.map(|audio| audio.codec), codec, "{audio:?}");
        assert!(run.audio.is_none_or(|given| given.channels == channels), "{audio:?}: {:?}", run.audio);
    }
}

#[tokio::test]
async fn sound_that_nobody_can_use_does_not_stop_the_picture() {
    let audio = Some("audio/x-raw,rate=16000,channels=1 ! speexenc ! rtpspeexpay pt=97");
    let camera = Camera::start(Plan { audio, ..Plan::default() });
    let run = watch(&[("url", &camera.url("rtsp"))], false).await;
    assert_eq!(run.audio, None);
}

#[tokio::test]
async fn a_certificate_that_the_camera_signed_itself() {
    let camera = Camera::start(Plan { tls: true, ..Plan::default() });
    let url = camera.url("rtsps");
    let refused = Run::start(&rtspsrc(&[("url", &url)])).failure().await;
    assert!(refused.contains("not signed by an authority") && refused.contains(FINGERPRINT), "{refused}");
    watch(&[("url", &url), ("certificate", FINGERPRINT)], false).await;
    let other = FINGERPRINT.replace('A', "B");
    let refused = Run::start(&rtspsrc(&[("url", &url), ("certificate", &other)])).failure().await;
    assert!(refused.contains("is not the pinned one") && refused.contains(FINGERPRINT), "{refused}");
}

#[tokio::test]
async fn a_pin_is_of_no_use_without_encryption() {
    let camera = Camera::start(Plan::default());
    let refused = Run::start(&rtspsrc(&[("url", &camera.url("rtsp")), ("certificate", FINGERPRINT)])).failure().await;
    assert!(refused.contains("did not show the certificate that is pinned"), "{refused}");
}

#[tokio::test]
async fn through_http() {
    let camera = Camera::start(Plan::default());
    watch(&[("url", &camera.url("rtsph"))], false).await;
}

#[tokio::test]
async fn through_https() {
    let camera = Camera::start(Plan { tls: true, ..Plan::default() });
    watch(&[("url", &camera.url("rtspsh")), ("certificate", FINGERPRINT)], false).await;
}

#[tokio::test]
async fn over_udp_and_decrypted() {
    let camera = Camera::start(Plan { srtp: true, ..Plan::default() });
    for transport in ["udp", "tcp"] {
        watch(&[("url", &camera.url("rtsp")), ("transport", transport)], false).await;
    }
}

#[tokio::test]
async fn credentials() {
    let camera = Camera::start(Plan { tls: true, user: Some(("viewer", "hunter2 (o)!")), ..Plan::default() });
    let values = |password| -> Vec<(&'static str, String)> {
        let pairs = [("url", camera.url("rtsps")), ("certificate", FINGERPRINT.to_owned())];
        pairs.into_iter().chain([("username", "viewer".to_owned()), ("password", password)]).collect()
    };
    let right = values("hunter2 (o)!".to_owned());
    watch(&right.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>(), false).await;
    let wrong = values("hunter3".to_owned());
    let wrong = rtspsrc(&wrong.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>());
    let refused = Run::start(&wrong).failure().await;
    assert!(refused.contains("check the credentials") && !refused.contains("hunter"), "{refused}");
}
