//! The machine's own troubles: no descriptors, no memory, a clock that is set. The gateway goes on or says what it needs, and
//! recovers by itself (docs/uptime.md).

use std::{net::TcpStream, os::unix::fs::FileExt as _, path::PathBuf, process::Command, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::{
    LIMIT,
    support::{
        camera::{Audio, Camera},
        gateway::Gateway,
        viewer::{Kind, Viewer},
        wait,
    },
};

/// Lets a gateway have no more than `limit` of something, or as much as it may again.
fn allow(gateway: &Gateway, what: Resource, limit: Option<u64>) {
    let pid = Pid::from_raw(gateway.pid().try_into().expect("a process id"));
    // Its parent's, which not even root may raise everywhere.
    let maximum = getrlimit(what).maximum;
    prlimit(pid, what, Rlimit { current: limit, maximum }).expect("a child of ours");
}

/// The sum of a metric's samples that begin so.
async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let scrape = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    let samples = scrape.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn a_gateway_without_descriptors_says_so_once_and_goes_on() {
    let (front, back) = (Camera::builder().start(), Camera::builder().start());
    let pattern = "[[camera]]\nname = \"pattern\"\npipeline = \"test-pattern\"\n";
    let pipelines = format!("[pipelines]\npath = [{:?}]\n", concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines"));
    let entries = format!("{}\nstart = \"always\"\n{}\n{pattern}{pipelines}", front.toml("front"), back.toml("back"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entries).spawn().await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    let offer = viewer.offer().to_owned();
    // A connection that is kept: the only way in from now on.
    gateway.cameras().await;
    allow(&gateway, Resource::Nofile, Some(gateway.fds() as u64 + 2));
    let crowd = |address: &str| -> Vec<TcpStream> {
        (0..8).map(|_| TcpStream::connect(address).expect("the kernel takes it")).collect()
    };
    let strangers = [crowd(&gateway.direct_http_address()), crowd(gateway.webrtc_address())];
    for port in ["cannot take an HTTP connection", "cannot take a WebRTC connection on TCP"] {
        let line = gateway.wait_log(port, LIMIT).await;
        assert!(line.contains("no file descriptor is left") && line.contains("LimitNOFILE"), "{line}");
    }
    let cpu = gateway.cpu_time();
    let watched = Duration::from_secs(4);
    tokio::time::sleep(watched).await;
    let busy = gateway.cpu_time() - cpu;
    assert!(busy < watched / 2, "it spins: {busy:?} in {watched:?}");
    viewer.wait_more(Kind::Video, 20, LIMIT).await;
    for port in ["cannot take an HTTP connection", "cannot take a WebRTC connection on TCP"] {
        assert_eq!(gateway.count_log(port), 1, "{}", gateway.log());
    }
    // What has to be opened cannot be, and says why.
    for (camera, why) in [("back", "raise camgate's limit (LimitNOFILE="), ("pattern", "")] {
        let answer = gateway.post_offer(camera, offer.clone()).await;
        assert_eq!(answer.status(), 409);
        let text = answer.text().await.expect("a body");
        let said = ["no file descriptor", "Too many open files"].iter().any(|words| text.contains(words));
        assert!(said && text.contains(why), "{camera}: {text}");
    }
    viewer.wait_more(Kind::Video, 20, LIMIT).await;
    drop(strangers);
    allow(&gateway, Resource::Nofile, Some(1_024));
    for camera in ["back", "pattern"] {
        let join = || async { Viewer::builder(gateway.whep(camera)).try_join().await.ok() };
        let other = wait::until("a camera that could not be opened plays", LIMIT, join).await;
        other.wait_packets(Kind::Video, 10, LIMIT).await;
    }
    wait::until("connections are taken again", LIMIT, || async {
        drop(TcpStream::connect(gateway.direct_http_address()));
        gateway.find_log("HTTP connections are taken again")
    })
    .await;
    viewer.wait_more(Kind::Video, 20, LIMIT).await;
    assert_eq!(metric(&gateway, "camgate_panics_total").await, 0.0);
}

/// Whether a gateway that was launched runs, or has ended, once it is clear.
pub(crate) async fn runs(gateway: &Gateway) -> bool {
    wait::until("it runs, or has ended", LIMIT, || async {
        let runs = gateway.find_log("webrtc listening on udp").is_some();
        (runs || !std::path::Path::new(&format!("/proc/{}/fd/0", gateway.pid())).exists()).then_some(runs)
    })
    .await
}

/// The least that a process may be given, in steps: some are too little, and some are enough.
#[tokio::test]
async fn a_gateway_that_is_given_too_little_memory_says_what_it_needs() {
    let (mut said, mut ran) = (0, 0);
    for megabytes in (60..=320).step_by(20) {
        let limit = format!("--as={}", megabytes << 20);
        let words = ["prlimit".to_owned(), limit];
        let mut gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).under(words.into()).launch();
        if runs(&gateway).await {
            ran += 1;
            continue;
        }
        let status = gateway.wait_exit(LIMIT).await;
        let told = |words: &str| gateway.find_log(words).is_some();
        // Where the C library, the loader or Rust's runtime gets none it is they who say it.
        let reasons = [
            "it needs",
            "internal error",
            "memory allocation of",
            "error while loading",
            "annot allocate",
            "out of memory",
            "fatal runtime error",
        ];
        let what = format!("{status} with {megabytes} MB is explained");
        wait::until(&what, LIMIT, || async { reasons.iter().any(|reason| told(reason)).then_some(()) }).await;
        said += usize::from(told("raise its limit of memory") && status.code() == Some(1));
    }
    assert!(said > 0 && ran > 0, "{said} said what is missing, {ran} ran");
}

/// A library that sets the time of the program it is loaded into by as many seconds as a file says: the machine's own clock is
/// everybody's.
fn clock(folder: &std::path::Path) -> PathBuf {
    let (source, library) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c"), folder.join("clock.so"));
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(made.expect("a C compiler, which Rust needs anyway").success());
    library
}

#[tokio::test]
async fn a_clock_that_is_set_by_an_hour_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (library, offset) = (clock(folder.path()), folder.path().join("offset"));
    std::fs::write(&offset, format!("{:>20}", 0)).expect("a file");
    // In place: the gateway looks at it all the time.
    let set = |seconds: i64| {
        let file = std::fs::OpenOptions::new().write(true).open(&offset).expect("it is there");
        file.write_all_at(format!("{seconds:>20}").as_bytes(), 0).expect("room");
    };
    let camera = Camera::builder().audio(Audio::Opus).gop(15).start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .config(format!("{}\nstart = \"always\"", camera.toml("front")))
        .env("LD_PRELOAD", library.to_str().expect("a path"))
        .env("CLOCK_OFFSET", offset.to_str().expect("a path"))
        .spawn()
        .await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Audio, 10, LIMIT).await;
    let rtt = "camgate_viewer_highest_rtt_seconds";
    wait::until("the viewer has reported", LIMIT, || async { (metric(&gateway, rtt).await > 0.0).then_some(()) }).await;
    let session = gateway.sessions().await[0]["id"].clone();
    for step in [3_600, -3_600, 0] {
        set(step);
        // Reports go both ways: what the viewer says next is of a report of before.
        for _ in 0..20 {
            viewer.wait_more(Kind::Video, 5, LIMIT).await;
            viewer.wait_more(Kind::Audio, 5, LIMIT).await;
            let seconds = metric(&gateway, rtt).await;
            assert!(seconds < 60.0, "a round trip of {seconds} s after a step of {step} s");
        }
        let other = Viewer::join(gateway.whep("front")).await;
        other.wait_packets(Kind::Video, 10, LIMIT).await;
        assert_eq!(other.close().await, 200);
    }
    let sessions = gateway.wait_sessions(1, LIMIT).await;
    assert_eq!(sessions[0]["id"], session, "the viewer is still the same");
    assert_eq!(metric(&gateway, "camgate_camera_reconnects_total").await, 0.0);
    assert_eq!(metric(&gateway, "camgate_panics_total").await, 0.0);
    assert_eq!(gateway.count_log(" WARN "), 0, "{}", gateway.log());
}
