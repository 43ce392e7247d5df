//! chromedriver and the Chromium it starts, as processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::support::process;

/// For chromedriver to say its port.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How often it may fail to.
const TRIES: usize = 3;

/// A chromedriver on a port of its own. Dropping it ends it and every browser it started.
pub struct Chromedriver {
    child: Child,
    port: u16,
}

impl Chromedriver {
    /// `temporary` is where chromedriver and Chromium put what they would leave in /tmp.
    pub fn start(temporary: &Path) -> Self {
        // It may find its port taken by another that starts in the same moment.
        let mut errors = Vec::new();
        for _ in 0..TRIES {
            match Self::launch(temporary) {
                Ok(started) => return started,
                Err(error) => errors.push(error),
            }
        }
        panic!("chromedriver does not start: {errors:?}");
    }

    fn launch(temporary: &Path) -> Result<Self, String> {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver (Debian: chromium-driver): {error}"));
        let output = Arc::new(Mutex::new(Vec::new()));
        let (lines, stdout) = (output.clone(), child.stdout.take().expect("piped"));
        let (found, port) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("started successfully on port ") {
                    let _ = found.send(rest.trim_end_matches('.').parse());
                }
                lines.lock().unwrap().push(line);
            }
        });
        let port = match port.recv_timeout(START_LIMIT) {
            Ok(Ok(port)) => port,
            other => {
                process::kill_tree(child.id());
                let _ = child.wait();
                return Err(format!("chromedriver says no port ({other:?}): {:?}", output.lock().unwrap()));
            }
        };
        Ok(Self { child, port })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        // Chromium's processes are in groups and sessions of their own, but all descend from here.
        process::kill_tree(self.child.id());
        let _ = self.child.wait();
    }
}
