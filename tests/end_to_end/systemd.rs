//! What the gateway tells a service manager, and when it stops telling that all is well.

use std::{net::TcpListener, time::Duration};

use crate::{
    LIMIT,
    support::{
        camera::Camera,
        gateway::{Builder, Gateway},
        notify::Notified,
        process::Frozen,
        viewer::{Kind, Viewer},
        wait,
    },
};

/// What systemd sets for `WatchdogSec=3`.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "3000000");
/// What systemd is told while all is well.
const ALIVE: &str = "WATCHDOG=1";

fn told(ear: &Notified) -> Builder {
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).env("NOTIFY_SOCKET", ear.path()).env(WATCHDOG.0, WATCHDOG.1)
}

#[tokio::test]
async fn systemd_is_told_what_it_is_at() {
    let (ear, camera) = (Notified::listen(), Camera::builder().start());
    let mut gateway = told(&ear).config(camera.toml("front")).spawn().await;
    ear.wait_count("READY=1", 0, LIMIT).await;
    ear.wait_status(LIMIT, |status| status == "0 of 1 cameras live, 0 viewers").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 5, LIMIT).await;
    ear.wait_status(LIMIT, |status| status == "1 of 1 cameras live, 1 viewer").await;
    ear.wait_count(ALIVE, 2, LIMIT).await;
    gateway.signal("TERM");
    assert!(gateway.wait_exit(LIMIT).await.success());
    let all = ear.all();
    assert_eq!(ear.count("READY=1"), 1, "{all:?}");
    assert_eq!(ear.count("STOPPING=1"), 1, "{all:?}");
}

#[tokio::test]
async fn systemd_is_told_nothing_while_something_is_stuck() {
    let (ear, camera) = (Notified::listen(), Camera::builder().start());
    let gateway = told(&ear).config(format!("{}\nstart = \"always\"", camera.toml("front"))).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    for (thread, name) in [
        ("peer-0", "worker 0 of viewers"),
        ("peer-reader", "the reader of WebRTC port"),
        ("tokio-rt-worker", "the runtime of cameras and HTTP"),
    ] {
        ear.wait_count(ALIVE, ear.count(ALIVE), LIMIT).await;
        let frozen = Frozen::threads(gateway.pid(), thread);
        ear.wait_status(LIMIT * 2, |status| status.starts_with("stuck: ") && status.contains(name)).await;
        let line = gateway.wait_log(&format!("stuck=\"{name}"), LIMIT).await;
        assert!(line.contains("ERROR"), "{line}");
        let before = ear.count(ALIVE);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(ear.count(ALIVE), before, "while {name} is stuck");
        drop(frozen);
        ear.wait_count(ALIVE, before, LIMIT).await;
        ear.wait_status(LIMIT, |status| !status.contains("stuck")).await;
    }
}

/// A camera that is off is not what a restart of the gateway would mend.
#[tokio::test]
async fn a_camera_that_is_off_is_no_reason_to_restart() {
    let (ear, camera) = (Notified::listen(), Camera::builder().start());
    let entry = format!("{}\nstart = \"always\"", camera.toml("front"));
    let gateway = told(&ear).config(entry).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    drop(camera);
    ear.wait_status(LIMIT * 2, |status| status.contains("(not available: front)")).await;
    ear.wait_count(ALIVE, ear.count(ALIVE) + 5, LIMIT).await;
    assert!(!ear.status().contains("stuck"), "{}", ear.status());
}

/// Two ports that are free on this machine.
fn free_ports() -> [String; 2] {
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    ports.map(|port| port.local_addr().expect("an address").to_string())
}

/// Opens `ports` as a .socket unit does, and starts the gateway as soon as somebody comes to the first.
async fn activated(gateway: Builder, ports: [&str; 2], words: &[&str]) -> Gateway {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    let gateway = gateway.http_listen(ports[0]).webrtc_listen(ports[1]).under(words);
    let first = ports[0].to_owned();
    let somebody = tokio::spawn(async move {
        loop {
            let _visit = tokio::net::TcpStream::connect(&first).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let gateway = gateway.spawn().await;
    somebody.abort();
    gateway
}

/// The inodes of a process's sockets, which tell them apart.
fn open_sockets(gateway: &Gateway) -> usize {
    let table = |kind| std::fs::read_to_string(format!("/proc/{}/net/{kind}", gateway.pid())).expect("a table");
    let port = gateway.webrtc_address().rsplit_once(':').expect("a port").1.parse::<u16>().expect("a number");
    let local = format!("0100007F:{port:04X} 00000000:0000");
    ["tcp", "udp"].map(|kind| table(kind).matches(&local).count()).iter().sum()
}

#[tokio::test]
async fn ports_that_systemd_has_opened_are_used() {
    let (camera, [http, webrtc]) = (Camera::builder().start(), free_ports());
    let config = || Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(camera.toml("front"));
    let by_address =
        ["systemd-socket-activate", "-l", &http, "-l", &webrtc, "systemd-socket-activate", "-d", "-l", &webrtc];
    let by_name = ["systemd-socket-activate", "-l", &http, "-l", &webrtc, "--fdname=http:webrtc"];
    for words in [&by_address[..], &by_name[..]] {
        let mut gateway = activated(config(), [&http, &webrtc], words).await;
        assert_eq!(open_sockets(&gateway), 2, "one of TCP and one of UDP");
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_packets(Kind::Video, 5, LIMIT).await;
        // What systemd holds is not left by another configuration.
        gateway.refuse(&gateway.toml().replace(&format!("\"{http}\""), "\"127.0.0.1:0\"")).await;
        gateway.wait_log("systemd has opened the port before and keeps it", LIMIT).await;
        assert_eq!(gateway.get("/readyz").await.expect("it still answers there").status(), 200);
        gateway.signal("TERM");
        assert!(gateway.wait_exit(LIMIT).await.success());
    }
}

#[tokio::test]
async fn a_port_of_systemds_that_is_for_nothing_is_refused_in_words() {
    let [http, other] = free_ports();
    let activate = |words: &[&str]| {
        let words = ["systemd-socket-activate"].iter().chain(words).map(|word| (*word).to_owned()).collect();
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http_listen(&http).under(words).launch()
    };
    let unknown = format!("systemd passes \"unknown\" at {other}, where nothing is to listen");
    let elsewhere = format!("systemd passes \"http\" at {other}, but [http] listen is \"{http}\"");
    for (words, told) in [(&["-l", &other][..], unknown), (&["-l", &other, "--fdname=http"][..], elsewhere)] {
        let mut gateway = activate(words);
        let come = || async { tokio::net::TcpStream::connect(&other).await.ok() };
        let _somebody = wait::until("its port is open", LIMIT, come).await;
        assert_eq!(gateway.wait_exit(LIMIT).await.code(), Some(1));
        assert!(gateway.log().contains(&told), "{}", gateway.log());
    }
}
