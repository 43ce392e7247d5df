//! The gateway under test: a process whose log is a file, so that hours of it can be searched, and which is started again if it
//! ends, so that the rest of the hours is not lost.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::process;

/// For one question over HTTP.
const ASK: Duration = Duration::from_secs(10);

pub struct Gateway {
    child: Child,
    binary: PathBuf,
    directory: PathBuf,
    pub http_port: u16,
    client: reqwest::Client,
    /// How far its log has been searched.
    searched: u64,
    pub panics: u64,
    pub warnings: u64,
    pub errors: u64,
    pub restarts: u64,
}

impl Gateway {
    pub fn start(binary: &Path, directory: &Path, toml: &str, http_port: u16) -> Self {
        fs::write(directory.join("config.toml"), toml).expect("config.toml");
        let _ = fs::remove_file(directory.join("gateway.log"));
        let client = reqwest::Client::builder().no_proxy().timeout(ASK).pool_max_idle_per_host(1);
        Self {
            child: spawn(binary, directory),
            binary: binary.to_owned(),
            directory: directory.to_owned(),
            http_port,
            client: client.build().expect("an HTTP client"),
            searched: 0,
            panics: 0,
            warnings: 0,
            errors: 0,
            restarts: 0,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts another config.toml in the place of the one that is there.
    pub fn write_toml(&self, toml: &str) {
        let new = self.directory.join("config.toml.new");
        fs::write(&new, toml).expect("a new config.toml");
        fs::rename(new, self.directory.join("config.toml")).expect("in the place of the other");
    }

    pub fn hang_up(&self) {
        process::signal(self.pid(), "HUP");
    }

    pub async fn text(&self, path: &str) -> Option<String> {
        self.client.get(format!("{}{path}", self.url())).send().await.ok()?.text().await.ok()
    }

    pub async fn metrics(&self) -> Option<Metrics> {
        Some(Metrics::of(&self.text("/metrics").await?))
    }

    /// The state of each camera.
    pub async fn cameras(&self) -> BTreeMap<String, String> {
        let text = self.text("/api/v1/cameras").await.unwrap_or_default();
        let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        list.iter().map(|camera| (word(&camera["name"]), word(&camera["state"]))).collect()
    }

    /// Counts what the log says that is new, and starts the process again if it has ended.
    pub fn look_after(&mut self) {
        if let Ok(file) = File::open(self.directory.join("gateway.log")) {
            let mut log = BufReader::new(file);
            let _ = log.seek(SeekFrom::Start(self.searched));
            let mut line = Vec::new();
            while log.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) && line.ends_with(b"\n") {
                self.searched += line.len() as u64;
                let text = String::from_utf8_lossy(&line);
                if text.contains("panicked") {
                    self.panics += 1;
                    eprintln!("the gateway says: {}", text.trim_end());
                }
                self.warnings += u64::from(text.contains(" WARN "));
                self.errors += u64::from(text.contains("ERROR "));
                line.clear();
            }
        }
        if let Ok(Some(status)) = self.child.try_wait() {
            eprintln!("the gateway ended with {status}, and is started again");
            self.restarts += 1;
            self.child = spawn(&self.binary, &self.directory);
        }
    }

    /// Asks it to end, and tells how that went.
    pub async fn end(&mut self, limit: Duration) -> String {
        process::signal(self.pid(), "TERM");
        let asked = Instant::now();
        while asked.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!("{status} after {:.1} s", asked.elapsed().as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        format!("still there after {} s", limit.as_secs())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, directory: &Path) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(directory.join("gateway.log")).expect("its log");
    Command::new(binary)
        .arg("run")
        .arg("--config")
        .arg(directory.join("config.toml"))
        .env("NO_COLOR", "1")
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("another handle"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", binary.display()))
}

/// What /metrics says.
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .filter_map(|line| {
                    let (name, value) = line.rsplit_once(' ')?;
                    Some((name.to_owned(), value.parse().ok()?))
                })
                .collect(),
        )
    }

    fn values(&self, name: &str, label: &str) -> impl Iterator<Item = f64> {
        let series = self.0.iter().filter(move |(series, _)| {
            series
                .strip_prefix(name)
                .is_some_and(|rest| (rest.is_empty() || rest.starts_with('{')) && rest.contains(label))
        });
        series.map(|(_, value)| *value)
    }

    /// All series of this name whose labels contain `label`, together.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        self.values(name, label).fold(0.0, |sum, value| sum + value)
    }

    pub fn max(&self, name: &str) -> f64 {
        self.values(name, "").fold(0.0, f64::max)
    }
}
