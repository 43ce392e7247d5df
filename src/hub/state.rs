//! What the world may know of a camera's connection.

use std::time::{Instant, SystemTime};

use crate::media::Reason;

/// A camera's connection as its supervisor publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraState {
    /// On demand, and nobody is watching.
    Idle,
    /// Reaching out to the camera; no media yet.
    Connecting,
    /// Media flows.
    Live,
    /// It failed and will be tried again.
    BackingOff {
        /// What went wrong.
        reason: Reason,
        /// When it is tried again. In the past: as soon as somebody is there.
        retry_at: Instant,
    },
    /// Removed, or the program is ending.
    Stopped,
}

impl CameraState {
    /// The names of all states.
    pub const NAMES: [&str; 5] = ["idle", "connecting", "live", "backing_off", "stopped"];

    /// The state's name in the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::BackingOff { .. } => "backing_off",
            Self::Stopped => "stopped",
        }
    }
}

/// A state and since when it has been so.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state.
    pub state: CameraState,
    /// When it began. Trying again after a failure does not restart it: people ask since when the camera is away.
    pub since: SystemTime,
    /// Why the camera was last not live, kept while it is being tried again.
    pub reason: Option<Reason>,
}
