//! Viewers whose packets do not get through. Needs root: network namespaces, with nftables for what is in between.

use serde_json::json;

use crate::{
    LIMIT,
    cause::Cause,
    places::{browser, gateway, has, lines, page_says, play},
    support::{
        gateway::Builder,
        network::{GATEWAY, Network},
    },
};

/// Records why sessions have ended, as the page is told.
const RECORD_ENDS: &str = "(() => {
    window.ends = [];
    const { fetch } = window;
    window.fetch = async (...asked) => {
        const answer = await fetch(...asked);
        if (answer.status === 410) ends.push(await answer.clone().json());
        return answer;
    };
})()";

fn gateway_in(network: &Network, webrtc: &str) -> Builder {
    let pipelines = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
    let camera = "[[camera]]\nname = \"front\"\npipeline = \"test-pattern\"\nstart = \"always\"\n[camera.with]\nwidth = 320\nheight = 180\n";
    gateway(&format!("{camera}[pipelines]\npath = [\"{pipelines}\"]\n"))
        .on(network, "gateway")
        .http_listen(&format!("{GATEWAY}:8080"))
        .http("allow_anonymous = true")
        .webrtc_listen(webrtc)
}

impl Cause {
    /// A viewer who gets the page and no media is told this cause: by the page, by HTTP, by `camgate play`, by the log.
    fn keeps_away(&self, network: &Network, builder: Builder) {
        network.run("viewer", "ip -6 addr flush dev eth0");
        network.inside("viewer", async {
            let gateway = builder.spawn().await;
            gateway.wait_camera("front", "live", LIMIT).await;
            let browser = browser().await;
            browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": RECORD_ENDS })).await;
            browser.open(&gateway.url("/watch/front")).await;
            browser.wait_for("window.ends.length > 0", LIMIT).await;
            let problem = browser.eval("ends[0]").await;
            assert_eq!(problem["code"], self.code, "{problem}\n{}", gateway.log());
            let sentence = self.checked(&problem["detail"]);
            page_says(&browser, &sentence).await;
            let logged = lines(&gateway, &["viewer never connected", "camera=front", "session="]);
            let code = format!("code=\"{}\"", self.code);
            assert!(logged.iter().any(|line| line.contains(&code) && has(line, &sentence)), "{logged:#?}");
            let played = play(&gateway.whep("front"), &[]).await;
            // Ports differ from session to session.
            let (_, said) = played.split_once("The server says: ").unwrap_or_else(|| panic!("play: {played}"));
            self.checked(&said.into());
        });
    }
}

pub(crate) const BLOCKED: Cause = Cause {
    name: "viewer's UDP blocked, and the port on TCP, too",
    code: "network-blocked",
    sentence: "No UDP and no TCP packet of the viewer ever arrived: open port … for UDP or TCP in every firewall in between, and \
               check that the viewer reaches …",
    provoked: "the router drops all UDP, and TCP to the WebRTC port; where TCP gets through, the picture comes by ICE-TCP",
    test: "udp_and_tcp_blocked",
};

#[test]
fn udp_and_tcp_blocked() {
    let network = Network::new();
    network.rules(
        "forward meta l4proto udp drop
         forward tcp dport 8189 drop",
    );
    BLOCKED.keeps_away(&network, gateway_in(&network, "0.0.0.0:8189"));
}

pub(crate) const CONTAINER: Cause = Cause {
    name: "only Docker addresses offered",
    code: "container-address",
    sentence: "No UDP and no TCP packet of the viewer ever arrived, and the gateway offered only …, which looks like a \
               container's own address: add the host's address to advertise under [webrtc]",
    provoked: "the gateway's media is at 172.18.0.2, which no other machine has a route to",
    test: "only_docker_addresses",
};

#[test]
fn only_docker_addresses() {
    let network = Network::new();
    network.run("gateway", "ip addr add 172.18.0.2/16 dev eth0");
    network.rules("forward iifname gateway meta l4proto udp drop");
    CONTAINER.keeps_away(&network, gateway_in(&network, "172.18.0.2:8189"));
}

pub(crate) const NO_ROUTE_BACK: Cause = Cause {
    name: "no route back",
    code: "no-route-back",
    sentence: "The viewer's checks arrived (from …), but the gateway's machine has no route back to …: give it one, or a default \
               gateway",
    provoked: "the gateway's machine has no default route; the page comes through a NAT",
    test: "no_route_back",
};

#[test]
fn no_route_back() {
    let network = Network::new();
    network.run(
        "gateway",
        "ip route del default && sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0",
    );
    network.rules("postrouting oifname gateway tcp dport 8080 masquerade");
    NO_ROUTE_BACK.keeps_away(&network, gateway_in(&network, "0.0.0.0:8189"));
}

pub(crate) const ONE_WAY: Cause = Cause {
    name: "a firewall that lets packets through in one direction only",
    code: "one-way-network",
    sentence: "The viewer's checks arrived (from …), but no answer came back to the gateway's, so that a firewall or router lets \
               packets through in one direction only: open port … in both",
    provoked: "the router drops what the gateway sends over UDP, and TCP to the WebRTC port",
    test: "one_way",
};

#[test]
fn one_way() {
    let network = Network::new();
    network.rules(
        "forward iifname viewer tcp dport 8189 drop
         forward iifname gateway meta l4proto udp drop",
    );
    ONE_WAY.keeps_away(&network, gateway_in(&network, "0.0.0.0:8189"));
}

pub(crate) const UNREACHABLE: Cause = Cause {
    name: "camera off",
    code: "camera-unreachable",
    sentence: "… cannot be reached (…): check that the camera has power and network",
    provoked: "url is an address of the gateway's own network that nobody has",
    test: "camera_without_power",
};

#[test]
fn camera_without_power() {
    let network = Network::new();
    network.inside("gateway", async {
        // Beside the router, where a camera would be.
        let address = "198.51.100.77";
        let entry = format!("[[camera]]\nname = \"front\"\nurl = \"rtsp://{address}/cam\"\n");
        let gateway = gateway(&entry).spawn().await;
        UNREACHABLE.is_told(&gateway).await;
        UNREACHABLE.is_probed(&gateway, &[]).await;
    });
}
