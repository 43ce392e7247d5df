//! A gateway with two users and a program, a camera for each user and one that is published to, and somebody who watches.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::{
    LIMIT,
    support::{
        camera::Camera,
        gateway::Gateway,
        identity::ISSUER,
        secrets,
        viewer::{Kind, Viewer},
    },
};

pub(crate) const PASSWORD: &str = "correct horse";
/// What the identity provider signs with.
pub(crate) const JWT_SECRET: &str = "a-secret-that-a-provider-shares-with-us";
/// For one answer to what nobody honest sends. Some is never answered.
const ANSWER: Duration = Duration::from_secs(2);

pub(crate) struct Scene {
    _camera: Camera,
    pub(crate) gateway: Gateway,
    /// Of anna, who has the camera `front`.
    pub(crate) viewer: Viewer,
    /// Of a program that has the cameras `front` and `phone`, which it may publish.
    pub(crate) token: String,
    /// Of a program that has the camera `back`.
    pub(crate) other_token: String,
}

fn camgate(command: &str, input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_camgate"))
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("camgate starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("a text")
}

/// The `[[user]]` of a program, and its token.
fn program(name: &str, keys: &str) -> (String, String) {
    let output = camgate("token", "");
    let (token, hash) = output.split_once('\n').expect("two lines");
    let token = token.strip_prefix("token = ").expect("a token").to_owned();
    secrets::note(&token);
    (format!("[[user]]\nname = \"{name}\"\n{hash}{keys}\n"), token)
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let camera = Camera::builder().start();
        secrets::note(PASSWORD);
        let hash = camgate("password", &format!("{PASSWORD}\n"));
        let anna = format!(
            "[[user]]\nname = \"anna\"\npassword_hash = \"{}\"\ncameras = [\"front\", \"phone\"]\n\
             actions = [\"watch\", \"share\", \"publish\", \"talk\"]\n",
            hash.trim()
        );
        let (robot, token) = program(
            "robot",
            "cameras = [\"front\", \"phone\"]\nactions = [\"watch\", \"metrics\", \"api\", \"publish\"]",
        );
        let (other, other_token) = program("other", "cameras = \"back\"\nactions = [\"watch\", \"api\"]");
        secrets::note(JWT_SECRET);
        let provider =
            format!("[http.jwt]\nissuer = \"{ISSUER}\"\naudience = \"camgate\"\nsecret = \"{JWT_SECRET}\"\n");
        let phone = "[[camera]]\nname = \"phone\"\nsource = \"whip\"\n".to_owned();
        let config = [camera.toml("front"), camera.toml("back"), phone, anna, robot, other, provider].concat();
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
        let viewer = Viewer::builder(gateway.whep("front")).audio(false).basic_auth("anna", PASSWORD).join().await;
        viewer.wait_packets(Kind::Video, 50, LIMIT).await;
        Self { _camera: camera, gateway, viewer, token, other_token }
    }

    /// A request of the program that has the camera `front`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.gateway.http().request(method, self.gateway.url(path)).bearer_auth(&self.token)
    }

    /// Waits for more of the picture.
    pub(crate) async fn plays_on(&self) {
        self.viewer.wait_more(Kind::Video, 25, LIMIT).await;
    }

    /// Everything has arrived, in its turn, and the gateway has left out no picture.
    pub(crate) async fn has_missed_nothing(&self) {
        let log = self.viewer.video();
        assert_eq!((log.missing(), log.duplicates()), (0, 0), "packets");
        let is_forward = |pair: &[u32]| pair[1].wrapping_sub(pair[0]) < 1 << 31;
        assert!(log.timestamps().windows(2).all(is_forward), "time only goes forward");
        let ask = async |path| {
            let response = self.request(Method::GET, path).send().await.expect("an answer");
            response.text().await.expect("a body")
        };
        let sessions: Value = serde_json::from_str(&ask("/api/v1/sessions").await).expect("JSON");
        let own = sessions.as_array().and_then(|all| all.iter().find(|session| session["state"] == "connected"));
        assert_eq!(own.expect("the viewer's")["skipped_units"], 0, "{sessions}");
        let metrics = ask("/metrics").await;
        assert!(metrics.contains("camgate_camera_dropped_units_total{camera=\"front\"} 0\n"), "{metrics}");
    }

    /// What comes back when these bytes are sent on a connection of their own, until the gateway closes or says no more.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.gateway.direct_http_address()).expect("a connection");
        stream.set_read_timeout(Some(ANSWER)).expect("a deadline");
        stream.set_write_timeout(Some(ANSWER)).expect("a deadline");
        // It may have heard enough before the end.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.take(4 << 20).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The status codes of answers one after the other.
pub(crate) fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("HTTP/1.").skip(1);
    lines.filter_map(|rest| rest.get(2..5)?.parse().ok()).collect()
}
