//! Which addresses the gateway listens on and offers.

use std::net::{Ipv6Addr, TcpListener};

use crate::support::gateway::Gateway;

/// The port behind the last colon.
fn port(address: &str) -> u16 {
    address.rsplit_once(':').expect("a port").1.parse().expect("a number")
}

#[tokio::test]
async fn every_address_means_both_families() {
    let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        if !has_v6 && listen.starts_with('[') {
            continue;
        }
        let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http_listen(listen).spawn().await;
        let port = port(gateway.http_address());
        for host in ["127.0.0.1", "[::1]"] {
            if has_v6 || host == "127.0.0.1" {
                let url = format!("http://{host}:{port}/healthz");
                let response = gateway.http().get(&url).send().await;
                assert!(response.is_ok_and(|response| response.status() == 200), "{listen}: {url}");
            }
        }
    }
    if has_v6 {
        let only = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).http_listen("[::1]:0").spawn().await;
        let v4 = format!("http://127.0.0.1:{}/healthz", port(only.http_address()));
        assert!(only.http().get(&v4).send().await.is_err(), "one address is one address");
    }
}
