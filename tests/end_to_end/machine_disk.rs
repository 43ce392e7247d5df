//! A full disk under the gateway's state: what cannot be kept is said in words, what was kept is whole, and nothing ends
//! (docs/uptime.md).

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    support::{
        camera::Camera,
        gateway::Gateway,
        viewer::{Kind, Viewer},
    },
};

/// A small disk. It is gone with this.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this test mounts a small disk, which takes root");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).expect("a file");
        // Until there is none.
        let _ = std::io::copy(&mut std::io::repeat(7), &mut file);
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Asks for a link to `front`.
async fn share(gateway: &Gateway) -> (StatusCode, String) {
    let wish = json!({ "camera": "front", "seconds": 3600, "note": "plumber" }).to_string();
    let request = gateway.http().request(Method::POST, gateway.url("/api/v1/shares"));
    let request = request.basic_auth("anna", Some(PASSWORD)).header("content-type", "application/json");
    let answer = request.body(wish).send().await.expect("an answer");
    (answer.status(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn a_full_disk_under_the_state_is_told_and_spoils_nothing() {
    let (disk, camera) = (Disk::new(), Camera::builder().start());
    let state = disk.path().join("state");
    let config = format!("{}\n{}", camera.toml("front"), user("anna", "actions = [\"watch\", \"share\"]").await);
    let keys = format!("state_dir = \"{}\"", state.display());
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http(&keys).config(config).spawn().await;
    assert_eq!(share(&gateway).await.0, StatusCode::CREATED);
    let kept = fs::read(state.join("shares.json")).expect("it is kept");
    let viewer = Viewer::builder(gateway.whep("front")).basic_auth("anna", PASSWORD).join().await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    disk.fill();
    for _ in 0..3 {
        let (status, text) = share(&gateway).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{text}");
        assert!(text.contains("its log says why"), "{text}");
    }
    let line = gateway.wait_log("No space left on device", LIMIT).await;
    assert!(line.contains("[http] state_dir: cannot write") && line.contains("shares.json"), "{line}");
    assert_eq!(fs::read(state.join("shares.json")).expect("it is kept"), kept, "whole, as it was");
    assert!(!state.join("shares.json.new").exists(), "nothing half written is left");
    viewer.wait_more(Kind::Video, 10, LIMIT).await;
    disk.make_room();
    assert_eq!(share(&gateway).await.0, StatusCode::CREATED, "as soon as there is room");
    viewer.wait_more(Kind::Video, 10, LIMIT).await;
}
