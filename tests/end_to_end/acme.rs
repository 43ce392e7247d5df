//! A certificate from a real ACME server (Debian's pebble), which checks the name by tls-alpn-01.

use std::{net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use crate::{
    LIMIT,
    auth_page::PLAYING,
    support::{
        browser::Browser,
        camera::Camera,
        gateway::{Builder, Gateway},
        pebble::Pebble,
    },
    tls::certificate_of,
};

const NAME: &str = "cam.example.org";

fn builder(directory: &str, folder: &Path) -> Builder {
    let keys = format!(
        "[http.acme]\ndomains = [\"{NAME}\"]\nemail = \"anna@example.org\"\ndirectory = \"{directory}\"\ncache_dir = {folder:?}"
    );
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(keys)
}

/// Whether a certificate says so of its issuer.
fn is_from_pebble(certificate: &[u8]) -> bool {
    String::from_utf8_lossy(certificate).contains("Pebble Intermediate CA")
}

#[tokio::test]
async fn a_certificate_is_ordered_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let camera = Camera::builder().start();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port").port();
    let pebble = Pebble::start(port).await;
    let authority = pebble.authority().display().to_string();
    let builder = || {
        let builder = builder(&pebble.url(), &folder.path().join("kept")).config(camera.toml("front"));
        builder.http_listen(&format!("127.0.0.1:{port}")).env("SSL_CERT_FILE", &authority)
    };
    let mut gateway = builder().spawn().await;
    gateway.wait_log(&format!("certificate for {NAME}, until "), LIMIT).await;
    assert!(is_from_pebble(&certificate_of(&gateway).await), "{}", pebble.log());
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    assert!(metrics.contains("camgate_certificate_expiry_timestamp_seconds "), "{metrics}");

    let browser = Browser::builder()
        .flag("--ignore-certificate-errors")
        .flag(&format!("--host-resolver-rules=MAP {NAME} 127.0.0.1"))
        .start()
        .await;
    browser.open(&format!("https://{NAME}:{port}/watch/front")).await;
    browser.wait_for(PLAYING, LIMIT).await;
    gateway.signal("TERM");
    gateway.wait_exit(LIMIT).await;
    assert!(!gateway.log().contains("PRIVATE KEY"));

    let kept: Vec<_> = std::fs::read_dir(folder.path().join("kept")).expect("a folder").flatten().collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    for file in kept {
        assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let orders = || pebble.log().matches("order").count();
    let before = orders();
    assert!(before > 0, "{}", pebble.log());
    let again = builder().spawn().await;
    again.wait_log(&format!("certificate for {NAME}, until "), LIMIT).await;
    assert!(is_from_pebble(&certificate_of(&again).await));
    assert_eq!(orders(), before, "nothing is ordered again: {}", pebble.log());
}

/// Nobody listens there.
#[tokio::test]
async fn an_authority_that_is_away_takes_nothing_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = builder("https://localhost:1/directory", folder.path()).spawn().await;
    let line = gateway.wait_log(&format!("no new certificate for {NAME} from localhost: "), LIMIT).await;
    assert!(line.contains("next attempt in 30 s") && line.contains("browsers warn"), "{line}");
    assert_eq!(gateway.get("/healthz").await.expect("an answer").status(), 200);
    assert!(!is_from_pebble(&certificate_of(&gateway).await));
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    assert!(!metrics.contains("camgate_certificate_expiry"), "it is nobody's yet: {metrics}");
}
