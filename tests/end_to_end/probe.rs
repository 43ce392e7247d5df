//! `camgate probe` as a person runs it: what it says of real cameras, what it prints to paste, what it keeps to itself, and
//! its exit code.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use camgate::config;
use serde_json::Value;
use tokio::process::Command;

use crate::support::camera::{Audio, Builder, Camera, Profile, Scheme, Transports, Video};

/// A run connects, watches for some seconds and leaves; generous because the machine may be busy.
const RUN_LIMIT: Duration = Duration::from_secs(60);
const USER: &str = "gatekeeper";
const PASSWORD: &str = "open sesame";

/// A folder of one test, gone with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camgate"));
    command.arg("probe").args(arguments).env_remove("RUST_LOG").env_remove("CAMERA_PASSWORD");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(mut command: Command) -> Output {
    tokio::time::timeout(RUN_LIMIT, command.output()).await.expect("it ends by itself").unwrap()
}

/// Exit code and the JSON object.
async fn probe(arguments: &[&str]) -> (i32, Value) {
    let output = run(command(&[&["--json", "--seconds", "3"], arguments].concat())).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}:\n{stdout}\n{stderr}"));
    assert_eq!(report["format"], 1);
    let code = output.status.code().unwrap();
    let outcome = ["playable", "not_playable", "failed"].map(Value::from);
    assert_eq!(
        outcome.iter().position(|outcome| *outcome == report["outcome"]),
        usize::try_from(code).ok(),
        "{report:#}"
    );
    assert_eq!(code == 0, report["reason"].is_null(), "{report:#}");
    (code, report)
}

async fn probe_camera(camera: &Builder) -> (i32, Value) {
    let camera = camera.clone().start();
    probe(&[&camera.url()]).await
}

fn track<'a>(report: &'a Value, media: &str) -> &'a Value {
    let tracks = report["tracks"].as_array().unwrap();
    tracks.iter().find(|track| track["media"] == media).unwrap_or_else(|| panic!("no {media} in {report:#}"))
}

fn verdicts(report: &Value) -> Vec<&str> {
    report["browsers"].as_array().unwrap().iter().map(|browser| browser["verdict"].as_str().unwrap()).collect()
}

/// What the entry means to the gateway: the configuration loads, and has one camera.
fn load(entry: &str) -> camgate::source::Config {
    let folder = Folder::new();
    folder.file("front.password", PASSWORD);
    let path = folder.file("config.toml", entry);
    let config = config::load_with(&path, std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}\n{entry}"));
    let [camera] = &config.cameras[..] else { panic!("not one camera: {entry}") };
    camera.clone()
}

#[tokio::test]
async fn every_profile_is_told_and_measured() {
    for (profile, name) in
        [(Profile::Baseline, "Constrained Baseline"), (Profile::Main, "Main"), (Profile::High, "High")]
    {
        let (code, report) = probe_camera(&Camera::builder().profile(profile).gop(15).audio(Audio::Pcmu)).await;
        assert_eq!(code, 0, "{report:#}");
        let ms = |step: &str| report["steps"][step].as_f64().unwrap_or_else(|| panic!("no {step} in {report:#}"));
        let steps = ["connected_ms", "answered_ms", "described_ms", "playing_ms", "first_keyframe_ms"].map(ms);
        assert!(steps.is_sorted(), "{steps:?}");
        let video = track(&report, "video");
        assert_eq!((&video["codec"], &video["profile"]), (&"H.264".into(), &name.into()), "{video:#}");
        assert_eq!((&video["width"], &video["height"]), (&320.into(), &180.into()));
        assert_eq!((&video["gop_frames"], &video["b_frames"]), (&15.0.into(), &false.into()), "{video:#}");
        assert!(video["fps"].as_f64().is_some_and(|fps| (5.0..=16.0).contains(&fps)), "{video:#}");
        assert!(video["bitrate_kbps"].as_f64().is_some_and(|kbps| kbps > 10.0), "{video:#}");
        assert_eq!((&video["lost"], &video["clock_jumps"]), (&0.into(), &0.into()), "{video:#}");
        let audio = track(&report, "audio");
        assert_eq!((&audio["codec"], &audio["fate"]), (&"PCMU".into(), &"passed".into()));
        assert_eq!(verdicts(&report), ["plays"; 3]);
        assert_eq!((&report["transport"], &report["authentication"]), (&"tcp".into(), &Value::Array(Vec::new())));
        assert_eq!(load(report["entry"].as_str().unwrap()).name.as_str(), "front");
    }
}

