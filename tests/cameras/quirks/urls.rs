//! URLs as people paste them: understood, or refused with a sentence that says what to write. None shows a password.

use std::process::Command;

use super::{PICTURES, camera};
use crate::LIMIT;
use crate::support::gateway::Gateway;
use crate::support::viewer::{Kind, Viewer};

/// A part of every password here.
const SECRET: &str = "hunter";

/// What `camgate check` says of a configuration with this URL; empty if it is good.
fn check(url: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, format!("[[camera]]\nname = \"front\"\nurl = '{url}'\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_camgate")).arg("check").arg("--config").arg(&file).output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(!said.contains(SECRET), "{url} is shown: {said}");
    if output.status.success() { String::new() } else { said }
}

fn is_refused(url: &str, words: &str) {
    let said = check(url);
    assert!(said.contains(words), "{url}: {said}");
}

/// Passwords before the host, with characters that mean something in a URL.
#[test]
fn a_password_is_pasted_with_the_url() {
    for password in
        ["hunter2", "hunter@2", "hunter#2", "hunter/2", "hunter?2", "hunter:2", "12/hunter", "12#hunter", "hun ter%2"]
    {
        is_refused(
            &format!("rtsp://admin:{password}@192.168.1.20:554/stream1"),
            "they have their own keys, username and password",
        );
    }
    is_refused("rtsp://admin:hunter#2@cam.lan/stream1", "they have their own keys");
    is_refused("rtsp://admin@192.168.1.20/stream1", "they have their own keys");
}

/// IPv6 addresses without brackets, which run into the port.
#[test]
fn an_ipv6_address_is_pasted_without_brackets() {
    for url in ["rtsp://fd00::20/stream1", "rtsp://fd00::20:554/stream1", "rtsp://::ffff:192.168.1.20/stream1"] {
        is_refused(url, "an IPv6 address in brackets: rtsp://[fd00::20]:554/path");
    }
    assert_eq!(check("rtsp://[fd00::20]:554/stream1"), "");
    assert_eq!(check("rtsp://[fd00::20]/stream1"), "");
}

/// No scheme, two of them, one that RTSP has not, and half of one.
#[test]
fn a_url_is_pasted_without_a_scheme_or_with_two() {
    is_refused("192.168.1.20/stream1", "rtsp:// comes first");
    is_refused("192.168.1.20:554/stream1", "rtsp:// comes first");
    is_refused("cam.lan:554/user=admin_password=hunter2", "rtsp:// comes first");
    is_refused("rtsp://rtsp://192.168.1.20/stream1", "rtsp:// stands twice");
    is_refused("rtspx://192.168.1.20/stream1", "a pipeline can");
    is_refused("rtsp:/192.168.1.20/stream1", "names no host");
    is_refused("rtsp:\\\\192.168.1.20\\stream1", "names no host");
}

/// Options of other programs behind a `#`.
#[test]
fn a_url_is_pasted_with_the_options_of_another_program() {
    is_refused(
        "rtsp://192.168.1.20/stream1#backchannel=0#transport=udp",
        "leave out what other programs read behind one",
    );
}

/// Ports that are none, and hosts that are none.
#[test]
fn a_url_is_pasted_with_a_port_or_a_host_that_is_none() {
    is_refused("rtsp://192.168.1.20:rtsp/stream1", "invalid port number");
    is_refused("rtsp://192.168.1.20:55400000/stream1", "invalid port number");
    is_refused("rtsp://my camera/stream1", "invalid domain character");
    is_refused("rtsp://k\u{fc}che/stream1", "names no host");
    is_refused("rtsp:///stream1", "names no host");
}

/// Blanks around it and in its path, an empty port's colon, capitals, and a path with characters of passwords: all are seen.
#[tokio::test]
async fn a_url_is_pasted_with_blanks_and_odd_characters() {
    let path = "/user=admin&password=hunter@2&channel=1 main{0}.sdp?a=b|c";
    let camera = camera().mount("/user=admin&password=hunter@2&channel=1%20main%7B0%7D.sdp?a=b|c").start();
    let config = format!("[[camera]]\nname = \"front\"\nurl = '  RTSP://LOCALHOST:{}{path} '\n", camera.port());
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    Viewer::join(gateway.whep("front")).await.wait_packets(Kind::Video, PICTURES as u64, LIMIT).await;
    let asked = camera.requests("DESCRIBE").remove(0).uri;
    assert!(asked.contains("/user=admin&password=hunter@2&channel=1%20main%7B0%7D.sdp?a=b|c"), "{asked}");
    assert!(!gateway.log().contains(SECRET), "{}", gateway.log());
    // No port, but its colon.
    assert_eq!(check("rtsp://192.168.1.20:/stream1"), "");
}
