//! A viewer whose network changes under it: the old way is dead without a word, the session goes on by another.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use crate::{
    LIMIT, gateway,
    support::{browser::Browser, camera::Camera, gateway::Gateway, wait},
};

/// Rules of the kernel by which every way that exists now to a port is dead, UDP and TCP, and new ones are not, until they
/// are dropped themselves. Needs root.
struct DeadWays(String);

impl DeadWays {
    fn to(port: &str) -> Self {
        let table = format!("camgate_dead_{port}_{}", std::process::id());
        let nft = Self(table.clone());
        let known: Vec<String> =
            udp_ports().iter().filter(|known| known.to_string() != port).map(u16::to_string).collect();
        let known = known.join(", ");
        nft.run(&format!(
            "table inet {table} {{\nchain dead {{\ntype filter hook input priority 0\n\
             udp dport {port} udp sport {{ {known} }} drop\nudp sport {port} udp dport {{ {known} }} drop\n\
             tcp dport {port} drop\ntcp sport {port} drop\n}}\n}}\n"
        ));
        nft
    }

    fn run(&self, rules: &str) {
        let output = nft().arg(rules).output().expect("nft: scripts/install installs it");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft cannot change rules, is this root? {error}");
    }
}

/// UDP ports that somebody on this machine has open.
fn udp_ports() -> BTreeSet<u16> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let port = |line: &str| u16::from_str_radix(line.split_ascii_whitespace().nth(1)?.rsplit_once(':')?.1, 16).ok();
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(port)).collect()
}

/// As root already, or as somebody who may become it.
fn nft() -> Command {
    if std::fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0) {
        return Command::new("/usr/sbin/nft");
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "/usr/sbin/nft"]);
    sudo
}

impl Drop for DeadWays {
    fn drop(&mut self) {
        let _ = nft().args(["delete", "table", "inet", &self.0]).output();
    }
}

async fn session(gateway: &Gateway) -> Value {
    let mut sessions = gateway.sessions().await;
    assert_eq!(sessions.len(), 1, "one session all the time: {sessions:?}");
    sessions.remove(0)
}

/// A watch page that plays.
struct Watched {
    _camera: Camera,
    gateway: Gateway,
    browser: Browser,
    /// Its session, with the way that media takes.
    before: Value,
}

async fn watched() -> Watched {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    let before = wait::until_value("where media goes", LIMIT, || session(&gateway), |it| !it["remote"].is_null()).await;
    Watched { _camera: camera, gateway, browser, before }
}

#[tokio::test]
async fn the_page_stays_in_its_session_when_its_network_changes() {
    let Watched { _camera, gateway, browser, before } = watched().await;
    let (_, port) = gateway.webrtc_address().rsplit_once(':').unwrap();
    let dead = DeadWays::to(port);
    browser.wait_for("!document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.wait_decoded(30, LIMIT).await;
    let after = session(&gateway).await;
    assert_eq!(after["id"], before["id"], "the same session");
    assert_ne!(after["remote"], before["remote"], "by another way");
    drop(dead);
}

#[tokio::test]
async fn the_page_restarts_ice_as_soon_as_it_is_online_again() {
    let Watched { _camera, gateway, browser, before } = watched().await;
    browser.eval("window.dispatchEvent(new Event('online'))").await;
    gateway.wait_log("viewer restarts ICE", LIMIT).await;
    let moved = |it: &Value| it["remote"] != before["remote"];
    let after = wait::until_value("another way", LIMIT, || session(&gateway), moved).await;
    assert_eq!(after["id"], before["id"], "the same session");
    browser.wait_decoded(30, LIMIT).await;
    assert_eq!(browser.eval("document.querySelector('[data-camera]').dataset.state").await, "playing");
}

/// A session that the gateway has ended, as for want of consent, cannot be restarted: only another one helps.
#[tokio::test]
async fn the_page_starts_over_when_its_session_is_gone() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let browser = Browser::start().await;
    for status in [404, 410] {
        browser.open(&gateway.url("/watch/front")).await;
        browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
        let gone = format!(
            "{{ const fetch = window.fetch; window.fetch = async (url, init) => {{
                if (init?.method === 'POST') window.__again = true;
                return init?.method === 'PATCH' ? new Response('', {{ status: {status} }}) : fetch(url, init);
            }}; }} window.dispatchEvent(new Event('online'))"
        );
        browser.eval(&gone).await;
        browser.wait_for("window.__again && document.querySelector('[data-state=playing]')", LIMIT).await;
    }
}
