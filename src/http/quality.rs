//! How a viewer fares: a page tells how late its picture is, and hears what the gateway knows of the way to it.
//!
//! Who knows a session's address may ask, as for everything about a session. What a page says counts once a second at most
//! and within bounds: it goes into a histogram that anybody may scrape.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    routing::post,
};
use prometheus::{HistogramOpts, HistogramVec, core::Collector as _, proto::Metric};
use serde::{Deserialize, Serialize};

use super::{
    Context,
    auth::Caller,
    body,
    metrics::Page,
    problem::Problem,
    waiting::why,
    whep::{absent, known},
};
use crate::{hub::Camera, peer::Role};

const NAME: &str = "camgate_camera_to_screen_seconds";
/// Upper bounds, in seconds: from what one machine does to what nobody calls live.
const BUCKETS: [f64; 11] = [0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0];
const JSON: &str = "application/json";
/// No picture is later; a clock is wrong that says so.
const LATEST: Duration = Duration::from_secs(60);

/// How late pictures were on viewers' screens, by camera.
#[derive(Clone)]
pub(super) struct Delays(HistogramVec);

impl Delays {
    pub(super) fn new() -> Self {
        let help = "From a picture's capture to a viewer's screen, as pages measure it";
        let options = HistogramOpts::new(NAME, help).buckets(BUCKETS.to_vec());
        // It fails for names that Prometheus does not allow and for bounds that do not rise; a test has seen these.
        Self(HistogramVec::new(options, &["camera"]).expect("a name and bounds that are good"))
    }

    fn observe(&self, camera: &str, delay: Duration) {
        self.0.with_label_values(&[camera]).observe(delay.as_secs_f64());
    }

    /// Those of `cameras`.
    pub(super) fn tell(&self, cameras: &[Arc<Camera>], page: &mut Page) {
        for mut family in self.0.collect() {
            let is_theirs = |metric: &Metric| {
                let is_of =
                    |camera: &Camera| metric.get_label().iter().any(|label| label.value() == camera.name().as_str());
                cameras.iter().any(|camera| is_of(camera))
            };
            family.mut_metric().retain(is_theirs);
            page.collected(family);
        }
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
    /// Why there is no picture, or not all of it.
    reason: Option<String>,
    code: Option<&'static str>,
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
    let status = known(&context, &caller, &camera, &session, Role::Viewer)
        .ok_or_else(|| absent(&context, &caller, &camera, &session))?;
    let text = body::read(request, JSON).await?;
    let said: Said = serde_json::from_str(&text).map_err(|reason| Problem::bad_quality(&reason.to_string()))?;
    if let Some(delay) = said.camera_to_screen_ms {
        let delay = Duration::try_from_secs_f64(delay / 1e3).ok().filter(|delay| *delay <= LATEST);
        let delay = delay.ok_or_else(|| Problem::bad_quality("camera_to_screen_ms is not within 0 and 60000"))?;
        if status.set_screen_delay(delay, Instant::now()) {
            delays.observe(&camera, delay);
        }
    }
    let path = status.path();
    let reason = context.hub.get(status.camera.as_str()).and_then(|camera| why(&status, &camera, Instant::now()));
    let heard = Heard {
        estimate_bps: path.estimate_bps.map(f64::round),
        queueing_ms: (path.queueing.as_secs_f64() * 1e3).round(),
        leaves_out: path.leaves_out,
        code: reason.as_ref().map(|reason| reason.code),
        reason: reason.map(|reason| reason.sentence),
        now_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3,
    };
    Ok(Json(heard))
}
