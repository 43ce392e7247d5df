//! What viewers get: the cached GOP on one timeline, repair, keyframes, sound; and how sessions end.

use std::time::{Duration, Instant};

use crate::{
    LIMIT, gateway,
    support::{
        camera::{Audio, Camera},
        gateway::Gateway,
        viewer::{Kind, Viewer},
    },
};

/// A camera whose keyframes are 20 seconds apart, live and some frames into its GOP.
async fn slow_camera() -> (Camera, Gateway) {
    let camera = Camera::builder().fps(15).gop(300).start();
    let gateway = gateway(&camera, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    (camera, gateway)
}

#[tokio::test]
async fn a_newcomer_gets_the_cached_gop_at_once_on_one_timeline() {
    let (_camera, gateway) = slow_camera().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    viewer.wait_more(Kind::Video, 150, LIMIT).await;
    let log = viewer.video();
    assert_eq!((log.missing(), log.reordered()), (0, 0));
    assert!(log.packets[0].nals.has(crate::support::viewer::h264::NalTypes::SPS), "starts with its parameter sets");
    let stamps = log.timestamps();
    let steps: Vec<_> = stamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let cached = steps.iter().take_while(|step| (1..=90).contains(*step)).count();
    assert!(cached >= 15, "two seconds were cached, at most 1 ms apart: {steps:?}");
    let live = &steps[cached..];
    // A camera on a busy machine leaves out a frame now and then; a burst or a pause would be none of its steps.
    let frames = |step: &u32| (3_000..30_000).contains(step);
    assert!(live.len() >= 15 && live.iter().all(frames), "then 15 frames a second: {live:?}");
}

#[tokio::test]
async fn without_the_cache_a_newcomer_waits_for_the_keyframe() {
    let camera = Camera::builder().fps(15).gop(45).start();
    let gateway = gateway(&camera, "start = \"always\"\ngop_cache_mib = 0").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    let log = viewer.video();
    assert_eq!(log.keyframes()[0], log.packets[0].timestamp, "nothing before the keyframe");
    assert!(log.timestamps().windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) > 90));
}

#[tokio::test]
async fn ten_viewers_share_one_connection_to_the_camera() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(Viewer::join(gateway.whep("front")).await);
    }
    for viewer in &viewers {
        viewer.wait_packets(Kind::Video, 60, LIMIT).await;
        assert_eq!(viewer.video().missing(), 0);
    }
    assert_eq!((camera.connections(), camera.plays_total()), (1, 1));
    assert_eq!(gateway.camera("front").await["viewers"], 10);
    let ports: std::collections::HashSet<_> = viewers
        .iter()
        .map(|viewer| viewer.answer().lines().find(|line| line.starts_with("m=video")).map(|line| line[8..].to_owned()))
        .collect();
    assert_eq!(ports.len(), 1, "one UDP port for all: {ports:?}");
}

#[tokio::test]
async fn lost_packets_are_sent_again() {
    let camera = Camera::builder().bitrate_kbps(1_500).start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 50, LIMIT).await;
    viewer.lose_every(20);
    viewer.wait_more(Kind::Video, 400, LIMIT).await;
    viewer.lose_every(0);
    viewer.wait_more(Kind::Video, 100, LIMIT).await;
    assert!(viewer.lost() >= 15, "{} were lost on the way", viewer.lost());
    let session = &gateway.sessions().await[0];
    assert!(session["nacks"].as_u64().unwrap() >= 10, "{session}");
    assert!(session["retransmissions"].as_u64().unwrap() >= 10, "{session}");
    assert_eq!(viewer.video().missing(), 0, "every one was repaired");
}

#[tokio::test]
async fn a_keyframe_request_is_answered_from_the_cache() {
    let (_camera, gateway) = slow_camera().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for _ in 0..5 {
        viewer.send_pli().await;
    }
    viewer.wait_keyframes(2, LIMIT).await;
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    let log = viewer.video();
    assert_eq!(log.keyframes().len(), 2, "five requests in a row are one");
    assert_eq!((log.missing(), log.reordered()), (0, 0));
    let stamps = log.timestamps();
    assert!(
        stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < 1 << 31),
        "time only goes forward: {stamps:?}"
    );
    assert_eq!(gateway.sessions().await[0]["plis"], 5);
}

