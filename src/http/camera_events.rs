//! `GET /api/v1/events`: the cameras, and then each that changes, as it changes, so that pages need not ask.
//!
//! ```text
//! event: cameras
//! data: {"now":"2026-11-22T20:00:00.000Z","cameras":[...]}
//!
//! event: camera
//! data: {"now":"2026-11-22T20:00:05.120Z","camera":{...}}
//! ```
//!
//! One task looks at the cameras while anybody listens, and puts each change into words once for all of them.

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Extension,
    extract::State,
    response::{Response, sse::Event},
};
use futures_util::{
    future::{select, select_all},
    stream,
};
use serde_json::{Value, json};
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
        watch,
    },
    time::{sleep, timeout},
};

use super::{
    Context,
    api::CameraView,
    auth::Caller,
    events::{Streams, event},
    rate::Client,
};
use crate::hub::{Camera, Hub, Status, Talking};

/// Cameras that learn their formats are seen this much later; those that come and go, states and viewers are seen at once.
const REFRESH: Duration = Duration::from_secs(2);
/// What changes together is told together.
const TOGETHER: Duration = Duration::from_millis(50);
/// A page that lost the gateway asks again after this.
const RETRY: Duration = Duration::from_secs(2);
/// Changes that a listener may be behind. One that is further behind is told everything again.
const BACKLOG: usize = 256;
/// Values that change all the time and are no news.
const VOLATILE: [&str; 4] = ["/retry_in_seconds", "/video/fps", "/video/bitrate_bps", "/video/gop_seconds"];
/// By how many milliseconds the lag of sound must change to be news.
const LAG_STEP: f64 = 50.0;

pub(super) async fn stream(
    State(context): State<Context>,
    Extension(streams): Extension<Streams>,
    Extension(news): Extension<Arc<News>>,
    Extension(client): Extension<Client>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let listener = Listener { hub: context.hub, caller: caller.clone(), changes: news.subscribe(), is_new: true };
    let events = stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((event, listener))
    });
    streams.open(client, caller, None, events)
}

/// What happened.
#[derive(Clone)]
enum Change {
    /// There are other cameras.
    Cameras,
    /// One camera is otherwise than before.
    Camera(String, Event),
}

/// Tells all listeners.
pub(super) struct News {
    hub: Arc<Hub>,
    changes: broadcast::Sender<Change>,
    /// Name and what matters of each camera, as told last; nothing while nobody listens.
    told: Mutex<Option<Vec<(Value, Value)>>>,
    wanted: Notify,
}

