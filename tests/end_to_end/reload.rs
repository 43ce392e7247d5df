//! Another configuration while everything runs: only what has changed is touched.

use std::{process::Command, time::Duration};

use crate::{
    LIMIT, gateway,
    support::{
        browser::Browser,
        camera::{Camera, Scheme},
        gateway::Gateway,
        viewer::{Kind, Viewer},
        wait::{until, until_value},
    },
};

/// Viewers of a camera that nothing happens to.
const VIEWERS: usize = 50;
/// A change of a file is noticed within two looks, one a second.
const NOTICED: Duration = Duration::from_secs(15);

/// A camera that many viewers and Chromium can watch on two busy cores.
fn small() -> Camera {
    Camera::builder().size(320, 240).fps(15).gop(30).bitrate_kbps(200).start()
}

fn names(cameras: &[serde_json::Value]) -> Vec<&str> {
    cameras.iter().filter_map(|camera| camera["name"].as_str()).collect()
}

#[tokio::test]
async fn viewers_of_unchanged_cameras_notice_nothing() {
    let (front, back, yard) = (small(), small(), small());
    let gateway = gateway(&front, "start = \"always\"").await;
    let only_front = gateway.toml();
    gateway.wait_camera("front", "live", LIMIT).await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS {
        viewers.push(Viewer::builder(gateway.whep("front")).audio(false).join().await);
    }
    for viewer in &viewers {
        viewer.wait_keyframes(1, LIMIT).await;
    }
    let before = browser.wait_decoded(15, LIMIT).await;

    gateway.reload(&format!("{only_front}\n{}", back.toml("back"))).await;
    assert_eq!(names(&gateway.cameras().await), ["front", "back"]);
    let back_viewer = Viewer::join(gateway.whep("back")).await;
    back_viewer.wait_keyframes(1, LIMIT).await;
    gateway.reload(&format!("{only_front}\n{}", yard.toml("back"))).await;
    back_viewer.wait_keyframes(2, LIMIT).await;
    let back_first = only_front.replace("[[camera]]", &format!("{}\n[[camera]]", yard.toml("back")));
    gateway.reload(&back_first).await;
    assert_eq!(names(&gateway.cameras().await), ["back", "front"], "in the order of the file");
    gateway.reload(&only_front).await;
    back_viewer.wait_gone(LIMIT).await;
    gateway.reload(&only_front.replace("start = \"always\"", "linger_seconds = 2\ngop_cache_mib = 1")).await;
    assert_eq!(names(&gateway.cameras().await), ["front"]);

    let after = browser.wait_decoded(15, LIMIT).await;
    assert_eq!((after.frames_dropped, after.freeze_count), (before.frames_dropped, before.freeze_count), "{after:?}");
    assert_eq!((after.packets_lost, after.pli_count), (0, before.pli_count), "{after:?}");
    assert!(browser.eval("document.querySelector('[data-state=playing]') !== null").await == true);
    for viewer in &viewers {
        viewer.wait_more(Kind::Video, 15, LIMIT).await;
        let log = viewer.video();
        assert_eq!((log.missing(), log.reordered()), (0, 0));
    }
    assert_eq!(gateway.sessions().await.len(), VIEWERS + 1);
    assert_eq!(front.connections_total(), 1, "its camera was left alone");
}

