//! The camgate binary as a child process, whose every word is searched for secrets in the end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::network::Network;
use super::recorder::Recorder;
use super::{process, secrets, wait};

/// From exec to both ports bound and /healthz answered. Generous: on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Where HTTP listens unless a test says otherwise. Then it is asked through a [`Recorder`].
const HTTP_LISTEN: &str = "127.0.0.1:0";
/// What the log says of a configuration that is read again.
const TAKEN_UP: &str = "the configuration is taken up";
const REFUSED: &str = "the configuration is refused";
/// For one HTTP request. A WHEP POST may wait for the camera's start deadline.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Lines of log kept, and lines of them printed when a test fails.
const LOG_LINES: usize = 20_000;
const LOG_TAIL: usize = 60;

/// Builds a [`Gateway`] and its config.toml.
pub struct Builder {
    binary: PathBuf,
    http_listen: String,
    webrtc_listen: String,
    http: String,
    webrtc: String,
    rest: String,
    raw: Option<String>,
    env: Vec<(String, String)>,
    files: Vec<(String, String)>,
    before: Vec<String>,
}

impl Builder {
    /// Runs it on a host of `network`.
    pub fn on(mut self, network: &Network, host: &str) -> Self {
        self.before = network.on(host);
        self
    }

    /// Runs it by another program, whose arguments end with the gateway's command line.
    pub fn under(mut self, words: Vec<String>) -> Self {
        self.before = words;
        self
    }

    /// Starts it with this limit of open descriptors, which it may raise.
    pub fn descriptors(mut self, soft: u32) -> Self {
        let script = format!("ulimit -S -n {soft} && exec \"$0\" \"$@\"");
        self.before = vec!["sh".into(), "-c".into(), script];
        self
    }

    /// Appends to config.toml, after `[http]` and `[webrtc]`: cameras and other tables. Several
    /// calls add up.
    pub fn config(mut self, toml: impl AsRef<str>) -> Self {
        self.rest += toml.as_ref();
        self.rest.push('\n');
        self
    }

    /// Keys for the `[http]` table.
    pub fn http(mut self, toml: &str) -> Self {
        self.http += &format!("{toml}\n");
        self
    }

    /// Keys for the `[webrtc]` table.
    pub fn webrtc(mut self, toml: &str) -> Self {
        self.webrtc += &format!("{toml}\n");
        self
    }

    pub fn http_listen(mut self, address: &str) -> Self {
        self.http_listen = address.into();
        self
    }

    /// Where media is served (default `127.0.0.1:0`). Chromium reaches that although it never
    /// offers 127.0.0.1 itself: its checks come from the address of another interface.
    pub fn webrtc_listen(mut self, address: &str) -> Self {
        self.webrtc_listen = address.into();
        self
    }

    /// The whole config.toml, instead of everything above.
    pub fn raw_config(mut self, toml: &str) -> Self {
        self.raw = Some(toml.into());
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// A file beside config.toml.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// HTTPS with this certificate and key, in PEM.
    pub fn tls(self, certificate: &str, key: &str) -> Self {
        let keys = "[http.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"";
        self.file("cert.pem", certificate).file("key.pem", key).config(keys)
    }

    fn toml(&self) -> String {
        self.raw.clone().unwrap_or_else(|| {
            format!(
                "[http]\nlisten = \"{}\"\n{}\n[webrtc]\nlisten = \"{}\"\n{}\n{}",
                self.http_listen, self.http, self.webrtc_listen, self.webrtc, self.rest
            )
        })
    }

    /// Starts the process and returns at once, for tests of a start that fails.
    pub fn launch(self) -> Gateway {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (config, toml) = (dir.path().join("config.toml"), self.toml());
        std::fs::write(&config, &toml).expect("config.toml");
        for (name, content) in &self.files {
            std::fs::write(dir.path().join(name), content).expect("a file");
        }
        let secrets = secrets::known(&toml, dir.path(), &self.env);
        let is_recorded = self.http_listen == HTTP_LISTEN && self.raw.is_none() && self.before.is_empty();
        // There is one already from the second gateway on.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let words: Vec<OsString> =
            self.before.iter().map(OsString::from).chain([self.binary.clone().into_os_string()]).collect();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .arg("run")
            .arg("--config")
            .arg(&config)
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1")
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        keep_lines(child.stderr.take().expect("piped"), log.clone());
        keep_lines(child.stdout.take().expect("piped"), log.clone());
        Gateway {
            child,
            log,
            dir,
            secrets: Mutex::new(secrets),
            is_recorded,
            recorder: None,
            scheme: "http".into(),
            http_address: String::new(),
            webrtc_address: String::new(),
            http: client().build().expect("an HTTP client"),
        }
    }

    /// Starts the process and waits until it serves.
    pub async fn spawn(self) -> Gateway {
        let mut gateway = self.launch();
        let end = Instant::now() + START_LIMIT;
        let url = gateway.logged_address("http listening on ", end).await;
        let (scheme, address) = url.split_once("://").expect("a URL");
        (gateway.scheme, gateway.http_address) = (scheme.to_owned(), address.to_owned());
        if gateway.is_recorded && gateway.scheme == "http" {
            let address: SocketAddr = gateway.http_address.parse().expect("an address");
            let recorder = Recorder::before(address);
            gateway.http_address = recorder.address().to_string();
            gateway.recorder = Some(recorder);
        }
        gateway.webrtc_address = gateway.logged_address("webrtc listening on udp ", end).await;
        wait::until("/healthz says 200", START_LIMIT, || async {
            let response = gateway.get("/healthz").await.ok()?;
            response.status().is_success().then_some(())
        })
        .await;
        gateway
    }
}

/// An HTTP client that takes any certificate.
pub fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).timeout(REQUEST_LIMIT)
}

