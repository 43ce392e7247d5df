//! coturn, the TURN server, on loopback.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{process, wait};

/// From exec to the first answer.
const START_LIMIT: Duration = Duration::from_secs(15);
/// A STUN Binding request (RFC 8489): type, length, magic cookie, transaction.
const BINDING_REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xa4\x42camgate-test";

/// Waits until the server at `address` answers, or panics with its `log`.
pub async fn wait_ready(address: SocketAddr, log: impl Fn() -> String) {
    let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.expect("a port");
    let end = Instant::now() + START_LIMIT;
    let mut answer = [0; 1_500];
    loop {
        assert!(Instant::now() < end, "coturn does not answer at {address}: {}", log());
        let _ = socket.send_to(&BINDING_REQUEST, address).await;
        if tokio::time::timeout(wait::POLL, socket.recv(&mut answer)).await.is_ok_and(|read| read.is_ok()) {
            return;
        }
    }
}

/// A running coturn. Dropping it ends it.
pub struct Coturn {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Coturn {
    /// Takes the logins that `secret` signs (`use-auth-secret`) and no others.
    pub async fn with_secret(secret: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let probe = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = probe.local_addr().expect("an address").port();
        drop(probe);
        let log = File::create(directory.path().join("log")).expect("a file");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let child = Command::new("turnserver")
            .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"])
            .args([
                "--realm=test.local",
                "--use-auth-secret",
                "--allow-loopback-peers",
                "--log-file=stdout",
                "--verbose",
            ])
            .arg(format!("--listening-port={port}"))
            .arg(format!("--static-auth-secret={secret}"))
            .arg(format!("--pidfile={}", path("pid")))
            .arg(format!("--userdb={}", path("turndb")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("turnserver (Debian: coturn): {error}"));
        let coturn = Self { child, port, directory };
        wait_ready(([127, 0, 0, 1], port).into(), || coturn.log()).await;
        coturn
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far: logins with their names, allocations, permissions.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        process::kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}
