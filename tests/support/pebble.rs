//! Pebble, Let's Encrypt's small ACME server for tests, with a name server that leads every name to loopback.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{process, wait};

/// From exec to the open port.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running Pebble. Dropping it ends it.
pub struct Pebble {
    children: Vec<Child>,
    port: u16,
    directory: tempfile::TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a port").port()
}

impl Pebble {
    /// Looks for proofs at `tls_port` of loopback.
    pub async fn start(tls_port: u16) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        std::fs::write(path("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("a file");
        let port = free_port();
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": path("cert.pem"), "privateKey": path("key.pem"),
            "httpPort": 1, "tlsPort": tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        } });
        std::fs::write(path("config.json"), config.to_string()).expect("a file");
        let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let names = probe.local_addr().expect("an address");
        drop(probe);
        let log = File::create(path("log")).expect("a file");
        let start = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "0")
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a file"))
                .stderr(log.try_clone().expect("a file"))
                .spawn()
                .unwrap_or_else(|error| panic!("{program} (Debian: pebble): {error}"))
        };
        let dns = names.to_string();
        let manage = format!("127.0.0.1:{}", free_port());
        let servers = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
        let arguments: Vec<_> = servers.into_iter().chain(["-dns01", &dns, "-management", &manage]).collect();
        let children = vec![
            start("pebble-challtestsrv", &arguments),
            start("pebble", &["-strict", "-config", &path("config.json"), "-dnsserver", &dns]),
        ];
        let pebble = Self { children, port, directory };
        let end = Instant::now() + START_LIMIT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < end, "pebble does not listen at {address}: {}", pebble.log());
            tokio::time::sleep(wait::POLL).await;
        }
        pebble
    }

    /// The ACME directory.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The certificate that its own HTTPS is to be believed by.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            process::kill_tree(child.id());
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- pebble:\n{}\n---", self.log());
        }
    }
}