/// Keeps what the gateway prints, line by line, until it ends.
fn keep_lines(output: impl Read + Send + 'static, log: Arc<Mutex<VecDeque<String>>>) {
    std::thread::spawn(move || {
        let mut input = BufReader::new(output);
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let mut lines = log.lock().unwrap();
            if lines.len() == LOG_LINES {
                lines.pop_front();
            }
            lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    });
}

/// A running camgate. Dropping it kills the process; a test that panics prints the end of its log, and one that does not
/// panics when the gateway told a secret.
pub struct Gateway {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    dir: tempfile::TempDir,
    /// What it must not tell.
    secrets: Mutex<Vec<String>>,
    is_recorded: bool,
    recorder: Option<Recorder>,
    scheme: String,
    http_address: String,
    webrtc_address: String,
    http: reqwest::Client,
}

impl Gateway {
    /// `binary` is `env!("CARGO_BIN_EXE_camgate")`, which only the test file itself can name.
    pub fn builder(binary: impl AsRef<Path>) -> Builder {
        Builder {
            binary: binary.as_ref().to_owned(),
            http_listen: HTTP_LISTEN.into(),
            webrtc_listen: "127.0.0.1:0".into(),
            http: String::new(),
            webrtc: String::new(),
            rest: String::new(),
            raw: None,
            env: Vec::new(),
            files: Vec::new(),
            before: Vec::new(),
        }
    }

    async fn logged_address(&mut self, marker: &str, end: Instant) -> String {
        loop {
            if let Some(line) = self.find_log(marker) {
                let rest = &line[line.find(marker).unwrap_or(0) + marker.len()..];
                // Behind it, a line for programs has a quote.
                return rest.split([' ', '"']).next().unwrap_or("").to_owned();
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("camgate ended with {status} before it logged {marker:?}");
            }
            assert!(Instant::now() < end, "camgate did not log {marker:?}");
            tokio::time::sleep(wait::POLL).await;
        }
    }

    // --- addresses

    /// `host:port` of HTTP.
    pub fn http_address(&self) -> &str {
        &self.http_address
    }

