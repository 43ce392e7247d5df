//! The extension for server-sent events (WHEP core extensions, editor's copy of 29 April 2026): a viewer is told when its
//! camera goes and comes back, how many watch, and when it had better start over.
//!
//! POST to the session's `events` makes a stream of the wanted events, GET listens to it, DELETE ends it. A GET of `events`
//! itself listens to all of them, which is what players in the field do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Extension,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response, sse},
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::ACCEPT_POST,
    session::{absent, known},
};
use crate::{
    http::{Context, auth::Caller, body, cors, events, problem::Problem, rate::Client, site::Site},
    hub::{CameraState, Status},
    peer::{Ending, Role, SessionId, SessionStatus},
    places::NoPlace,
};

/// Relation type of the `Link` that advertises it.
pub(super) const RELATION: &str = "urn:ietf:params:whep:ext:core:server-sent-events";
/// Content type of the list of wanted events.
const JSON: &str = "application/json";
/// Streams of one session. A player needs one.
const MAX_PER_SESSION: usize = 4;
/// Streams of all sessions that exist, listened to or not.
const MAX_STREAMS: usize = 4_096;
/// Between two counts of viewers.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Active,
    Inactive,
    Reconnect,
    ViewerCount,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Reconnect, Self::ViewerCount];

    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Reconnect => "reconnect",
            Self::ViewerCount => "viewercount",
        }
    }
}

/// The `Link` of a session whose events are at `address`.
pub(super) fn link(address: &str) -> Option<HeaderValue> {
    let names = Kind::ALL.map(Kind::name).join(",");
    HeaderValue::from_str(&format!("<{address}>; rel=\"{RELATION}\"; events=\"{names}\"")).ok()
}

/// Streams that were asked for.
#[derive(Clone, Default)]
pub(in crate::http) struct Registry(Arc<Mutex<HashMap<u128, Entry>>>);

struct Entry {
    session: SessionId,
    wanted: Vec<Kind>,
    /// Whether the camera was live when the listener was told last.
    told: Arc<Mutex<Option<bool>>>,
    ended: CancellationToken,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Entry>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A new stream's name; `None` when there are too many.
    fn add(&self, session: SessionId, wanted: Vec<Kind>, exists: impl Fn(SessionId) -> bool) -> Option<u128> {
        let mut streams = self.lock();
        streams.retain(|_, entry| exists(entry.session));
        let of_session = streams.values().filter(|entry| entry.session == session).count();
        if of_session >= MAX_PER_SESSION || streams.len() >= MAX_STREAMS {
            return None;
        }
        let id = rand::random();
        let entry = Entry { session, wanted, told: Arc::default(), ended: CancellationToken::new() };
        streams.insert(id, entry);
        Some(id)
    }
}

/// `POST /whep/{camera}/{session}/events`: 201 with the stream's `Location`.
pub(super) async fn post(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(registry): Extension<Registry>,
    Extension(site): Extension<Site>,
    Path((name, session)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let status = known(&context, &caller, &name, &session, Role::Viewer)
        .ok_or_else(|| absent(&context, &caller, &name, &session))?;
    let typed = request.headers().contains_key(header::CONTENT_TYPE);
    let text = if typed { body::read(request, JSON).await? } else { body::collect(request).await? };
    let wanted = wanted(&text).map_err(|reason| Problem::bad_events(&reason))?;
    let exists = |id| context.peers.session(id).is_some();
    let id = registry.add(status.id, wanted, exists).ok_or_else(full)?;
    let location = caller.address(site.path(&format!("/whep/{name}/{session}/events/{id:032x}")));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

fn full() -> Problem {
    Problem::no_place("event streams of one session", NoPlace::Full(MAX_PER_SESSION))
}

/// The events of a JSON list; all of them without a list.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
fn wanted(text: &str) -> Result<Vec<Kind>, String> {
    if text.trim().is_empty() {
        return Ok(Kind::ALL.to_vec());
    }
    let names: Vec<String> = serde_json::from_str(text).map_err(|_| "it is not a JSON list of names".to_owned())?;
    let kind = |name: &String| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            format!("{shown:?} is not one of {}", Kind::ALL.map(Kind::name).join(", "))
        })
    };
    names.iter().map(kind).collect()
}

