//! Viewers who reach the gateway only through a TURN server, coturn, by logins that the gateway makes of a shared secret.

use serde_json::json;

use crate::{
    LIMIT,
    support::{browser::Browser, camera::Camera, coturn::Coturn, gateway::Gateway},
};

/// Makes every connection of the page use relayed candidates only, as if nothing else got through.
const RELAY_ONLY: &str = "{
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
        constructor(configuration) { super({ ...configuration, iceTransportPolicy: 'relay' }); }
        setConfiguration(configuration) { super.setConfiguration({ ...configuration, iceTransportPolicy: 'relay' }); }
    };
}";
/// Both ends of the pair that is in use, by type.
const SELECTED_PAIR: &str = "(async () => {
    const connection = window.__pcs.findLast((it) => it.connectionState === 'connected');
    const report = await connection.getStats();
    const transport = [...report.values()].find((it) => it.type === 'transport');
    const pair = report.get(transport.selectedCandidatePairId);
    return [report.get(pair.localCandidateId).candidateType, report.get(pair.remoteCandidateId).candidateType];
})()";

async fn gateway(camera: &Camera, coturn: &Coturn, secret: &str) -> Gateway {
    let url = format!("turn:127.0.0.1:{}", coturn.port());
    let servers = format!("ice_servers = [{{ urls = [\"{url}\"], secret = \"{secret}\", username = \"camgate\" }}]");
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).webrtc(&servers).config(camera.toml("front")).spawn().await
}

#[tokio::test]
async fn a_browser_behind_a_relay_plays_by_a_login_of_its_own() {
    let coturn = Coturn::with_secret("north").await;
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, &coturn, "north").await;
    let browser = Browser::start().await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": RELAY_ONLY })).await;
    browser.open(&gateway.url("/watch/front")).await;
    browser.wait_for("document.querySelector('[data-state=playing]')", LIMIT).await;
    browser.wait_decoded(15, LIMIT).await;
    let pair = browser.eval(SELECTED_PAIR).await;
    assert_eq!(pair[0], "relay", "{pair}");
    assert!(coturn.log().contains(":camgate>"), "the login's name: {}", coturn.log());
    assert!(!gateway.log().contains("north"), "{}", gateway.log());
}

#[tokio::test]
async fn a_login_of_another_secret_gets_nobody_in() {
    let coturn = Coturn::with_secret("north").await;
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, &coturn, "south").await;
    let browser = Browser::start().await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": RELAY_ONLY })).await;
    browser.open(&gateway.url("/watch/front")).await;
    browser
        .wait_for("document.querySelector('[data-state=error], [data-state=offline], [data-state=waiting]')", LIMIT)
        .await;
    assert!(coturn.log().contains("401"), "{}", coturn.log());
    assert!(browser.video_stats().await.is_none_or(|stats| stats.frames_decoded == 0));
}
