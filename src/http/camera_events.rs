//! `GET /api/v1/events`: the cameras, and then each that changes, as it changes, so that pages need not ask.
//!
//! ```text
//! event: cameras
//! data: {"now":"2026-11-22T20:00:00.000Z","cameras":[...]}
//!
//! event: camera
//! data: {"now":"2026-11-22T20:00:05.120Z","camera":{...}}
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Extension,
    extract::State,
    response::{Response, sse::Event},
};
use futures_util::{future::select_all, stream};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Context,
    api::CameraView,
    events::{Streams, event},
    rate::Client,
};
use crate::hub::Status;

/// Cameras that come, go, or learn their formats are seen this much later; states and viewers are seen at once.
const REFRESH: Duration = Duration::from_secs(2);
/// What changes together is told together.
const TOGETHER: Duration = Duration::from_millis(50);
/// A page that lost the gateway asks again after this.
const RETRY: Duration = Duration::from_secs(2);
/// Values that change all the time and are no news.
const VOLATILE: [&str; 4] = ["/retry_in_seconds", "/video/fps", "/video/bitrate_bps", "/video/gop_seconds"];
/// By how many milliseconds the lag of sound must change to be news.
const LAG_STEP: f64 = 50.0;

pub(super) async fn stream(
    State(context): State<Context>,
    Extension(streams): Extension<Streams>,
    Extension(client): Extension<Client>,
) -> Response {
    let watcher = Watcher { context, told: None, changes: Vec::new(), pending: VecDeque::new() };
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await;
        Some((event, watcher))
    });
    streams.open(client, events)
}

/// What one listener has been told.
struct Watcher {
    context: Context,
    /// Name and what matters of each camera.
    told: Option<Vec<(Value, Value)>>,
    changes: Vec<(watch::Receiver<Status>, watch::Receiver<usize>)>,
    pending: VecDeque<Event>,
}

impl Watcher {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            if self.told.is_some() {
                self.wait().await;
            }
            self.look();
        }
    }

    async fn wait(&mut self) {
        if self.changes.is_empty() {
            return sleep(REFRESH).await;
        }
        let changes = self.changes.iter_mut().map(|(status, viewers)| {
            Box::pin(async {
                // A sender that is gone belongs to a camera that is: the next refresh sees that.
                let gone = tokio::select! {
                    changed = status.changed() => changed.is_err(),
                    changed = viewers.changed() => changed.is_err(),
                };
                if gone {
                    std::future::pending::<()>().await;
                }
            })
        });
        if timeout(REFRESH, select_all(changes)).await.is_ok() {
            sleep(TOGETHER).await;
        }
    }

    fn look(&mut self) {
        let cameras = self.context.hub.cameras();
        // Before the look, so that what changes meanwhile is seen by the next.
        self.changes = cameras.iter().map(|camera| (camera.status_changes(), camera.viewers())).collect();
        let now = Instant::now();
        let views: Vec<Value> = cameras
            .iter()
            .map(|camera| serde_json::to_value(CameraView::of(camera, now)).unwrap_or_default())
            .collect();
        let seen: Vec<_> = views.iter().map(|view| (view["name"].clone(), essence(view))).collect();
        let clock = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let names = |cameras: &[(Value, Value)]| cameras.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match self.told.replace(seen.clone()).filter(|told| names(told) == names(&seen)) {
            None => {
                let all = json!({ "now": clock, "cameras": views });
                self.pending.push_back(event("cameras", &all).retry(RETRY));
            }
            Some(told) => {
                let changed = told.iter().zip(&seen).zip(views).filter(|((old, new), _)| old != new);
                let events = changed.map(|(_, view)| event("camera", &json!({ "now": clock, "camera": view })));
                self.pending.extend(events);
            }
        }
    }
}

/// A camera as JSON without what is no news. That the frame rate has become known is.
fn essence(view: &Value) -> Value {
    let mut essence = view.clone();
    let known = view["video"]["fps"].as_f64().is_some_and(|fps| fps > 0.0);
    for place in VOLATILE {
        if let Some(value) = essence.pointer_mut(place) {
            *value = Value::Null;
        }
    }
    essence["fps_is_known"] = known.into();
    if let Some(lag) = essence.pointer_mut("/audio/lag_ms") {
        *lag = lag.as_f64().map(|lag| (lag / LAG_STEP).round()).into();
    }
    essence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_no_news_and_states_are() {
        let live = json!({ "name": "front", "state": "live", "retry_in_seconds": 3.0, "video": { "fps": 24.9 } });
        let mut other = live.clone();
        other["video"]["fps"] = 25.1.into();
        other["retry_in_seconds"] = Value::Null;
        assert_eq!(essence(&live), essence(&other));
        other["video"]["fps"] = 0.0.into();
        assert_ne!(essence(&live), essence(&other), "the rate is not known yet");
        let mut away = live.clone();
        away["state"] = "backing_off".into();
        assert_ne!(essence(&live), essence(&away));
    }
}