impl News {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, changes: broadcast::Sender::new(BACKLOG), told: Mutex::default(), wanted: Notify::new() }
    }

    /// Looks at the cameras for as long as it is polled.
    pub(super) async fn run(&self) {
        let mut others = self.hub.changes();
        loop {
            if self.rests() {
                self.wanted.notified().await;
            }
            others.mark_unchanged();
            let cameras = self.hub.cameras();
            // Before the look, so that what changes meanwhile is seen by the next.
            let changes = cameras.iter();
            let changes =
                changes.map(|camera| (camera.status_changes(), camera.viewers(), camera.talk().state())).collect();
            self.look();
            // The sender lives as long as the hub does.
            let _ = timeout(REFRESH, select(pin!(others.changed()), pin!(wait(changes)))).await;
        }
    }

    /// Whether nobody listens; what was told last is forgotten then.
    fn rests(&self) -> bool {
        let mut told = self.lock();
        let rests = self.changes.receiver_count() == 0;
        if rests {
            *told = None;
        }
        rests
    }

    /// What changes from now on.
    fn subscribe(&self) -> broadcast::Receiver<Change> {
        let mut told = self.lock();
        let changes = self.changes.subscribe();
        // What this listener is going to see at first, so that only what comes later is news.
        told.get_or_insert_with(|| essences(&views(&self.hub.cameras())));
        self.wanted.notify_one();
        changes
    }

    fn look(&self) {
        let mut told = self.lock();
        let views = views(&self.hub.cameras());
        let seen = essences(&views);
        let names = |cameras: &[(Value, Value)]| cameras.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match told.replace(seen.clone()) {
            None => {}
            // Nobody listens any more if it cannot be sent.
            Some(told) if names(&told) != names(&seen) => drop(self.changes.send(Change::Cameras)),
            Some(told) => {
                let changed = told.iter().zip(&seen).zip(views).filter(|((old, new), _)| old != new);
                for (_, view) in changed {
                    let name = view["name"].as_str().unwrap_or_default().to_owned();
                    let event = event("camera", &json!({ "now": clock(), "camera": view }));
                    let _ = self.changes.send(Change::Camera(name, event));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<(Value, Value)>>> {
        self.told.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Until a camera changes.
async fn wait(mut changes: Vec<(watch::Receiver<Status>, watch::Receiver<usize>, watch::Receiver<Talking>)>) {
    if changes.is_empty() {
        return pending().await;
    }
    let changes = changes.iter_mut().map(|(status, viewers, talking)| {
        Box::pin(async {
            // A sender that is gone belongs to a camera that is: the next look sees that.
            let gone = tokio::select! {
                changed = status.changed() => changed.is_err(),
                changed = viewers.changed() => changed.is_err(),
                changed = talking.changed() => changed.is_err(),
            };
            if gone {
                pending::<()>().await;
            }
        })
    });
    select_all(changes).await;
    sleep(TOGETHER).await;
}

/// Somebody who is told.
struct Listener {
    hub: Arc<Hub>,
    caller: Caller,
    changes: broadcast::Receiver<Change>,
    is_new: bool,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_new) {
            return Some(self.everything());
        }
        loop {
            match self.changes.recv().await {
                Ok(Change::Camera(name, event)) if self.caller.sees(&name) => return Some(event),
                Ok(Change::Camera(..)) => {}
                Ok(Change::Cameras) | Err(RecvError::Lagged(_)) => return Some(self.everything()),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn everything(&self) -> Event {
        event("cameras", &json!({ "now": clock(), "cameras": views(&self.caller.cameras(&self.hub)) })).retry(RETRY)
    }
}

fn views(cameras: &[Arc<Camera>]) -> Vec<Value> {
    let now = Instant::now();
    cameras.iter().map(|camera| serde_json::to_value(CameraView::of(camera, now)).unwrap_or_default()).collect()
}

fn essences(views: &[Value]) -> Vec<(Value, Value)> {
    views.iter().map(|view| (view["name"].clone(), essence(view))).collect()
}

fn clock() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
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
    use crate::{
        hub::{CameraState, GopLimits},
        media::CameraName,
    };

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

    #[test]
    fn a_change_is_put_into_words_once_for_everybody() {
        let hub = Arc::new(Hub::default());
        let limits = GopLimits { max_bytes: 0, max_age: Duration::ZERO };
        let camera = |name: &str| Camera::new(name.parse::<CameraName>().expect("a name"), limits);
        let front = camera("front");
        hub.insert(front.clone());
        let news = News::new(hub.clone());
        let mut listeners = [news.subscribe(), news.subscribe()];
        news.look();
        assert!(listeners.iter_mut().all(|listener| listener.try_recv().is_err()), "nothing is new yet");
        front.set_state(CameraState::Connecting);
        news.look();
        news.look();
        let told = listeners.each_mut().map(|listener| match listener.try_recv() {
            Ok(Change::Camera(_, event)) => format!("{event:?}"),
            _ => panic!("a camera has changed"),
        });
        assert!(told[0] == told[1] && told[0].contains("connecting"), "{told:?}");
        assert!(listeners.iter_mut().all(|listener| listener.try_recv().is_err()), "once");
        hub.insert(camera("back"));
        news.look();
        assert!(listeners.iter_mut().all(|listener| matches!(listener.try_recv(), Ok(Change::Cameras))));
    }
}
