//! Cameras that camgate cannot show: what it says instead of a picture.

use super::{camera, seen};
use crate::LIMIT;
use crate::support::camera::scripted::rtsp::{Reply, Request};
use crate::support::camera::scripted::{Builder, sdp};
use crate::support::gateway::Gateway;
use crate::support::viewer::Viewer;
use crate::support::wait;

/// The code and the sentence with which a camera is not shown.
async fn refused(camera: Builder) -> (String, String) {
    let camera = camera.start();
    let config = camera.toml("front") + "start = \"always\"\n";
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    wait::until("the camera is not shown", LIMIT, || async {
        let status = gateway.camera("front").await;
        let text = |name: &str| status[name].as_str().map(str::to_owned);
        text("code").zip(text("reason"))
    })
    .await
}

/// The time of the description is `now-`, which is no number.
#[tokio::test]
async fn flir_describes_a_time_that_is_no_number() {
    let (code, reason) = refused(camera().sdp(&sdp::VIDEO.replace("t=0 0", "t=now-"))).await;
    assert!(code == "camera-not-understood" && reason.contains("Unable to parse SDP"), "{code} {reason}");
    assert!(reason.contains("pipeline = \"rtspsrc\""), "{reason}");
}

/// The description has two lines `s=`.
#[tokio::test]
async fn a_camera_describes_two_names() {
    let (code, reason) = refused(camera().sdp(&sdp::VIDEO.replace("s=camera\n", "s=camera\ns=again\n"))).await;
    assert!(code == "camera-not-understood" && reason.contains("Unable to parse SDP"), "{code} {reason}");
}

/// The lines `o=` and `c=` of the description have no address.
#[tokio::test]
async fn uniarch_uho_s2e_m3_describes_no_address() {
    let (code, reason) =
        refused(camera().sdp(&sdp::VIDEO.replace(" IP4 0.0.0.0", "").replace(" IP4 127.0.0.1", ""))).await;
    assert!(code == "camera-not-understood" && reason.contains("Unable to parse SDP"), "{code} {reason}");
}

/// A line of the description that is none.
#[tokio::test]
async fn a_camera_describes_something_in_a_line_without_a_key() {
    let odd = sdp::VIDEO.replace("a=control:trackID=0\n", "framesize 320-180\na=control:trackID=0\n");
    let (code, reason) = refused(camera().sdp(&odd)).await;
    assert!(code == "camera-not-understood" && reason.contains("a line is no key=value"), "{code} {reason}");
    assert!(reason.contains("pipeline = \"rtspsrc\""), "{reason}");
}

/// What cannot be read of these four GStreamer reads.
#[tokio::test]
async fn descriptions_that_are_not_understood_are_read_by_gstreamer() {
    for (what, with) in [
        ("t=0 0", "t=now-"),
        ("a=control:trackID=0\n", "framesize 320-180\na=control:trackID=0\n"),
        ("s=camera\n", "s=camera\ns=again\n"),
        ("o=- 1 1 IN IP4 127.0.0.1\ns=camera\nc=IN IP4 0.0.0.0", "o=- 1 1 IN\ns=camera\nc=IN"),
    ] {
        assert!(sdp::VIDEO.contains(what), "{}", sdp::VIDEO);
        let camera = camera().sdp(&sdp::VIDEO.replace(what, with)).start();
        let config = format!(
            "[pipelines]\npath = [\"{}/pipelines\"]\n[[camera]]\nname = \"front\"\npipeline = \"rtspsrc\"\n\
             [camera.with]\nurl = \"{}\"\n",
            env!("CARGO_MANIFEST_DIR"),
            camera.url(),
        );
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
        let viewer = Viewer::builder(gateway.whep("front")).join().await;
        viewer.wait_keyframes(2, LIMIT).await;
    }
}

