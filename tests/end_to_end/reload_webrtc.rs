//! What `[webrtc]` says changes for new sessions, and those that there are notice nothing.

use std::net::{SocketAddr, TcpListener, UdpSocket};

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
}

/// A gateway at its port, and its configuration with another one, that is free, in the place of its own.
fn moved(toml: &str, listen: SocketAddr) -> String {
    let own = "[webrtc]\nlisten = \"127.0.0.1:0\"";
    assert!(toml.contains(own), "{toml}");
    toml.replace(own, &format!("[webrtc]\nlisten = \"{listen}\""))
}

/// On UDP and TCP, now.
fn free_port() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = udp.local_addr().expect("it has one");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn has(viewer: &Viewer, port: u16) -> bool {
    viewer.answer().contains(&format!(" {port} "))
}

#[tokio::test]
async fn another_port_is_for_new_sessions_and_the_old_one_closes_behind_its_last() {
    let camera = Camera::builder().size(320, 240).fps(15).gop(30).bitrate_kbps(200).start();
    let gateway = gateway(&camera, "").await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    let old: SocketAddr = gateway.webrtc_address().parse().expect("an address");
    let (new, toml) = (free_port(), gateway.toml());
    gateway.reload(&moved(&toml, new)).await;
    assert_eq!(gateway.get_json("/api/v1/configuration").await["is_current"], true);
    let second = Viewer::join(gateway.whep("front")).await;
    second.wait_keyframes(1, LIMIT).await;
    assert!(has(&second, new.port()) && !has(&second, old.port()), "{}", second.answer());
    viewer.wait_more(Kind::Video, 30, LIMIT).await;
    assert!(UdpSocket::bind(old).is_err(), "it has a viewer");
    assert_eq!(gateway.get_json("/api/v1/sessions").await.as_array().map(Vec::len), Some(2));
    let log = viewer.video();
    assert_eq!((log.missing(), log.reordered()), (0, 0));
    viewer.close().await;
    gateway.wait_log("closed the WebRTC port of before", LIMIT).await;
    UdpSocket::bind(old).expect("nobody has it any more");
    TcpListener::bind(old).expect("nor on TCP");
    // And back, which is another port again.
    gateway.reload(&moved(&toml, old)).await;
    let third = Viewer::join(gateway.whep("front")).await;
    third.wait_keyframes(1, LIMIT).await;
    assert!(has(&third, old.port()), "{}", third.answer());
    second.wait_more(Kind::Video, 15, LIMIT).await;
    assert_eq!((second.video().missing(), second.video().reordered()), (0, 0));
}

#[tokio::test]
async fn a_port_that_is_taken_changes_nothing() {
    let camera = Camera::builder().size(320, 240).fps(15).gop(30).bitrate_kbps(200).start();
    let gateway = gateway(&camera, "").await;
    let (taken, toml) = (UdpSocket::bind("127.0.0.1:0").expect("a port"), gateway.toml());
    let taken = taken.local_addr().map(|address| (taken, address)).expect("it has one");
    gateway.refuse(&moved(&toml, taken.1)).await;
    let log = gateway.log();
    assert!(
        log.contains(&format!("[webrtc] listen {}", taken.1)) || log.contains("cannot open this UDP port"),
        "{log}"
    );
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(1, LIMIT).await;
    drop(taken);
    // The number that is in use cannot be opened twice, whatever the address.
    let own: SocketAddr = gateway.webrtc_address().parse().expect("an address");
    gateway.reload(&moved(&toml, SocketAddr::new([127, 0, 0, 2].into(), own.port()))).await;
    gateway.wait_log("the same port of another address is opened with the next start", LIMIT).await;
    let configuration = gateway.get_json("/api/v1/configuration").await;
    assert_eq!(
        (&configuration["is_current"], &configuration["needs_restart"][0]),
        (&false.into(), &"[webrtc] listen".into())
    );
    viewer.wait_more(Kind::Video, 15, LIMIT).await;
}
