//! Talking to the people before a camera: what Chromium's microphone hears comes out of the loudspeaker of an ONVIF camera, or of a
//! pipeline of this machine. The microphone is a file with a tone of 1 kHz.

use std::{f64::consts::TAU, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    LIMIT,
    auth::program,
    support::{
        browser::{Browser, Publication},
        camera::{
            Camera,
            doorbell::{Doorbell, HZ, Loudspeaker, frequency},
        },
        gateway::{Builder, Gateway},
        wait::until_value,
    },
};

const TONE: f64 = 1_000.0;
const TALK: &str = "talk = \"onvif\"\n";

/// A tone as a WAV file, mono, 16 bits, 48 kHz.
fn tone(folder: &Path) -> String {
    const RATE: u32 = 48_000;
    let samples = (0..RATE * 2).map(|at| ((TAU * TONE * f64::from(at) / f64::from(RATE)).sin() * 12_000.0) as i16);
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    let file = folder.join("tone.wav");
    std::fs::write(&file, wav).expect("a file");
    file.display().to_string()
}

/// A browser whose microphone hears the tone.
async fn speaker(folder: &Path) -> Browser {
    let file = format!("--use-file-for-fake-audio-capture={}", tone(folder));
    Browser::builder().fake_devices().flag(&file).start().await
}

fn gateway_of(config: &str) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config)
}

/// On a page of the gateway's, so that it may ask for anything.
async fn at(gateway: &Gateway, browser: &Browser) {
    browser.open(&gateway.url("/healthz")).await;
}

async fn talk(gateway: &Gateway, browser: &Browser) -> Value {
    browser.publish(&gateway.url("/whip/front/talk"), &Publication::voice()).await
}

async fn talking(gateway: &Gateway) -> Value {
    gateway.camera("front").await["talk"].clone()
}

async fn hears_the_tone(heard: impl Fn() -> Vec<i16>, hz: f64) {
    let half_a_second = (hz / 2.0) as usize;
    // How much there is, and how loud and high the last of it.
    let ending = || async {
        let samples = heard();
        let last = &samples[samples.len().saturating_sub(half_a_second)..];
        let peak = last.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        (samples.len(), peak, frequency(last, hz))
    };
    let is_tone =
        |heard: &(usize, u16, f64)| heard.0 >= half_a_second && heard.1 > 1_000 && (heard.2 - TONE).abs() < 15.0;
    until_value("the tone to be heard", LIMIT, ending, is_tone).await;
}

#[tokio::test]
async fn a_camera_says_what_the_microphone_hears() {
    let folder = tempfile::tempdir().expect("a folder");
    for (loudspeaker, codec) in
        [(Loudspeaker::Pcmu, "PCMU/8000"), (Loudspeaker::Pcma, "PCMA/8000"), (Loudspeaker::Aac, "AAC/8000")]
    {
        let door = Doorbell::with_login(loudspeaker, Some(("bell", "open-sesame")));
        let gateway = gateway_of(&format!("{}{TALK}", door.toml("front"))).spawn().await;
        let browser = speaker(folder.path()).await;
        at(&gateway, &browser).await;
        let free = json!({ "limit_seconds": 60.0, "busy": false, "speaker": null });
        assert_eq!(talking(&gateway).await, free);
        assert_eq!(talk(&gateway, &browser).await["status"], 201);
        hears_the_tone(|| door.heard(), HZ).await;
        assert!(gateway.find_log("somebody talks").is_some_and(|line| line.contains(codec)), "{}", gateway.log());
        assert_eq!(talking(&gateway).await["busy"], true);
        browser.run("await fetch(window.publisher.location, { method: 'DELETE' });").await;
        until_value("the floor to be free", LIMIT, || talking(&gateway), |talk| *talk == free).await;
    }
}