/// Over UDP, the answer to SETUP does not say from which port the camera sends.
#[tokio::test]
async fn openipc_names_no_server_port() {
    let camera = camera().udp().reply("SETUP", |_, reply| {
        let transport: Vec<_> = reply.header("Transport").split(";server_port").map(str::to_owned).collect();
        reply.with("Transport", &transport[0])
    });
    let (code, reason) = refused(camera).await;
    assert!(code == "wrong-transport" && reason.contains("server_port"), "{code} {reason}");
    assert!(reason.ends_with("set transport = \"tcp\""), "{reason}");
}

/// The channels begin with an odd number.
#[tokio::test]
async fn a_camera_chooses_odd_channels() {
    let camera = camera().reply("SETUP", |_, reply| reply.with("Transport", "RTP/AVP/TCP;unicast;interleaved=1-2"));
    let (code, reason) = refused(camera).await;
    assert!(code == "wrong-transport" && reason.contains("odd channel"), "{code} {reason}");
    assert!(reason.ends_with("set transport = \"udp\""), "{reason}");
}

/// Over UDP it answers 461, or agrees and means TCP; over TCP it is seen.
#[tokio::test]
async fn a_camera_sends_over_tcp_alone() {
    let refuses = |request: &Request, reply: Reply| match request.transport("client_port") {
        Some(_) => Reply::new(461, "Unsupported Transport"),
        None => reply,
    };
    let forces = |_: &Request, reply: Reply| reply.with("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");
    for (camera, words) in [
        (camera().udp().reply("SETUP", refuses), "does not send over UDP (461)"),
        (camera().udp().reply("SETUP", forces), "does not say how it sends over UDP"),
    ] {
        let (code, reason) = refused(camera).await;
        assert!(code == "wrong-transport" && reason.contains(words), "{code} {reason}");
        assert!(reason.ends_with("set transport = \"tcp\""), "{reason}");
    }
    seen(camera().reply("SETUP", refuses)).await;
}

/// The same the other way round.
#[tokio::test]
async fn a_camera_sends_over_udp_alone() {
    let refuses = |request: &Request, reply: Reply| match request.transport("client_port") {
        Some(_) => reply,
        None => Reply::new(461, "Unsupported Transport"),
    };
    let forces = |_: &Request, reply: Reply| {
        reply.with("Transport", "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001")
    };
    for (camera, words) in [
        (camera().reply("SETUP", refuses), "does not send over TCP (461)"),
        (camera().reply("SETUP", forces), "does not say how it sends over TCP"),
    ] {
        let (code, reason) = refused(camera).await;
        assert!(code == "wrong-transport" && reason.contains(words), "{code} {reason}");
        assert!(reason.ends_with("set transport = \"udp\""), "{reason}");
    }
    seen(camera().udp().reply("SETUP", refuses)).await;
}

/// Over UDP it sends from another port than it told, as some do, or from another address, as behind a router.
#[tokio::test]
async fn a_camera_sends_from_a_port_or_an_address_that_it_does_not_tell() {
    let [port, address] = [[127, 0, 0, 1], [127, 0, 0, 3]].map(|from| refused(camera().udp().sends_from(from.into())));
    let (port, address) = tokio::join!(port, address);
    for (code, reason) in [port, address] {
        assert!(code == "no-media" && reason.contains("try transport = \"tcp\""), "{code} {reason}");
    }
}

/// It sends whoever asks to another host, which is not told the password, or nowhere.
#[tokio::test]
async fn a_camera_sends_clients_elsewhere() {
    let elsewhere = || Reply::new(302, "Moved").with("Location", "rtsp://192.0.2.1:1554/cam?password=hunter2");
    let (code, reason) = refused(camera().user("viewer", "a secret").reply("DESCRIBE", move |_, _| elsewhere())).await;
    assert!(
        code == "camera-error" && reason.contains("sends its clients to rtsp://192.0.2.1:1554/... (302)"),
        "{reason}"
    );
    let (code, reason) = refused(camera().reply("DESCRIBE", |_, _| Reply::new(302, "Moved"))).await;
    assert!(code == "camera-error" && reason.contains("302"), "{code} {reason}");
}
