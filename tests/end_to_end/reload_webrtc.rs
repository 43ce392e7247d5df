//! What `[webrtc]` says changes for new sessions, and those that there are notice nothing.

use crate::{
    LIMIT, gateway,
    support::{
        camera::Camera,
        viewer::{Kind, Viewer},
    },
};

#[tokio::test]
async fn new_sessions_are_told_other_addresses_and_servers_within_other_bounds() {
    let camera = Camera::builder().size(320, 240).fps(15).gop(30).bitrate_kbps(200).start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    assert!(!viewer.answer().contains("198.51.100.7"));
    let toml = gateway.toml();
    let keys = "advertise = [\"198.51.100.7\"]\nice_servers = [\"stun:198.51.100.8\"]\nmax_sessions = 2";
    gateway.reload(&toml.replace("[webrtc]\n", &format!("[webrtc]\n{keys}\n"))).await;
    let second = Viewer::join(gateway.whep("front")).await;
    second.wait_keyframes(1, LIMIT).await;
    assert!(second.answer().contains(" 198.51.100.7 "), "{}", second.answer());
    assert!(second.header("link").contains("stun:198.51.100.8"), "{:?}", second.headers("link"));
    let refused = gateway.post_offer("front", viewer.offer().to_owned()).await;
    assert_eq!(refused.status(), 503, "{:?}", refused.text().await);
    gateway.reload(&toml).await;
    let third = Viewer::join(gateway.whep("front")).await;
    third.wait_keyframes(1, LIMIT).await;
    assert!(!third.answer().contains("198.51.100.7"));
    for viewer in [&viewer, &second] {
        viewer.wait_more(Kind::Video, 15, LIMIT).await;
        let log = viewer.video();
        assert_eq!((log.missing(), log.reordered()), (0, 0));
    }
    let listen = gateway.webrtc_address().to_owned();
    gateway.reload(&toml.replace("[webrtc]\nlisten = \"127.0.0.1:0\"", "[webrtc]\nlisten = \"127.0.0.1:1\"")).await;
    gateway.wait_log("[webrtc] listen: another port is opened with the next start", LIMIT).await;
    let configuration = gateway.get_json("/api/v1/configuration").await;
    assert_eq!(
        (&configuration["is_current"], &configuration["needs_restart"][0]),
        (&false.into(), &"[webrtc] listen".into())
    );
    let fourth = Viewer::join(gateway.whep("front")).await;
    fourth.wait_keyframes(1, LIMIT).await;
    let port = listen.rsplit(':').next().expect("a port");
    assert!(fourth.answer().contains(&format!(" {port} ")), "where it has listened all the time");
}