#[tokio::test]
async fn one_talks_at_a_time_and_for_a_while() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Doorbell::start(Loudspeaker::Pcmu);
    let gateway = gateway_of(&format!("{}{TALK}talk_limit_seconds = 4\n", door.toml("front"))).spawn().await;
    let (first, second) = tokio::join!(speaker(folder.path()), speaker(folder.path()));
    tokio::join!(at(&gateway, &first), at(&gateway, &second));
    assert_eq!(talk(&gateway, &first).await["status"], 201);
    let refused = talk(&gateway, &second).await;
    assert_eq!(
        (&refused["status"], &refused["problem"]["code"]),
        (&json!(409), &json!("already-talking")),
        "{refused}"
    );
    let over = "const answer = await fetch(window.publisher.location);
        return answer.status === 410 && (await answer.json()).code;";
    until_value("the limit", LIMIT, || first.run(over), |code| *code == json!("talked-long")).await;
    let again = || async { talk(&gateway, &second).await["status"] == 201 };
    until_value("the second to be let", LIMIT, again, |is_let| *is_let).await;
    let page = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("camgate_camera_talks_total{camera=\"front\"} 2"), "{page}");
}

#[tokio::test]
async fn who_is_not_heard_is_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let (deaf, plain) = (Doorbell::start(Loudspeaker::None), Camera::builder().start());
    let away = "[[camera]]\nname = \"away\"\nurl = \"rtsp://127.0.0.1:9/door\"\ntalk = \"onvif\"\n";
    let config = format!("{}{TALK}{}{away}", deaf.toml("front"), plain.toml("plain"));
    let gateway = gateway_of(&config).spawn().await;
    let browser = speaker(folder.path()).await;
    at(&gateway, &browser).await;
    let said = |camera: &'static str| {
        let url = gateway.url(&format!("/whip/{camera}/talk"));
        let browser = &browser;
        async move {
            let answer = browser.publish(&url, &Publication::voice()).await;
            (answer["status"].clone(), answer["problem"]["code"].clone())
        }
    };
    assert_eq!(said("front").await, (json!(502), json!("no-backchannel")));
    assert_eq!(said("plain").await, (json!(409), json!("talk-off")));
    assert_eq!(said("away").await, (json!(502), json!("camera-refuses-connections")));
    assert_eq!(said("nobody").await, (json!(404), json!("no-such-camera")));
    assert_eq!(gateway.camera("plain").await["talk"], Value::Null);
    let page = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("camgate_camera_failed_talks_total{camera=\"front\"} 1"), "{page}");
}

#[tokio::test]
async fn talking_is_a_right_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Doorbell::start(Loudspeaker::Pcmu);
    let (anna, anna_token) = program("anna", "actions = [\"watch\", \"talk\", \"api\"]").await;
    let (otto, otto_token) = program("otto", "actions = [\"watch\", \"publish\"]").await;
    let gateway = gateway_of(&format!("{}{TALK}{anna}{otto}", door.toml("front"))).spawn().await;
    let browser = speaker(folder.path()).await;
    at(&gateway, &browser).await;
    let url = gateway.url("/whip/front/talk");
    let with = |token: &str| Publication { token: Some(token.to_owned()), ..Publication::voice() };
    assert_eq!(browser.publish(&url, &with(&otto_token)).await["status"], 403);
    assert_eq!(browser.publish(&url, &with(&anna_token)).await["status"], 201);
    hears_the_tone(|| door.heard(), HZ).await;
    let cameras = gateway.http().get(gateway.url("/api/v1/cameras")).bearer_auth(&otto_token).send().await;
    let cameras = cameras.expect("an answer").text().await.expect("a text");
    let cameras: Value = serde_json::from_str(&cameras).expect("JSON");
    assert_eq!(cameras[0]["talk"]["speaker"], "anna", "who may watch sees who talks");
    // Nobody else ends it.
    let session = browser.run("return window.publisher.location;").await;
    let session = gateway.url(session.as_str().expect("a path"));
    let ended = gateway.http().delete(session).bearer_auth(&otto_token).send().await.expect("an answer");
    assert_eq!(ended.status(), 403);
}