#[tokio::test]
async fn sound_is_told_with_what_becomes_of_it() {
    let (code, aac) = probe_camera(&Camera::builder().audio(Audio::Aac)).await;
    let sound = track(&aac, "audio");
    assert_eq!((code, &sound["codec"], &sound["fate"]), (0, &"AAC".into(), &"transcoded".into()), "{aac:#}");
    assert_eq!((&sound["clock_rate"], &sound["channels"]), (&48_000.into(), &2.into()), "{sound:#}");
    let (_, silent) = probe_camera(&Camera::builder()).await;
    assert!(silent["tracks"].as_array().unwrap().iter().all(|track| track["media"] != "audio"), "{silent:#}");
}

#[tokio::test]
async fn video_that_is_not_h264_is_measured_and_says_what_to_change() {
    for (video, name) in [(Video::H265, "H.265"), (Video::Mjpeg, "MJPEG")] {
        let (code, report) = probe_camera(&Camera::builder().video(video).audio(Audio::Pcma)).await;
        assert_eq!((code, verdicts(&report), &report["code"]), (1, vec!["no"; 3], &"unsupported-codec".into()));
        let picture = track(&report, "video");
        assert_eq!(picture["codec"], name);
        assert!(picture["fps"].as_f64().is_some_and(|fps| (5.0..=16.0).contains(&fps)), "{picture:#}");
        assert!(picture["bitrate_kbps"].as_f64().is_some_and(|kbps| kbps > 10.0), "{picture:#}");
        assert!(report["reason"].as_str().unwrap().contains(&format!("sends its video as {name}")), "{report:#}");
        assert!(report["advice"][0].as_str().unwrap().contains("of this stream to H.264"), "{report:#}");
        load(report["entry"].as_str().unwrap());
    }
}

#[tokio::test]
async fn b_frames_make_it_not_playable_and_say_what_to_change() {
    let (code, report) = probe_camera(&Camera::builder().profile(Profile::Main).b_frames(2)).await;
    assert_eq!((code, verdicts(&report)), (1, vec!["badly"; 3]), "{report:#}");
    assert_eq!(track(&report, "video")["b_frames"], true);
    assert!(report["advice"][0].as_str().unwrap().contains("switch B-frames off"), "{report:#}");
}

#[tokio::test]
async fn a_long_gop_is_waited_for_within_bounds() {
    let camera = Camera::builder().gop(10_000).start();
    let (code, report) = probe(&[&camera.url(), "--patience", "6"]).await;
    let video = track(&report, "video");
    assert_eq!((code, &video["gop_s"]), (0, &Value::Null), "{report:#}");
    assert!(video["gop_longer_than_s"].as_f64().is_some_and(|seconds| seconds > 4.0), "{video:#}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("set a keyframe (I-frame) interval"), "{notes}");
}

#[tokio::test]
async fn how_a_camera_asks_for_its_password_is_told() {
    let kinds = [
        (Scheme::Basic, "Basic"),
        (Scheme::DigestMd5, "Digest MD5"),
        // As current Axis firmware does; the gateway can answer it.
        (Scheme::DigestSha256, "Digest SHA-256"),
    ];
    let folder = Folder::new();
    let file = folder.file("password", &format!("{PASSWORD}\n"));
    for (scheme, name) in kinds {
        let camera = Camera::builder().user(USER, PASSWORD, scheme).start();
        let login = ["--username", USER, "--password-file", file.to_str().unwrap()];
        let (code, report) = probe(&[&[&*camera.url()], &login[..]].concat()).await;
        assert_eq!((code, &report["status"]), (0, &401.into()), "{report:#}");
        assert_eq!(report["authentication"], Value::from(vec![name]));
        let camera = load(report["entry"].as_str().unwrap());
        let shown = format!("{:?}", camera.input);
        assert!(shown.contains(USER) && !report.to_string().contains(PASSWORD), "{shown}");
    }
}

#[tokio::test]
async fn what_keeps_it_from_playing_is_said_as_the_gateway_says_it() {
    let camera = Camera::builder().user(USER, PASSWORD, Scheme::DigestMd5).start();
    let reason = |report: &Value| report["reason"].as_str().unwrap().to_owned();
    let (code, report) = probe(&[&camera.url()]).await;
    assert_eq!(code, 2);
    assert!(reason(&report).starts_with("the camera asks for a user name and a password (401)"), "{report:#}");
    let folder = Folder::new();
    let wrong = folder.file("password", "open barley");
    let login = ["--username", USER, "--password-file", wrong.to_str().unwrap()];
    let (code, report) = probe(&[&[&*camera.url()], &login[..]].concat()).await;
    assert_eq!(code, 2);
    assert!(reason(&report).contains("refused the user name or password (401)"), "{report:#}");
    assert_eq!(report["entry"], Value::Null);

    let camera = Camera::builder().start();
    let (code, report) = probe(&[&camera.url().replace("/cam", "/nothing")]).await;
    assert_eq!(code, 2);
    assert!(reason(&report).contains("no stream of that name (404)"), "{report:#}");
    let entry = camera.toml("front").replace("/cam\"", "/nothing\"");
    let config = folder.file("config.toml", &entry);
    let (_, same) = probe(&["front", "--config", config.to_str().unwrap()]).await;
    assert_eq!(reason(&same), reason(&report), "by name as by URL");

    let mut camera = Camera::builder().start();
    camera.stop();
    let (code, report) = probe(&[&camera.url()]).await;
    assert_eq!(code, 2);
    assert!(reason(&report).contains("refuses connections"), "{report:#}");
}

#[tokio::test]
async fn a_camera_that_sends_by_udp_only_is_watched_so() {
    let camera = Camera::builder().transports(Transports::Udp).start();
    let (code, report) = probe(&[&camera.url()]).await;
    assert_eq!((code, &report["transport"]), (0, &"udp".into()), "{report:#}");
    assert!(report["entry"].as_str().unwrap().contains("transport = \"udp\""));
    load(report["entry"].as_str().unwrap());
    let (code, report) = probe(&[&camera.url(), "--transport", "tcp"]).await;
    assert_eq!(code, 2);
    assert!(report["reason"].as_str().unwrap().contains("does not send over TCP (461)"), "{report:#}");
}

#[tokio::test]
async fn a_password_in_the_url_works_and_is_warned_of_and_never_shown() {
    let camera = Camera::builder().user(USER, "hunter2hunter2", Scheme::DigestMd5).start();
    let url = camera.url().replace("rtsp://", &format!("rtsp://{USER}:hunter2hunter2@"));
    let output = run(command(&[&url, "--seconds", "1"])).await;
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stderr.contains("everybody on this machine sees arguments"), "{stderr}");
    assert!(!stdout.contains("hunter2") && !stderr.contains("hunter2"), "{stdout}{stderr}");
    assert!(stdout.contains("It can be watched.\n\n[[camera]]\n"), "{stdout}");
    assert!(stdout.contains("H.264 Constrained Baseline") && stdout.contains("a keyframe every"), "{stdout}");
    let refused = run(command(&["rtsps://gatekeeper:hunter2@cam/x"])).await;
    assert_eq!(refused.status.code(), Some(64));
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("hunter2"));
}

