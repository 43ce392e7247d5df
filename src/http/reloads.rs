//! Whether the configuration on disk is the one that runs, for all who ask.

use std::{
    sync::{Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use humantime::format_rfc3339_millis;
use serde_json::{Value, json};

use super::{Context, metrics::Page};

/// What `/healthz` says.
const GOOD: &str = "ok";
/// The same, when a change was refused. What is wrong is not for strangers.
const WAITING: &str = "ok, but part of the last change of the configuration waits for a restart";
const REFUSED: &str = "ok, but the last change of the configuration was refused: the one before it goes on";

/// What became of the configuration when it was read last.
#[derive(Debug)]
pub struct Reloads(Mutex<Read>);

#[derive(Debug)]
struct Read {
    taken: SystemTime,
    faults: Vec<String>,
    waiting: Vec<&'static str>,
}

/// It was taken now.
impl Default for Reloads {
    fn default() -> Self {
        Self(Mutex::new(Read { taken: SystemTime::now(), faults: Vec::new(), waiting: Vec::new() }))
    }
}

impl Reloads {
    /// What is on disk runs, but for the keys that are `waiting` for a restart.
    pub fn succeeded(&self, waiting: Vec<&'static str>) {
        *self.lock() = Read { taken: SystemTime::now(), faults: Vec::new(), waiting };
    }

    /// What is on disk has these faults, one line each, and what was there before goes on.
    pub fn refused(&self, faults: Vec<String>) {
        self.lock().faults = faults;
    }

    /// For `/metrics`.
    pub(super) fn tell(&self, page: &mut Page) {
        let read = self.lock();
        let help = "Whether the configuration was good when it was read last";
        page.gauge("config_last_reload_successful", help, f64::from(u8::from(read.faults.is_empty())));
        let help = "When the configuration that runs was read, since 1970";
        let taken = read.taken.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        page.gauge("config_last_reload_success_timestamp_seconds", help, taken);
    }

    /// For whoever looks after the process.
    pub(super) fn health(&self) -> &'static str {
        let read = self.lock();
        match (read.faults.is_empty(), read.waiting.is_empty()) {
            (true, true) => GOOD,
            (true, false) => WAITING,
            (false, _) => REFUSED,
        }
    }

    fn view(&self) -> Value {
        let read = self.lock();
        json!({
            "is_current": read.faults.is_empty() && read.waiting.is_empty(),
            "since": format_rfc3339_millis(read.taken).to_string(),
            "faults": read.faults,
            "needs_restart": read.waiting,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// `GET /api/v1/configuration`: whether what is on disk runs, since when what runs does, what is wrong with what is on
/// disk, in the words of `camgate check`, and which keys wait for a restart.
pub(super) async fn show(State(context): State<Context>) -> Json<Value> {
    Json(context.reloads.view())
}
