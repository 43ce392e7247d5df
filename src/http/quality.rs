//! How a viewer fares: a page tells how late its picture is, and hears what the gateway knows of the way to it.
//!
//! Who knows a session's address may ask, as for everything about a session. What a page says counts once a second at most
//! and within bounds: it goes into a histogram that anybody may scrape.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    routing::post,
};
use prometheus_client::{
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde::{Deserialize, Serialize};

use super::{
    Context,
    auth::Caller,
    body,
    metrics::OfCamera,
    problem::Problem,
    whep::{absent, known},
};
use crate::hub::Camera;

/// Upper bounds, in seconds: from what one machine does to what nobody calls live.
const BUCKETS: [f64; 11] = [0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];
const JSON: &str = "application/json";
/// No picture is later; a clock is wrong that says so.
const LATEST: Duration = Duration::from_secs(60);

/// How late pictures were on viewers' screens, by camera.
#[derive(Clone, Default)]
pub(super) struct Delays(Arc<Mutex<BTreeMap<String, Histogram>>>);

impl Delays {
    fn observe(&self, camera: String, delay: Duration) {
        let mut known = self.0.lock().unwrap_or_else(|e| e.into_inner());
        known.entry(camera).or_insert_with(|| Histogram::new(BUCKETS)).observe(delay.as_secs_f64());
    }

    /// Those of `cameras`.
    pub(super) fn register(&self, cameras: &[Arc<Camera>], registry: &mut Registry) {
        let known = self.0.lock().unwrap_or_else(|e| e.into_inner());
        let given = Arc::new(Mutex::new(None));
        let taken = given.clone();
        let family = Family::<OfCamera, Histogram, _>::new_with_constructor(move || {
            let given = taken.lock().unwrap_or_else(|e| e.into_inner()).take();
            given.unwrap_or_else(|| Histogram::new(BUCKETS))
        });
        for camera in cameras {
            if let Some(histogram) = known.get(camera.name().as_str()) {
                *given.lock().unwrap_or_else(|e| e.into_inner()) = Some(histogram.clone());
                let _ = family.get_or_create(&OfCamera { camera: camera.name().to_string() });
            }
        }
        let help = "From a picture's capture to a viewer's screen, as pages measure it";
        registry.register_with_unit("camera_to_screen", help, Unit::Seconds, family);
    }
}

/// What a page says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// From capture to screen of the newest picture, in milliseconds, by the gateway's clock.
    camera_to_screen_ms: Option<f64>,
}

/// What it hears.
#[derive(Serialize)]
pub(super) struct Heard {
    /// What the path carries, in bits per second, once packets have queued on it.
    estimate_bps: Option<f64>,
    queueing_ms: f64,
    /// Whether pictures are left out because the path does not carry them all.
    leaves_out: bool,
    /// The gateway's clock, since 1970.
    now_ms: f64,
}

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/whep/{camera}/{session}/quality", post(exchange))
}

async fn exchange(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(delays): Extension<Delays>,
    Path((camera, session)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Heard>, Problem> {
    let status =
        known(&context, &caller, &camera, &session).ok_or_else(|| absent(&context, &caller, &camera, &session))?;
    let text = body::read(request, JSON).await?;
    let said: Said = serde_json::from_str(&text).map_err(|reason| Problem::bad_quality(&reason.to_string()))?;
    if let Some(delay) = said.camera_to_screen_ms {
        let delay = Duration::try_from_secs_f64(delay / 1e3).ok().filter(|delay| *delay <= LATEST);
        let delay = delay.ok_or_else(|| Problem::bad_quality("camera_to_screen_ms is not within 0 and 60000"))?;
        if status.set_screen_delay(delay, Instant::now()) {
            delays.observe(camera, delay);
        }
    }
    let path = status.path();
    let heard = Heard {
        estimate_bps: path.estimate_bps.map(f64::round),
        queueing_ms: (path.queueing.as_secs_f64() * 1e3).round(),
        leaves_out: path.leaves_out,
        now_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3,
    };
    Ok(Json(heard))
}
