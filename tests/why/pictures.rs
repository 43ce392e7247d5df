//! Cameras that send what browsers do not show, or not at once.

use std::time::Duration;

use crate::{
    LIMIT,
    cause::Cause,
    places::{browser, gateway, has, lines, page_says, play, run_play},
    support::camera::{Audio, Camera, Profile, Video},
};

pub(crate) const B_FRAMES: Cause = Cause {
    name: "B-frames",
    code: "b-frames",
    sentence: "the camera sends B-frames, which browsers cannot show over WebRTC, so that most pictures are missing: set the \
               profile of its H.264 to Baseline, or switch B-frames off",
    provoked: "the RTSP server sends two B-frames between others; `video_code` and `video_note` in the API",
    test: "b_frames",
};

#[tokio::test]
async fn b_frames() {
    let camera = Camera::builder().profile(Profile::Main).b_frames(2).start();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    let browser = browser().await;
    browser.open(&gateway.url("/watch/front")).await;
    let sentence = B_FRAMES.is_noted(&gateway, "video").await;
    page_says(&browser, &sentence).await;
    B_FRAMES.is_probed(&gateway, &[]).await;
}

pub(crate) const UNDECODABLE_SOUND: Cause = Cause {
    name: "AAC that cannot be decoded",
    code: "sound-undecodable",
    sentence: "no sound: AAC-SSR cannot be decoded; set the camera's audio to AAC-LC",
    provoked: "the RTSP server says that its AAC is AAC-SSR; the picture plays, `audio_code` and `audio_note` in the API, on \
               the page at the button for sound",
    test: "undecodable_sound",
};

#[tokio::test]
async fn undecodable_sound() {
    let camera = Camera::builder().audio(Audio::AacSsr).start();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    let browser = browser().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let sentence = UNDECODABLE_SOUND.is_noted(&gateway, "audio").await;
    let noted = serde_json::to_string(&sentence).unwrap();
    let button = "document.querySelector('button[aria-keyshortcuts=m]')";
    browser.wait_for(&format!("{button}.disabled && {button}.title.includes({noted})"), LIMIT).await;
    let report = run_play(&[], &gateway.whep("front"), &["--seconds", "1"]).await;
    assert!(report["played"] == true && report["audio"].is_null(), "{report}");
}

pub(crate) const LONG_GOP: Cause = Cause {
    name: "GOP longer than 30 s",
    code: "long-gop",
    sentence: "a new viewer's picture begins with the camera's next keyframe, and it … s: set a shorter keyframe (I-frame) \
               interval in the camera, such as 2 s",
    provoked: "the RTSP server sends no second keyframe; somebody comes after 32 s, when the first is not cached any more; \
               `video_code` and `video_note` of the camera, `code` and `reason` of the session in the API. Measured: `sends one \
               only every 40 s`; before a second keyframe: `has sent none for more than 30 s`",
    test: "long_gop",
};

#[tokio::test]
async fn long_gop() {
    let camera = Camera::builder().gop(100_000).start();
    let gateway = gateway(&format!("{}start = \"always\"\n", camera.toml("front"))).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    tokio::time::sleep(Duration::from_secs(32)).await;
    let browser = browser().await;
    browser.open(&gateway.url("/watch/front")).await;
    let noted = gateway.camera("front").await;
    assert_eq!(noted["video_code"], LONG_GOP.code, "{noted}");
    let sentence = LONG_GOP.checked(&noted["video_note"]);
    assert!(has(&sentence, "has sent none for more than "), "{sentence}");
    // The number grows while it is asked.
    let begin = "a new viewer's picture begins with the camera's next keyframe, and it has sent none for more than";
    page_says(&browser, begin).await;
    let session = gateway.wait_sessions(1, LIMIT).await.remove(0);
    assert_eq!((&session["state"], &session["code"]), (&"connected".into(), &LONG_GOP.code.into()), "{session}");
    LONG_GOP.checked(&session["reason"]);
    assert_eq!(lines(&gateway, &["camera=front", "code=\"long-gop\"", &sentence, "browsers may not show"]).len(), 1);
    let played = play(&gateway.whep("front"), &[]).await;
    assert!(has(&played, begin), "play: {played}");
    // The page has waited all the time, in one session.
    assert_eq!(gateway.log().matches("viewer connected").count(), 2, "the page's and play's: {}", gateway.log());
    camera.force_keyframe();
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
}

pub(crate) const TOO_LARGE: Cause = Cause {
    name: "resolution beyond the browser's decoder",
    code: "picture-too-large",
    sentence: "the camera's picture of … is larger than browsers decode (H.264 level 5.2, 4096x2304): choose a smaller \
               resolution in the camera, or another stream of it in url",
    provoked: "the RTSP server sends 4352x2464, of which Chromium decodes nothing (4096x2304 it does); `video_code` and \
               `video_note` in the API",
    test: "too_large",
};

#[tokio::test]
async fn too_large() {
    let camera = |width, height| {
        Camera::builder().size(width, height).fps(1).gop(2).noise_percent(0).bitrate_kbps(2_000).start()
    };
    let browser = browser().await;
    let largest = camera(4096, 2304);
    let shows = gateway(&largest.toml("front")).spawn().await;
    browser.open(&shows.url("/watch/front")).await;
    browser.wait_decoded(2, LIMIT).await;
    assert!(shows.camera("front").await["video_note"].is_null());
    drop((shows, largest));
    let larger = camera(4352, 2464);
    let fails = gateway(&larger.toml("front")).spawn().await;
    browser.open(&fails.url("/watch/front")).await;
    let sentence = TOO_LARGE.is_noted(&fails, "video").await;
    page_says(&browser, &sentence).await;
    assert_eq!(browser.video_stats().await.unwrap_or_default().frames_decoded, 0);
    TOO_LARGE.is_probed(&fails, &[]).await;
}

pub(crate) const RARE_PROFILE: Cause = Cause {
    name: "H.264 of a profile that browsers do not decode",
    code: "rare-profile",
    sentence: "the camera's H.264 has the profile …, which not every browser decodes (Chromium does): set its profile to \
               Baseline, Main or High",
    provoked: "the RTSP server sends High 10, and High 4:2:2; both play in Chromium, so that its page says nothing; `video_code` \
               and `video_note` in the API",
    test: "rare_profile",
};

#[tokio::test]
async fn rare_profile() {
    for video in [Video::H264High10, Video::H264High422] {
        let camera = Camera::builder().video(video).start();
        let gateway = gateway(&camera.toml("front")).spawn().await;
        let browser = browser().await;
        browser.open(&gateway.url("/watch/front")).await;
        let sentence = RARE_PROFILE.is_noted(&gateway, "video").await;
        browser.wait_decoded(15, LIMIT).await;
        let said = browser.eval("said.words.concat(said.status).join('|')").await;
        assert!(!has(said.as_str().unwrap(), &sentence), "{said}");
        RARE_PROFILE.is_probed(&gateway, &[]).await;
    }
}