/// What a person sends to others.
async fn bug_report(folder: &Folder, arguments: &[&str]) -> String {
    let file = folder.0.path().join("report.txt");
    let output = run(command(&[arguments, &["--seconds", "1", "--report", file.to_str().unwrap()]].concat())).await;
    assert!(output.status.code().is_some_and(|code| code < 3), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(&file).unwrap()
}

#[tokio::test]
async fn the_file_for_a_bug_report_does_not_say_whose_camera_it_is() {
    let folder = Folder::new();
    let camera = Camera::builder().user(USER, PASSWORD, Scheme::DigestMd5).mount("/backyard/stream1").start();
    let host = camera.url().replace("127.0.0.1", "localhost");
    let secrets = [USER, PASSWORD, "127.0.0.1", "localhost", "backyard", &camera.port().to_string()];
    for (password, said) in [(PASSWORD, "outcome: Playable"), ("open barley", "(401)")] {
        let file = folder.file("password", password);
        let text = bug_report(&folder, &[&host, "--username", USER, "--password-file", file.to_str().unwrap()]).await;
        assert!(text.contains(said), "{text}");
        for secret in secrets {
            let lines = text.lines().take_while(|line| *line != "[rtp]");
            let found: Vec<_> = lines.filter(|line| line.to_lowercase().contains(secret)).collect();
            assert!(found.is_empty(), "{secret}: {found:?}");
        }
        if password == PASSWORD {
            assert!(text.contains("sprop-parameter-sets=") && text.contains("\"FU-A\""), "{text}");
            let rows: Vec<_> = text.lines().skip_while(|line| *line != "[rtp]").skip(2).collect();
            assert!(rows.len() > 10 && rows.iter().all(|row| row.split(' ').count() == 8), "{rows:?}");
        }
    }
}

#[tokio::test]
async fn a_pipeline_of_the_configuration_is_run_and_measured() {
    let folder = Folder::new();
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let text =
        format!("[pipelines]\npath = [{pipelines:?}]\n[[camera]]\nname = \"test\"\npipeline = \"test-pattern\"\n");
    let config = folder.file("config.toml", &text);
    let (code, report) = probe(&["test", "--config", config.to_str().unwrap()]).await;
    assert_eq!((code, verdicts(&report)), (0, vec!["plays"; 3]), "{report:#}");
    let video = track(&report, "video");
    assert!(video["fps"].as_f64().is_some_and(|fps| fps > 5.0) && video["keyframes"].as_u64() > Some(0), "{video:#}");
    assert_eq!(track(&report, "audio")["codec"], "OPUS");
    let unknown = run(command(&["nobody", "--config", config.to_str().unwrap()])).await;
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(64));
    assert!(said.contains("has no such camera, only test"), "{said}");
}
