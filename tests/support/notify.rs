//! The ear of a service manager: what a program tells it by sd_notify(3).

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait;

/// A socket for `NOTIFY_SOCKET`, and every assignment that has come by it, such as `READY=1`.
pub struct Notified {
    _dir: tempfile::TempDir,
    path: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Notified {
    pub fn listen() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ears = heard.clone();
        std::thread::spawn(move || {
            let mut message = [0; 4_096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                ears.lock().unwrap().extend(text.lines().map(str::to_owned));
            }
        });
        Self { _dir: dir, path, heard }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub fn count(&self, assignment: &str) -> usize {
        self.all().iter().filter(|heard| *heard == assignment).count()
    }

    /// The newest `STATUS=`.
    pub fn status(&self) -> String {
        let all = self.all();
        all.iter().rev().find_map(|heard| heard.strip_prefix("STATUS=")).unwrap_or_default().to_owned()
    }

    pub async fn wait_status(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        wait::until_value("STATUS", limit, || async { self.status() }, |status| wanted(status)).await
    }

    pub async fn wait_count(&self, assignment: &str, more_than: usize, limit: Duration) {
        let what = format!("{assignment} more than {more_than} times");
        wait::until(&what, limit, || async { (self.count(assignment) > more_than).then_some(()) }).await;
    }
}
