//! A part of the bench in a process of its own: this program again, with other arguments. It says what happens in lines of
//! JSON; one that ends is noted and started again.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;

/// What a part says, which its watcher has not taken yet.
type Lines = Arc<Mutex<Vec<String>>>;

pub struct Part {
    arguments: Vec<String>,
    child: Child,
    lines: Lines,
    /// How often it had to be started again.
    pub restarts: u64,
}

impl Part {
    pub fn start(arguments: Vec<String>) -> Self {
        let lines = Lines::default();
        let child = spawn(&arguments, 0, &lines);
        Self { arguments, child, lines, restarts: 0 }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said since the last look. Starts it again if it has ended.
    pub fn news<T: DeserializeOwned>(&mut self) -> Vec<T> {
        if let Ok(Some(status)) = self.child.try_wait() {
            eprintln!("{} ended with {status}, and is started again", self.arguments[0]);
            self.restarts += 1;
            self.child = spawn(&self.arguments, self.restarts, &self.lines);
        }
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn spawn(arguments: &[String], restarts: u64, lines: &Lines) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
        .args(arguments)
        .env("SOAK_RESTARTS", restarts.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts again");
    let (output, kept) = (BufReader::new(child.stdout.take().expect("piped")), lines.clone());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    child
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often this part has been started before; in the part itself.
pub fn restarts() -> u64 {
    std::env::var("SOAK_RESTARTS").ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Ends this part when the bench is gone; in the part itself.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