#[tokio::test]
async fn sound_that_browsers_play_passes_through() {
    for (audio, name) in [(Audio::Pcmu, "PCMU"), (Audio::Pcma, "PCMA"), (Audio::Opus, "opus")] {
        let camera = Camera::builder().audio(audio).start();
        let gateway = gateway(&camera, "").await;
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_packets(Kind::Audio, 50, LIMIT).await;
        viewer.wait_packets(Kind::Video, 20, LIMIT).await;
        assert_eq!(viewer.audio().mime_type, format!("audio/{name}"));
        assert_eq!(gateway.camera("front").await["audio"]["codec"], name);
    }
}

#[tokio::test]
async fn aac_arrives_as_opus_unless_that_is_not_wanted() {
    let camera = Camera::builder().audio(Audio::Aac).start();
    let transcoding = gateway(&camera, "").await;
    let viewer = Viewer::join(transcoding.whep("front")).await;
    viewer.wait_packets(Kind::Audio, 100, LIMIT).await;
    let log = viewer.audio();
    assert_eq!((log.mime_type.as_str(), log.missing()), ("audio/opus", 0));
    let stamps: Vec<_> = log.packets.iter().map(|packet| packet.timestamp).collect();
    assert!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == 960), "20 ms each: {stamps:?}");
    assert_eq!(transcoding.camera("front").await["audio"]["codec"], "opus");
    for policy in ["passthrough", "off"] {
        let gateway = gateway(&camera, &format!("audio = \"{policy}\"")).await;
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_packets(Kind::Video, 30, LIMIT).await;
        let camera = gateway.camera("front").await;
        assert_eq!(camera["audio"], serde_json::Value::Null);
        assert_eq!(camera["audio_note"].as_str().is_some_and(|note| note.contains("AAC")), policy == "passthrough");
        assert_eq!(viewer.packets(Kind::Audio), 0);
    }
}

#[tokio::test]
async fn a_viewer_may_leave_out_the_sound() {
    let camera = Camera::builder().audio(Audio::Pcmu).start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).audio(false).join().await;
    viewer.wait_packets(Kind::Video, 30, LIMIT).await;
    assert!(!viewer.answer().contains("m=audio"));
    let listener = Viewer::builder(gateway.whep("front")).video(false).join().await;
    listener.wait_packets(Kind::Audio, 30, LIMIT).await;
    assert_eq!(listener.packets(Kind::Video), 0);
}

/// GStreamer 1.22's webrtcbin does not know AES-GCM; see src/peer/dtls.rs.
#[tokio::test]
async fn a_viewer_without_aes_gcm_is_served_with_aes_cm() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::builder(gateway.whep("front")).sha1_only(true).join().await;
    viewer.wait_packets(Kind::Video, 60, LIMIT).await;
    assert_eq!(viewer.video().missing(), 0);
    viewer.wait_keyframes(1, LIMIT).await;
    assert_eq!(viewer.close().await, 200);
}

#[tokio::test]
async fn a_viewer_that_says_goodbye_is_gone_at_once() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    viewer.hang_up().await;
    gateway.wait_sessions(0, Duration::from_secs(3)).await;
    gateway.wait_log("the viewer left", LIMIT).await;
}

#[tokio::test]
async fn a_viewer_that_vanishes_loses_its_consent() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    let other = Viewer::join(gateway.whep("front")).await;
    viewer.vanish().await;
    let since = Instant::now();
    gateway.wait_sessions(1, Duration::from_secs(30)).await;
    assert!(since.elapsed() > Duration::from_secs(5), "a short silence is not the end");
    gateway.wait_log("not heard any more", LIMIT).await;
    other.wait_more(Kind::Video, 20, LIMIT).await;
}

#[tokio::test]
async fn an_answer_that_nobody_connects_to_does_not_stay() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "linger_seconds = 0").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    let offer = viewer.offer().to_owned();
    viewer.close().await;
    assert_eq!(gateway.post_offer("front", offer).await.status(), 201);
    gateway.wait_sessions(1, LIMIT).await;
    gateway.wait_sessions(0, Duration::from_secs(40)).await;
    camera.wait_connections(0, LIMIT).await;
}
