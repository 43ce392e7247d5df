//! A log that cannot be written: its disk is full, nobody reads it, or whoever read it is gone. Nobody waits for it, nothing
//! ends, and the log says how much of it is lost (docs/uptime.md).

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader},
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{
    LIMIT,
    machine_disk::Disk,
    support::{
        camera::Camera,
        gateway::{Gateway, client},
        viewer::{Kind, Viewer},
        wait,
    },
};

/// What the log says when it can be written again.
const LOST: &str = "lines of it are lost";
/// A log of everything fills a pipe at once.
const CHATTY: &str = "trace,h2=off";

/// A gateway whose standard error is `file`, with a camera that is always on.
fn launch(camera: &Camera, file: &Path, level: &str) -> Gateway {
    let words = ["sh", "-c", &format!("exec \"$0\" \"$@\" 2>'{}'", file.display())].map(str::to_owned);
    let entry = format!("{}\nstart = \"always\"", camera.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).env("RUST_LOG", level);
    gateway.under(words.into()).launch()
}

/// Where it serves HTTP, by a line of its log.
fn address(line: &str) -> Option<String> {
    let rest = line.split_once("http listening on ")?.1;
    rest.split([' ', '\n']).next().map(str::to_owned)
}

async fn lost_lines(url: &str) -> f64 {
    let scrape = client().build().expect("a client").get(format!("{url}/metrics")).send().await.expect("an answer");
    let scrape = scrape.text().await.expect("a text");
    let value = scrape.lines().find_map(|line| line.strip_prefix("camgate_lost_log_lines_total "));
    value.expect("it is told").parse().expect("a number")
}

/// Somebody watches, and others come and go, until the log is seen to miss what was said of them.
async fn serves(url: &str, viewer: &Viewer) {
    let before = lost_lines(url).await;
    wait::until("lines are lost", LIMIT * 3, || async {
        let other = Viewer::join(format!("{url}/whep/front")).await;
        other.wait_packets(Kind::Video, 1, LIMIT).await;
        assert_eq!(other.close().await, 200);
        (lost_lines(url).await > before + 10.0).then_some(())
    })
    .await;
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
}

#[tokio::test]
async fn a_full_disk_under_the_log_ends_nothing() {
    let (disk, camera) = (Disk::new(), Camera::builder().start());
    let log = disk.path().join("log");
    let mut gateway = launch(&camera, &log, "debug");
    let read = || fs::read_to_string(&log).unwrap_or_default();
    let url = wait::until("it serves", LIMIT, || async { read().lines().find_map(address) }).await;
    let viewer = Viewer::join(format!("{url}/whep/front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    disk.fill();
    serves(&url, &viewer).await;
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    disk.make_room();
    wait::until("the log tells what it misses", LIMIT, || async {
        Viewer::join(format!("{url}/whep/front")).await.close().await;
        read().contains(LOST).then_some(())
    })
    .await;
    viewer.wait_more(Kind::Video, 10, LIMIT).await;
    gateway.signal("TERM");
    assert!(gateway.wait_exit(LIMIT).await.success());
    assert!(read().contains("everything closed"), "the end of the log is written");
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let (folder, camera) = (tempfile::tempdir().expect("a folder"), Camera::builder().start());
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Open for both, so that the gateway does not wait for a reader.
    let ours = OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
    let mut gateway = launch(&camera, &pipe, CHATTY);
    let mut lines = BufReader::new(ours).lines();
    let url = lines.by_ref().map_while(Result::ok).find_map(|line| address(&line)).expect("it serves");
    let answers = || async { client().build().expect("a client").get(format!("{url}/healthz")).send().await.ok() };
    wait::until("it answers", LIMIT, answers).await;
    let viewer = Viewer::join(format!("{url}/whep/front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    serves(&url, &viewer).await;
    // Somebody reads again.
    let found = tokio::task::spawn_blocking(move || {
        let found = lines.by_ref().map_while(Result::ok).any(|line| line.contains(LOST));
        (found, lines)
    });
    let (found, lines) = tokio::time::timeout(LIMIT, found).await.expect("in time").expect("no panic");
    assert!(found);
    // And is gone for good: a broken pipe.
    drop(lines);
    serves(&url, &viewer).await;
    gateway.signal("TERM");
    assert!(gateway.wait_exit(LIMIT).await.success());
}

#[tokio::test]
async fn a_gateway_without_standard_error_runs() {
    let camera = Camera::builder().start();
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let words = ["sh", "-c", "exec \"$0\" \"$@\" 2>&-"].map(str::to_owned);
    let entry = format!("{}\nstart = \"always\"", camera.toml("front"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).http_listen(&port.to_string());
    let mut gateway = gateway.under(words.into()).launch();
    let answers =
        || async { client().build().expect("a client").get(format!("http://{port}/readyz")).send().await.ok() };
    wait::until("it answers", LIMIT, answers).await;
    let viewer = Viewer::join(format!("http://{port}/whep/front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal("TERM");
    assert!(gateway.wait_exit(LIMIT).await.success());
}
