//! nginx as a reverse proxy, with the locations of docs/reverse-proxy.md.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{process, wait};

/// From exec to the open port.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The fenced block of that language in docs/reverse-proxy.md.
pub fn documented(language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reverse-proxy.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (_, rest) = text.split_once(&format!("```{language}\n")).expect("a block of that language");
    rest.split_once("```").expect("the end of the block").0.to_owned()
}

/// A running nginx. Dropping it ends it.
pub struct Nginx {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Nginx {
    /// Listens on a free port of loopback.
    pub async fn start(locations: &str) -> Self {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = probe.local_addr().expect("an address").to_string();
        drop(probe);
        Self::at(&address, locations).await
    }

    /// Listens on `address`.
    pub async fn at(address: &str, locations: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {};\n", path(kind)))
            .collect();
        // Root's workers are another user otherwise, who may not enter the folder. The directive means nothing to others.
        let config = format!(
            "user root;\ndaemon off;\nmaster_process off;\nworker_processes 1;\npid {};\nerror_log {} info;\n\
             events {{}}\nhttp {{\n{temporary}access_log off;\nserver {{\nlisten {address};\n{locations}\n}}\n}}\n",
            path("pid"),
            path("log")
        );
        std::fs::write(path("nginx.conf"), config).expect("nginx.conf");
        let child = Command::new("nginx")
            .args(["-e", &path("log"), "-c", &path("nginx.conf"), "-p", &path("")])
            // Debian's is in /usr/sbin.
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx (Debian: nginx-light): {error}"));
        let nginx = Self { child, address: address.to_owned(), directory };
        let end = Instant::now() + START_LIMIT;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < end, "nginx does not listen on {address}: {}", nginx.log());
            tokio::time::sleep(wait::POLL).await;
        }
        nginx
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        process::kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}