/// `GET /whep/{camera}/{session}/events`: all of them.
pub(super) async fn listen_to_all(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(streams): Extension<events::Streams>,
    Extension(client): Extension<Client>,
    Path((name, session)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let listener = Listener::new(&context, &caller, &name, &session, Kind::ALL.to_vec(), Arc::default());
    let listener = listener.ok_or_else(|| absent(&context, &caller, &name, &session))?;
    Ok(streams.open(client, caller, Some(name), listener.into_stream()))
}

/// `GET /whep/{camera}/{session}/events/{stream}`.
pub(super) async fn listen(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(registry): Extension<Registry>,
    Extension(streams): Extension<events::Streams>,
    Extension(client): Extension<Client>,
    Path((name, session, stream)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let (wanted, told, ended) = {
        let entries = registry.lock();
        let id = u128::from_str_radix(&stream, 16).ok();
        let entry = id.and_then(|id| entries.get(&id)).filter(|entry| entry.session.to_string() == session);
        let entry = entry.ok_or_else(Problem::unknown_stream)?;
        (entry.wanted.clone(), entry.told.clone(), entry.ended.clone())
    };
    let listener =
        Listener::new(&context, &caller, &name, &session, wanted, told).ok_or_else(Problem::unknown_stream)?;
    Ok(streams.open(client, caller, Some(name), listener.into_stream().take_until(ended.cancelled_owned())))
}

/// `DELETE /whep/{camera}/{session}/events/{stream}`: 200; what has not been delivered is dropped.
pub(super) async fn delete(
    Extension(caller): Extension<Caller>,
    Extension(registry): Extension<Registry>,
    Path((_, session, stream)): Path<(String, String, String)>,
) -> Result<StatusCode, Problem> {
    let mut entries = registry.lock();
    let id = u128::from_str_radix(&stream, 16).ok();
    let id = id.filter(|id| {
        entries.get(id).is_some_and(|entry| entry.session.to_string() == session && caller.owns(entry.session))
    });
    let entry = id.and_then(|id| entries.remove(&id)).ok_or_else(Problem::unknown_stream)?;
    entry.ended.cancel();
    Ok(StatusCode::OK)
}

pub(super) async fn options() -> impl IntoResponse {
    (StatusCode::OK, cors::PREFLIGHT, [(ACCEPT_POST, JSON)])
}

/// Somebody who is told.
struct Listener {
    wanted: Vec<Kind>,
    told: Arc<Mutex<Option<bool>>>,
    told_count: Option<usize>,
    camera: watch::Receiver<Status>,
    viewers: watch::Receiver<usize>,
    ended: watch::Receiver<Option<Ending>>,
    /// Nothing comes after this.
    is_over: bool,
}

impl Listener {
    /// `None` when there is no such session.
    fn new(
        context: &Context,
        caller: &Caller,
        camera: &str,
        session: &str,
        wanted: Vec<Kind>,
        told: Arc<Mutex<Option<bool>>>,
    ) -> Option<Self> {
        let status: Arc<SessionStatus> = known(context, caller, camera, session, Role::Viewer)?;
        let camera = context.hub.get(camera)?;
        let (ended, viewers, camera) = (status.ended(), camera.viewers(), camera.status_changes());
        Some(Self { wanted, told, told_count: None, camera, viewers, ended, is_over: false })
    }

    fn into_stream(self) -> impl stream::Stream<Item = sse::Event> {
        stream::unfold(self, |mut listener| async { listener.next().await.map(|event| (event, listener)) })
    }

    async fn next(&mut self) -> Option<sse::Event> {
        while !self.is_over {
            let ended = *self.ended.borrow_and_update();
            if let Some(ending) = ended {
                self.is_over = true;
                let told = ending == Ending::Reconnect && self.wanted.contains(&Kind::Reconnect);
                return told.then(|| events::event(Kind::Reconnect.name(), &json!({})));
            }
            if let Some(kind) = self.turned().filter(|kind| self.wanted.contains(kind)) {
                return Some(events::event(kind.name(), &json!({})));
            }
            let viewers = *self.viewers.borrow_and_update();
            if self.wanted.contains(&Kind::ViewerCount) && self.told_count != Some(viewers) {
                if self.told_count.is_some() {
                    sleep(COUNT_INTERVAL).await;
                }
                let viewers = *self.viewers.borrow_and_update();
                self.told_count = Some(viewers);
                return Some(events::event(Kind::ViewerCount.name(), &json!({ "viewercount": viewers })));
            }
            let alive = tokio::select! {
                changed = self.camera.changed() => changed.is_ok(),
                changed = self.viewers.changed() => changed.is_ok(),
                changed = self.ended.changed() => changed.is_ok(),
            };
            self.is_over = !alive;
        }
        None
    }

    /// Whether the camera has come or gone since the listener was told. That it is away is no news at first.
    fn turned(&mut self) -> Option<Kind> {
        let live = self.camera.borrow_and_update().state == CameraState::Live;
        let mut told = self.told.lock().unwrap_or_else(|e| e.into_inner());
        match told.replace(live) {
            Some(before) if before == live => None,
            None if !live => None,
            _ if live => Some(Kind::Active),
            _ => Some(Kind::Inactive),
        }
    }
}