    /// `host:port` of WebRTC.
    pub fn webrtc_address(&self) -> &str {
        &self.webrtc_address
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.http_address)
    }

    pub fn whep(&self, camera: &str) -> String {
        self.url(&format!("/whep/{camera}"))
    }

    /// The directory that holds config.toml.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    // --- HTTP

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.http.get(self.url(path)).send().await
    }

    /// POSTs an SDP offer as a WHEP client does.
    pub async fn post_offer(&self, camera: &str, offer: impl Into<reqwest::Body>) -> reqwest::Response {
        self.http
            .post(self.whep(camera))
            .header("content-type", "application/sdp")
            .body(offer)
            .send()
            .await
            .unwrap_or_else(|error| panic!("POST {}: {error}", self.whep(camera)))
    }

    pub async fn get_json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let response = response.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {status}, no JSON ({error}): {body}"))
    }

    pub async fn cameras(&self) -> Vec<Value> {
        self.array("/api/v1/cameras").await
    }

    pub async fn sessions(&self) -> Vec<Value> {
        self.array("/api/v1/sessions").await
    }

    pub async fn array(&self, path: &str) -> Vec<Value> {
        match self.get_json(path).await {
            Value::Array(items) => items,
            other => panic!("GET {path}: no array: {other}"),
        }
    }

    /// One camera of /api/v1/cameras.
    pub async fn camera(&self, name: &str) -> Value {
        let cameras = self.cameras().await;
        cameras
            .iter()
            .find(|camera| camera["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("no camera {name:?} in {cameras:?}"))
    }

    /// Waits until the API shows the camera in this state; returns the entry.
    pub async fn wait_camera(&self, name: &str, state: &str, limit: Duration) -> Value {
        let what = format!("camera {name} is {state}");
        wait::until_value(&what, limit, || self.camera(name), |it| it["state"] == state).await
    }

    /// Waits until the API lists so many sessions; returns them.
    pub async fn wait_sessions(&self, count: usize, limit: Duration) -> Vec<Value> {
        let what = format!("{count} sessions");
        wait::until_value(&what, limit, || self.sessions(), |it| it.len() == count).await
    }

    // --- the configuration

    /// What is in config.toml.
    pub fn toml(&self) -> String {
        std::fs::read_to_string(self.dir().join("config.toml")).expect("config.toml")
    }

    /// Puts another config.toml in the place of the one that is there, as editors do.
    pub fn write_toml(&self, toml: &str) {
        self.secrets.lock().unwrap().extend(secrets::known(toml, self.dir(), &[]));
        let new = self.dir().join("config.toml.new");
        std::fs::write(&new, toml).expect("a new config.toml");
        std::fs::rename(new, self.dir().join("config.toml")).expect("in the place of the other");
    }

    /// Takes up another config.toml.
    pub async fn reload(&self, toml: &str) {
        let count = self.count_log(TAKEN_UP);
        self.write_toml(toml);
        self.signal("HUP");
        wait::until("the configuration is taken up", START_LIMIT, || async {
            (self.count_log(TAKEN_UP) > count).then_some(())
        })
        .await;
    }

    /// Has another config.toml refused.
    pub async fn refuse(&self, toml: &str) {
        let count = self.count_log(REFUSED);
        self.write_toml(toml);
        self.signal("HUP");
        wait::until("the configuration is refused", START_LIMIT, || async {
            (self.count_log(REFUSED) > count).then_some(())
        })
        .await;
    }

    // --- the process

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn rss_kb(&self) -> u64 {
        process::rss_kb(self.pid())
    }

    pub fn fds(&self) -> usize {
        process::fds(self.pid())
    }

    pub fn threads(&self) -> u64 {
        process::threads(self.pid())
    }

    pub fn cpu_time(&self) -> Duration {
        process::cpu_time(self.pid())
    }

    /// Sends a signal: `TERM`, `INT`, `HUP`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        assert!(process::signal(self.pid(), name), "camgate is gone already");
    }

    /// Waits for the process to end by itself.
    pub async fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                if let Some(recorder) = &mut self.recorder {
                    recorder.close();
                }
                return status;
            }
            assert!(Instant::now() < end, "camgate still runs after {limit:?}");
            tokio::time::sleep(wait::POLL).await;
        }
    }

    // --- the log

    /// Everything on stderr so far.
    pub fn log(&self) -> String {
        let lines = self.log.lock().unwrap();
        lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// The first logged line that contains `needle`.
    pub fn find_log(&self, needle: &str) -> Option<String> {
        let lines = self.log.lock().unwrap();
        lines.iter().find(|line| line.contains(needle)).cloned()
    }

    /// How many lines of the log contain `needle`.
    pub fn count_log(&self, needle: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(needle)).count()
    }

    /// What it printed, and answered over HTTP, that holds a secret.
    pub fn leaks(&self) -> Vec<String> {
        let said = [self.log(), self.recorder.as_ref().map(Recorder::answered).unwrap_or_default()];
        // What cookies are signed with, as it would be printed.
        let key = std::fs::read(self.dir.path().join("state/key")).unwrap_or_default();
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let secrets: Vec<_> =
            self.secrets.lock().unwrap().iter().cloned().chain((!key.is_empty()).then_some(key)).collect();
        said.iter().flat_map(|text| secrets::leaks(text, &secrets)).map(str::to_owned).collect()
    }

    /// For the test of [`leaks`](Self::leaks).
    pub fn forgive_leaks(&mut self) {
        self.secrets.lock().unwrap().clear();
    }

    /// Where HTTP really listens, for a connection that nobody stands in the middle of.
    pub fn direct_http_address(&self) -> String {
        let line = self.find_log("http listening on http://").unwrap_or_default();
        line.rsplit_once("http://").map(|(_, address)| address.trim().to_owned()).unwrap_or_default()
    }

    pub async fn wait_log(&self, needle: &str, limit: Duration) -> String {
        let what = format!("camgate logs {needle:?}");
        wait::until(&what, limit, || async { self.find_log(needle) }).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log.lock().unwrap();
            eprintln!("--- camgate ({status:?}), the last of {} log lines:", lines.len());
            for line in lines.iter().skip(lines.len().saturating_sub(LOG_TAIL)) {
                eprintln!("{line}");
            }
            eprintln!("---");
            return;
        }
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "the gateway told a secret: {leaks:#?}");
    }
}
