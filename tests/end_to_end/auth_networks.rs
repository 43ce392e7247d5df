//! Who is answered by where they come from: a viewer in a private network, and strangers on public addresses.

use reqwest::StatusCode;

use crate::{
    auth::{PASSWORD, user},
    support::{
        browser::Browser,
        gateway::{Builder, Gateway},
        network::{GATEWAY, GATEWAY_V6, Network},
    },
};

const CAMERA: &str = "[[camera]]\nname = \"front\"\nurl = \"rtsp://192.0.2.1/\"\n";

fn gateway_in(network: &Network) -> Builder {
    let builder = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).on(network, "gateway").config(CAMERA);
    builder.http_listen("0.0.0.0:8080").webrtc_listen("0.0.0.0:8189")
}

/// What somebody on this host is answered by an address of the gateway's, with this password of anna's.
fn status(network: &Network, host: &str, gateway: &str, path: &str, password: Option<&str>) -> StatusCode {
    let url = format!("http://{gateway}:8080{path}");
    network.inside(host, async {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let request = http.get(&url);
        let request = if password.is_some() { request.basic_auth("anna", password) } else { request };
        request.send().await.unwrap_or_else(|error| panic!("{url} from {host}: {error}")).status()
    })
}

#[test]
fn without_users_strangers_get_nothing() {
    let network = Network::new();
    let gateway = network.inside("gateway", gateway_in(&network).spawn());
    let v6 = format!("[{GATEWAY_V6}]");
    for path in
        ["/", "/watch/front", "/whep/front", "/api/v1/cameras", "/api/ws?src=front", "/metrics", "/login", "/none"]
    {
        let near = status(&network, "viewer", GATEWAY, path, None);
        assert_ne!(near, StatusCode::FORBIDDEN, "{path} in a private network");
        for (host, address) in [("turn", GATEWAY), ("turn", &v6), ("viewer", &v6)] {
            let far = status(&network, host, address, path, None);
            assert_eq!(far, StatusCode::FORBIDDEN, "{path} from {host} at {address}");
        }
    }
    assert_eq!(status(&network, "turn", GATEWAY, "/healthz", None), StatusCode::OK);
    drop(gateway);
}

#[test]
fn a_person_on_a_public_address_is_told_why_in_words() {
    let network = Network::new();
    let _gateway = network.inside("gateway", gateway_in(&network).spawn());
    let (text, errors) = network.inside("turn", async {
        let browser = Browser::start().await;
        browser.open(&format!("http://{GATEWAY}:8080/")).await;
        (browser.text().await, browser.console_errors().await)
    });
    assert!(text.contains("private networks only") && text.contains("[[user]]"), "{text}");
    assert!(errors.iter().all(|line| line.contains("403")), "its style and its icon are there: {errors:?}");
    assert!(errors.len() <= 1, "{errors:?}");
}

#[test]
fn who_guesses_locks_out_nobody_elsewhere() {
    let network = Network::new();
    let anna = network.inside("gateway", user("anna", ""));
    let _gateway = network.inside("gateway", gateway_in(&network).config(anna).spawn());
    let guess = |number: u32| status(&network, "turn", GATEWAY, "/whep/front", Some(&format!("guess {number}")));
    let answers: Vec<_> = (0..30).map(guess).collect();
    assert_eq!(answers[..6], [StatusCode::UNAUTHORIZED; 6]);
    assert!(answers.contains(&StatusCode::TOO_MANY_REQUESTS), "{answers:?}");
    assert_eq!(status(&network, "viewer", GATEWAY, "/whep/front", Some(PASSWORD)), StatusCode::OK);
}