#[tokio::test]
async fn a_bad_configuration_is_refused_and_changes_nothing() {
    let (front, back) = (small(), small());
    let gateway = gateway(&front, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    let good = gateway.toml();
    let bad = format!(
        "{}\n[[camera]]\nname = \"Side\"\n{}",
        good.replace("[webrtc]", "colour = 1\n[webrtc]"),
        back.toml("back")
    );
    gateway.refuse(&bad).await;
    let file = gateway.dir().join("config.toml");
    let mut check = Command::new(env!("CARGO_BIN_EXE_camgate"));
    let check = check.arg("check").arg("--config").arg(file).output().expect("camgate check");
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    let faults: Vec<&str> = said.lines().collect();
    assert!(faults.len() == 3 && check.status.code() == Some(64), "{said}");
    for fault in &faults {
        assert_eq!(gateway.count_log(fault), 1, "{fault}");
    }
    let configuration = gateway.get_json("/api/v1/configuration").await;
    assert_eq!((&configuration["is_current"], &configuration["faults"]), (&false.into(), &faults.clone().into()));
    let text = async |path| gateway.get(path).await.expect("an answer").text().await.expect("a text");
    assert!(text("/metrics").await.contains("camgate_config_last_reload_successful 0"));
    assert!(text("/healthz").await.contains("refused"));
    assert_eq!(names(&gateway.cameras().await), ["front"]);
    viewer.wait_more(Kind::Video, 15, LIMIT).await;
    assert_eq!(front.connections_total(), 1);

    let start = configuration["since"].as_str().expect("a time").to_owned();
    gateway.reload(&format!("{good}\n{}", back.toml("back"))).await;
    let configuration = gateway.get_json("/api/v1/configuration").await;
    assert!(configuration["is_current"] == true && configuration["since"].as_str() > Some(start.as_str()));
    let metrics = text("/metrics").await;
    assert!(metrics.contains("camgate_config_last_reload_successful 1"), "{metrics}");
    assert!(metrics.contains("camgate_config_last_reload_success_timestamp_seconds 1"), "{metrics}");
    assert_eq!(text("/healthz").await, "ok");
    viewer.wait_more(Kind::Video, 15, LIMIT).await;
    let log = viewer.video();
    assert_eq!((log.missing(), log.reordered()), (0, 0));
}

#[tokio::test]
async fn viewers_of_a_changed_camera_stay_and_see_the_new_picture() {
    let (old, new) = (small(), Camera::builder().size(640, 480).fps(15).gop(30).start());
    let gateway = gateway(&old, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let viewer = Viewer::builder(gateway.whep("front")).audio(false).join().await;
    viewer.wait_keyframes(1, LIMIT).await;
    let sessions = gateway.sessions().await;
    gateway.reload(&gateway.toml().replace(&old.url(), &new.url())).await;
    old.wait_connections(0, LIMIT).await;
    gateway.wait_camera("front", "live", LIMIT).await;
    browser.wait_for("document.querySelector('video').videoWidth === 640", LIMIT).await;
    browser.wait_decoded(15, LIMIT).await;
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    let log = viewer.video();
    assert_eq!((log.missing(), log.reordered()), (0, 0));
    let stamps = log.timestamps();
    assert!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) as i32 >= 0), "one timeline");
    let ids = |sessions: &[serde_json::Value]| {
        sessions.iter().map(|session| session["id"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ids(&gateway.sessions().await), ids(&sessions), "the sessions of before");
}

#[tokio::test]
async fn viewers_of_a_removed_camera_are_told() {
    let (front, back) = (small(), small());
    let gateway = gateway(&front, "").await;
    let only_front = gateway.toml();
    let both = format!("{only_front}\n{}", back.toml("back"));
    gateway.reload(&both).await;
    let (watch, grid) = (Browser::start().await, Browser::start().await);
    watch.open(&gateway.url("/watch/back")).await;
    grid.open(&gateway.url("/")).await;
    watch.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    grid.wait_for("document.querySelector('[data-camera=back][data-state=playing]')", LIMIT).await;
    let viewer = Viewer::join(gateway.whep("back")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    gateway.reload(&only_front).await;
    viewer.wait_gone(LIMIT).await;
    let ended = gateway.http().delete(viewer.resource()).send().await.expect("an answer");
    assert_eq!(ended.status(), 410);
    assert!(ended.text().await.expect("a text").contains("The camera was removed from the gateway's configuration: "));
    let refused = gateway.post_offer("back", viewer.offer().to_owned()).await;
    assert_eq!(refused.status(), 404);
    watch.wait_for("document.body.innerText.includes('was removed from the gateway')", LIMIT).await;
    grid.wait_for("document.querySelector('[data-camera=back]') === null", LIMIT).await;
    back.wait_connections(0, LIMIT).await;
    gateway.reload(&both).await;
    watch.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    grid.wait_for("document.querySelector('[data-camera=back][data-state=playing]')", LIMIT).await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_a_signal() {
    let camera = Camera::builder().user("viewer", "correct horse", Scheme::DigestMd5).start();
    let entry = camera
        .toml("front")
        .replace("password = \"correct horse\"", "password_file = \"password\"\nstart = \"always\"");
    let binary = env!("CARGO_BIN_EXE_camgate");
    let gateway = Gateway::builder(binary).config(entry).file("password", "wrong horse").spawn().await;
    gateway.wait_camera("front", "backing_off", LIMIT).await;
    std::fs::write(gateway.dir().join("password"), "correct horse\n").expect("a file");
    gateway.wait_camera("front", "live", NOTICED).await;
    let toml = gateway.toml();
    gateway.write_toml(&toml.replace("\"front\"", "\"gate\""));
    until("the camera has another name", NOTICED, || async {
        (names(&gateway.cameras().await) == ["gate"]).then_some(())
    })
    .await;
    std::fs::remove_file(gateway.dir().join("password")).expect("it was there");
    gateway.wait_log("the configuration is refused", NOTICED).await;
    assert_eq!(names(&gateway.cameras().await), ["gate"]);
}

#[tokio::test]
async fn a_pipeline_that_is_written_anew_is_started_anew() {
    let entry = "[pipelines]\npath = [\".\"]\n[[camera]]\nname = \"own\"\npipeline = \"own\"\nstart = \"always\"";
    let pipeline = |size| {
        format!(
            "videotestsrc is-live=true ! video/x-raw,{size},framerate=10/1 ! x264enc tune=zerolatency key-int-max=10 ! appsink name=video"
        )
    };
    let binary = env!("CARGO_BIN_EXE_camgate");
    let gateway =
        Gateway::builder(binary).config(entry).file("own.launch", &pipeline("width=160,height=120")).spawn().await;
    gateway.wait_camera("own", "live", LIMIT).await;
    std::fs::write(gateway.dir().join("own.launch"), pipeline("width=320,height=240")).expect("a file");
    let wide = || async { (gateway.camera("own").await["video"]["width"] == 320).then_some(()) };
    until("the new pipeline's picture", LIMIT, wide).await;
}

#[tokio::test]
async fn a_hundred_signals_leave_nothing_behind() {
    let (front, back) = (small(), small());
    let mut gateway = gateway(&front, "start = \"always\"").await;
    gateway.wait_camera("front", "live", LIMIT).await;
    let only_front = gateway.toml();
    let both = format!("{only_front}\n{}\nstart = \"always\"", back.toml("back"));
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    // What is made at first use is there afterwards.
    for toml in [&both, &only_front] {
        gateway.reload(toml).await;
        back.wait_connections(usize::from(toml == &both), LIMIT).await;
    }
    let (fds, threads) = (gateway.fds(), gateway.threads());
    for round in 0..100 {
        if round % 10 == 0 {
            gateway.write_toml(if round % 20 == 0 { &both } else { &only_front });
        }
        gateway.signal("HUP");
    }
    gateway.reload(&only_front).await;
    back.wait_connections(0, LIMIT).await;
    // A pool of threads for what may block keeps those that it has for a while.
    let now = || async { (gateway.fds(), gateway.threads()) };
    let what = format!("descriptors and threads as before, {fds} and {threads}");
    until_value(&what, Duration::from_secs(30), now, |now| now.0 <= fds && now.1 <= threads).await;
    viewer.wait_more(Kind::Video, 15, LIMIT).await;
    let log = viewer.video();
    assert_eq!((log.missing(), log.reordered(), front.connections_total()), (0, 0, 1));
    gateway.write_toml(&both);
    gateway.signal("HUP");
    gateway.signal("TERM");
    assert!(gateway.wait_exit(LIMIT).await.success());
    viewer.wait_gone(LIMIT).await;
}
