//! Every test ends with a search of all that its gateway printed and answered for all that it must not tell
//! (`Gateway::leaks`). Here is what that search finds.

use std::time::Duration;

use crate::{
    LIMIT,
    support::{
        camera::{Camera, Scheme},
        gateway::Gateway,
        secrets,
    },
};

/// A camera whose name gives away its password, on the page and in the log.
#[tokio::test]
async fn a_secret_that_is_told_is_found() {
    let camera = "[[camera]]\nname = \"opensesame\"\nurl = \"rtsp://127.0.0.1:9/x\"\nusername = \"u\"\npassword = \"opensesame\"\n";
    let mut gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(camera).spawn().await;
    gateway.cameras().await;
    let leaks = gateway.leaks();
    assert!(leaks.iter().any(|line| line.contains("camera configured")), "in the log: {leaks:?}");
    assert!(leaks.iter().any(|line| line.contains("\"state\"")), "in an answer: {leaks:?}");
    gateway.forgive_leaks();
}

#[test]
fn a_secret_is_found_in_every_key_that_holds_one() {
    let config = "[webrtc]\nice_servers = [{ urls = [\"turn:t\"], secret = \"shared-one\" }, { credential = \"fixed-one\" }]\n\
                  [[camera]]\npassword = \"of a camera\"\n[camera.with]\npassword = \"of a pipeline\"\n\
                  [[camera]]\npassword_file = \"front.password\"\n[[user]]\ntoken_hash = \"sha256:00\"\n";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("front.password"), "in a file\n").expect("a file");
    let environment = [("CAMGATE_CAMERA__FRONT__PASSWORD", "in a variable"), ("CAMGATE_HTTP__LISTEN", "0.0.0.0:8080")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let known = secrets::known(config, folder.path(), &environment);
    let secret = ["shared-one", "fixed-one", "of a camera", "of a pipeline", "in a file", "sha256:00", "in a variable"];
    for secret in secret {
        assert!(known.iter().any(|known| known == secret), "{secret} in {known:?}");
    }
    assert!(!known.iter().any(|known| known == "0.0.0.0:8080"));
    let found = |text: &str| secrets::leaks(text, &known).len();
    assert_eq!(found("nothing\nhere"), 0);
    assert_eq!(found("x=of a camera\ny=of%20a%20camera"), 2);
    assert_eq!(
        found("link: <turn:t>; rel=\"ice-server\"; username=\"u\"; credential=\"fixed-one\""),
        0,
        "viewers need it"
    );
    assert_eq!(found("turn:t fixed-one"), 1);
}

/// A camera that refuses its password, and one whose URL does, are spoken of in many words.
#[tokio::test]
async fn a_camera_that_refuses_its_password_is_spoken_of_without_it() {
    let camera = Camera::builder().user("viewer", "right-password", Scheme::Basic).start();
    let entry = camera.toml("front").replace("right-password", "not-this-one-7");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .env("RUST_LOG", "trace")
        .config(format!("{entry}\nstart = \"always\"\n"))
        .spawn()
        .await;
    gateway.wait_camera("front", "backing_off", LIMIT).await;
    for path in ["/api/v1/cameras", "/metrics", "/readyz", "/"] {
        gateway.get(path).await.expect("an answer").text().await.expect("a body");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(gateway.leaks(), Vec::<String>::new());
}
