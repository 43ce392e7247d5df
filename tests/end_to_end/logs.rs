//! The log: one line for each thing that happens, for people, programs and systemd.

use std::time::Duration;

use serde_json::Value;

use crate::{
    LIMIT, gateway,
    support::{
        camera::Camera,
        gateway::Gateway,
        viewer::{Kind, Viewer},
        wait::until,
    },
};

/// Times that is knocked at a camera which is off.
const KNOCKS: usize = 3;
/// What each of them says, to whoever wants to know.
const STILL: &str = " DEBUG still not available camera=front";

#[tokio::test]
async fn a_camera_that_is_off_has_one_line_and_one_when_it_is_back() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"\n[log]\nlevel = \"debug\"").await;
    gateway.wait_log(" live camera=front", LIMIT).await;
    camera.stop();
    gateway.wait_log("not available camera=front", LIMIT).await;
    let knocked = || async { (gateway.count_log(STILL) >= KNOCKS).then_some(()) };
    until("it was knocked at the camera", Duration::from_secs(60), knocked).await;
    // It hangs up first, and refuses connections then. Whoever wants to know of each knock asks for `debug`.
    let lines = gateway.count_log(" WARN not available camera=front");
    assert!((1..=2).contains(&lines), "{}", gateway.log());
    assert_eq!(gateway.count_log(" WARN "), lines, "{}", gateway.log());
    camera.start_again();
    let line = gateway.wait_log("live again camera=front", Duration::from_secs(60)).await;
    let away = line.split("away_s=").nth(1).and_then(|rest| rest.trim().parse::<u64>().ok());
    assert!(away.is_some_and(|seconds| seconds >= 3), "{line}");
}

#[tokio::test]
async fn a_session_that_is_deleted_before_it_connects_is_no_warning() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    let response = gateway.post_offer("front", viewer.offer().to_owned()).await;
    let session = response.headers()["location"].to_str().expect("a text").to_owned();
    let deleted = gateway.http().delete(gateway.url(&session)).send().await.expect("an answer");
    assert_eq!(deleted.status(), 200);
    let id = &session.rsplit('/').next().expect("an id")[..8];
    let line = gateway.wait_log(&format!("viewer gone camera=front session={id}"), LIMIT).await;
    assert!(line.contains(" INFO "), "{line}");
    assert_eq!(gateway.count_log(" WARN "), 0, "{}", gateway.log());
}

#[tokio::test]
async fn json_has_one_object_in_each_line_and_level_and_format_change_while_it_runs() {
    let mut camera = Camera::builder().start();
    let gateway = gateway(&camera, "start = \"always\"\n[log]\nformat = \"json\"").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 1, LIMIT).await;
    viewer.close().await;
    gateway.wait_log("viewer gone", LIMIT).await;
    let lines: Vec<Value> = gateway
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let answered = lines.iter().find(|line| line["message"] == "viewer answered").expect("a line");
    assert_eq!((&answered["camera"], &answered["client"]), (&"front".into(), &"127.0.0.1".into()), "{answered}");
    let gone = lines.iter().find(|line| line["message"] == "viewer gone").expect("a line");
    assert!(gone["session"] == answered["session"] && gone["session"].is_string(), "{gone}");
    camera.stop();
    gateway.wait_log("\"not available\"", LIMIT).await;
    gateway.reload(&gateway.toml().replace("[log]", "[log]\nlevel = \"debug\"")).await;
    gateway.wait_log("still not available", Duration::from_secs(60)).await;
    gateway.reload(&gateway.toml().replace("json", "human")).await;
    let line = gateway.wait_log(" INFO the configuration is taken up", LIMIT).await;
    assert!(!line.contains('{'), "{line}");
    assert_eq!(gateway.get_json("/api/v1/configuration").await["is_current"], true);
    gateway.reload(&gateway.toml().replace("human", "json")).await;
    gateway.wait_log("\"message\":\"the configuration is taken up\",\"cameras\":1", LIMIT).await;
    let log = gateway.log();
    let (human, json): (Vec<_>, Vec<_>) = log.lines().partition(|line| serde_json::from_str::<Value>(line).is_err());
    assert!(human.iter().all(|line| line.contains(" INFO ") || line.contains(" DEBUG ") || line.contains(" WARN ")));
    assert!(json.last().is_some_and(|line| line.contains("taken up")), "it is JSON again: {log}");
}

#[tokio::test]
async fn systemd_s_journal_gets_priorities_and_neither_times_nor_colours() {
    let camera = Camera::builder().start();
    let script = "export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) && exec \"$0\" \"$@\"";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .config(camera.toml("front"))
        .config("[[camera]]\nname = \"away\"\nurl = \"rtsp://127.0.0.1:9/\"\nstart = \"always\"")
        .under(vec!["sh".into(), "-c".into(), script.into()])
        .spawn()
        .await;
    gateway.wait_log("not available", LIMIT).await;
    let log = gateway.log();
    assert!(log.lines().all(|line| line.starts_with("<6> INFO ") || line.starts_with("<4> WARN ")), "{log}");
    assert!(gateway.find_log("<4> WARN not available camera=away").is_some(), "{log}");
}
