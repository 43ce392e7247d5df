//! Who was not let in, in the log: once in a while for each camera and cause, however often somebody asks.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    http::{auth::Caller, problem::Problem, rate::Client},
    media::CameraName,
    peer::Role,
};

/// Between two lines about the same.
const PAUSE: Duration = Duration::from_secs(60);
/// Pairs of a camera and a cause that are remembered: more than a gateway has cameras. What does not fit is not told.
const MAX_KNOWN: usize = 1_024;

/// When what was told last.
static TOLD: Mutex<Option<HashMap<(String, String), Instant>>> = Mutex::new(None);

/// Tells of a viewer, or a publisher, that was refused.
pub(super) fn tell(role: Role, camera: &str, problem: &Problem, caller: &Caller, client: Client) {
    // What is wrong with a camera its source has told. Another name may hold anything.
    if problem.is_about_source() || camera.parse::<CameraName>().is_err() || !is_news(camera, problem.code()) {
        return;
    }
    // Parts of it may be the viewer's.
    let reason: String = problem.detail().chars().filter(|c| !c.is_control()).collect();
    let (who, address, code) = (caller.name(), client.0.to_canonical(), problem.code());
    info!(%camera, code, %reason, %who, %address, "{} refused", role.name());
}

fn is_news(camera: &str, code: &str) -> bool {
    let now = Instant::now();
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let told = told.get_or_insert_default();
    told.retain(|_, at| now.saturating_duration_since(*at) < PAUSE);
    if told.len() >= MAX_KNOWN {
        return false;
    }
    // Anybody can make up names: they are one camera here, or who made up many would keep all else out of the log.
    let camera = if code == "no-such-camera" { "" } else { camera };
    let key = (camera.to_owned(), code.to_owned());
    let is_news = !told.contains_key(&key);
    told.entry(key).or_insert(now);
    is_news
}