/// A reload that takes the way back away ends who talks; the picture of the camera goes on.
#[tokio::test]
async fn a_reload_ends_who_talks_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Doorbell::start(Loudspeaker::Pcmu);
    let gateway = gateway_of(&format!("{}{TALK}start = \"always\"\n", door.toml("front"))).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let browser = speaker(folder.path()).await;
    at(&gateway, &browser).await;
    assert_eq!(talk(&gateway, &browser).await["status"], 201);
    hears_the_tone(|| door.heard(), HZ).await;
    let toml = gateway.toml();
    gateway.reload(&toml.replace(TALK, "")).await;
    let over = "const answer = await fetch(window.publisher.location);
        return answer.status === 410 && (await answer.json()).code;";
    until_value("the end", LIMIT, || browser.run(over), |code| *code == json!("talk-off")).await;
    assert_eq!(talk(&gateway, &browser).await["problem"]["code"], "talk-off");
    let camera = gateway.camera("front").await;
    assert_eq!((&camera["state"], &camera["reconnects"]), (&json!("live"), &json!(0)), "{camera}");
}

#[tokio::test]
async fn a_pipeline_is_a_loudspeaker() {
    let folder = tempfile::tempdir().expect("a folder");
    let heard = folder.path().join("heard");
    let launch = "appsrc name=talk ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=8000 \
                  ! filesink location={file} buffer-mode=unbuffered sync=false";
    let camera = Camera::builder().start();
    let keys = format!(
        "talk = \"pipeline\"\ntalk_pipeline = \"ear\"\ntalk_with = {{ file = \"{}\" }}\n[pipelines]\npath = [\".\"]\n",
        heard.display()
    );
    let gateway = gateway_of(&format!("{}{keys}", camera.toml("front"))).file("ear.launch", launch).spawn().await;
    let browser = speaker(folder.path()).await;
    at(&gateway, &browser).await;
    assert_eq!(talk(&gateway, &browser).await["status"], 201);
    let read = || {
        let bytes = std::fs::read(&heard).unwrap_or_default();
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect::<Vec<_>>()
    };
    hears_the_tone(read, HZ).await;
}

/// On the page: held by the pointer, by the space bar, and by a click that has no pointer.
#[tokio::test]
async fn the_button_on_the_page_is_held_to_talk() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Doorbell::start(Loudspeaker::Pcmu);
    let gateway = gateway_of(&format!("{}{TALK}", door.toml("front"))).spawn().await;
    let (browser, other) = tokio::join!(speaker(folder.path()), Browser::start());
    browser.open(&gateway.url("/watch/front")).await;
    other.open(&gateway.url("/")).await;
    let shown = "document.querySelector('.talk') && !document.querySelector('.talk').hidden";
    browser.wait_for(shown, LIMIT).await;
    let says = |words: &'static str| {
        format!("document.querySelector('.floor:not([hidden])')?.textContent.includes('{words}')")
    };
    let key = |kind: &str| {
        format!("document.body.dispatchEvent(new KeyboardEvent('{kind}', {{ key: ' ', bubbles: true }}));")
    };
    browser.run(&key("keydown")).await;
    browser.wait_for(&says("Speak now"), LIMIT).await;
    hears_the_tone(|| door.heard(), HZ).await;
    assert!(browser.eval("document.querySelector('video').volume").await.as_f64() < Some(0.2), "it is turned down");
    other.wait_for(&says("Somebody is talking"), LIMIT).await;
    browser.run(&key("keyup")).await;
    browser.wait_for("document.querySelector('.floor').hidden", LIMIT).await;
    assert_eq!(browser.eval("document.querySelector('video').volume").await, 1);
    other.wait_for("document.querySelector('.floor').hidden", LIMIT).await;

    // A screen reader's.
    let click = "document.querySelector('.talk').dispatchEvent(new MouseEvent('click', { bubbles: true, detail: 0 }));";
    browser.run(click).await;
    browser.wait_for(&says("Speak now"), LIMIT).await;
    other.wait_for(&says("Somebody is talking"), LIMIT).await;
    other
        .run("document.querySelector('.talk').dispatchEvent(new MouseEvent('click', { bubbles: true, detail: 0 }));")
        .await;
    // Its microphone is not to be had, which is told first.
    other.wait_for(&says("microphone"), LIMIT).await;
    browser.run(click).await;
    browser.wait_for("document.querySelector('.floor').hidden", LIMIT).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(talking(&gateway).await["busy"], false);
}
