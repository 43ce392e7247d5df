//! `GET /api/ws?src={camera}`: signalling over a WebSocket (RFC 6455) with the messages of go2rtc, which its player, Home
//! Assistant and its WebRTC camera card speak. <https://github.com/AlexxIT/go2rtc/blob/master/api/README.md>
//!
//! The client offers and sends its candidates as it finds them; the answer has all of ours. Such players hang up as soon as
//! they show a picture, so that a session outlives its socket once it is connected.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod message;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use serde::Deserialize;
use tokio::{
    pin,
    task::JoinSet,
    time::{Instant, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::message::{Form, Request};
use super::{
    Context,
    auth::{Action, Caller},
    bounds,
    join::join,
    problem::Problem,
    rate::{Client, Limits},
};
use crate::{
    panics::{Part, Whose, caught_task},
    peer::{Answer, Phase, SessionId},
    places::{Place, Places},
};

/// Bytes that may wait for a client that does not read: the longest answers, and some pings.
const MAX_UNSENT: usize = 128 * 1024;
/// Candidates that may come before their offer is answered. A browser with every kind of network has about a dozen.
const MAX_EARLY: usize = 32;
/// Between two pings, which keep proxies from closing a silent connection (most do after 60 s).
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// A client that has not even answered pings for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// For one message to leave. A client that does not read is not waited for.
const SEND_DEADLINE: Duration = Duration::from_secs(5);

/// Which camera.
#[derive(Debug, Deserialize)]
pub(super) struct Source {
    src: Option<String>,
}

/// What sockets must get past.
#[derive(Clone)]
pub(super) struct Door {
    places: Places,
    /// Bytes of a message.
    max_message: usize,
    limits: Arc<Limits>,
    stop: CancellationToken,
    sockets: TaskTracker,
}

impl Door {
    /// Offers count among the requests that `limits` counts. Sockets are closed with `stop`.
    pub(super) fn new(bounds: &bounds::Limits, limits: Arc<Limits>, stop: CancellationToken) -> Self {
        let (places, max_message) = (bounds.sockets.places(), bounds.body_bytes);
        Self { places, max_message, limits, stop, sockets: TaskTracker::new() }
    }

    /// The same, for messages of so many bytes.
    pub(super) fn with_messages(&self, max_message: usize) -> Self {
        Self { max_message, ..self.clone() }
    }

    /// Waits until every socket is closed, after `stop`.
    pub(super) async fn closed(&self) {
        self.sockets.close();
        self.sockets.wait().await;
    }

    /// Where sockets are counted.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

/// `GET /api/ws?src={camera}`: 101, or a problem document. That there is no such camera is told over the socket, where the
/// clients look for it.
pub(super) async fn upgrade(
    State(context): State<Context>,
    Extension(door): Extension<Door>,
    Extension(client): Extension<Client>,
    Extension(caller): Extension<Caller>,
    Query(Source { src }): Query<Source>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let socket = socket.map_err(|_| Problem::no_upgrade())?;
    door.limits.check(client.0).map_err(Problem::too_many_requests)?;
    let place =
        door.places.take_for(client.0, caller.user()).map_err(|why| Problem::no_place("signalling sockets", why))?;
    let socket = socket.max_message_size(door.max_message).max_frame_size(door.max_message);
    // Without a limit a client that sends pings and reads nothing makes us keep an answer to each.
    let socket = socket.write_buffer_size(0).max_write_buffer_size(MAX_UNSENT);
    let sockets = door.sockets.clone();
    let conversation = move |socket| Conversation {
        context,
        client,
        caller,
        limits: door.limits,
        stop: door.stop,
        camera: src.unwrap_or_default(),
        socket,
        joining: JoinSet::new(),
        offers: 0,
        session: None,
        early: Vec::new(),
        _place: place,
    };
    Ok(socket.on_upgrade(move |socket| {
        sockets.track_future(async move {
            // Told already; the socket has closed with it, and players try again.
            let _ = caught_task(Part::Http, Whose::NOBODYS, conversation(socket).hold()).await;
        })
    }))
}

/// An offer that was answered, or why not, and which offer of its socket it was.
type Joined = (u64, Form, Result<Answer, Problem>);

/// One socket.
struct Conversation {
    context: Context,
    client: Client,
    caller: Caller,
    limits: Arc<Limits>,
    stop: CancellationToken,
    camera: String,
    socket: WebSocket,
    joining: JoinSet<Joined>,
    /// How many there have been; only the last one counts.
    offers: u64,
    session: Option<SessionId>,
    /// Candidates of an offer that is not answered yet.
    early: Vec<String>,
    _place: Place,
}

/// The socket is of no use any more.
struct Over;

impl Conversation {
    async fn hold(mut self) {
        let mut pings = interval(PING_INTERVAL);
        let mut heard = Instant::now();
        let (stop, over) = (self.stop.clone(), self.caller.clone().over(Some((self.camera.clone(), Action::Watch))));
        pin!(over);
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => Err(Over),
                () = &mut over => Err(Over),
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => {
                        heard = Instant::now();
                        self.on_request(Request::parse(&text)).await
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Over),
                    Some(Ok(_)) => {
                        heard = Instant::now();
                        Ok(())
                    }
                },
                Some(joined) = self.joining.join_next() => match joined {
                    Ok(joined) => self.on_joined(joined).await,
                    // An offer that was replaced.
                    Err(stopped) if stopped.is_cancelled() => Ok(()),
                    Err(_) => Err(Over),
                },
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE { Err(Over) } else { self.send(Message::Ping(Vec::new().into())).await }
                }
            };
            if done.is_err() {
                break;
            }
        }
        self.leave().await;
    }

    async fn on_request(&mut self, request: Request) -> Result<(), Over> {
        match request {
            Request::Offer(form, sdp) => {
                self.joining.abort_all();
                self.end_session().await;
                self.offers += 1;
                if let Err(wait) = self.limits.check(self.client.0) {
                    return self.on_joined((self.offers, form, Err(Problem::too_many_requests(wait)))).await;
                }
                let (number, context, caller) = (self.offers, self.context.clone(), self.caller.clone());
                let (client, camera) = (self.client, self.camera.clone());
                self.joining.spawn(async move {
                    let joining = join(&context, client, &caller, &camera, &sdp);
                    let joined = match caught_task(Part::Request, Whose::camera(&camera), joining).await {
                        Ok(joined) => joined,
                        Err(panic) => Err(Problem::internal(panic)),
                    };
                    (number, form, joined)
                });
                Ok(())
            }
            Request::Candidate(candidate) => {
                match self.session {
                    Some(session) => self.add_candidate(session, candidate).await,
                    None if self.early.len() < MAX_EARLY => self.early.push(candidate),
                    None => {}
                }
                Ok(())
            }
            Request::Other(kind) => {
                let why = "camgate sends video over WebRTC only";
                self.send(Message::Text(message::error(&kind, why).into())).await
            }
        }
    }

    async fn on_joined(&mut self, (number, form, joined): Joined) -> Result<(), Over> {
        match joined {
            // It was answered before it could be stopped.
            Ok(answer) if number != self.offers => {
                self.context.peers.close(&self.camera, answer.id).await;
                Ok(())
            }
            Ok(answer) => {
                self.session = Some(answer.id);
                self.send(Message::Text(message::answer(form, &answer.sdp).into())).await?;
                for candidate in std::mem::take(&mut self.early) {
                    self.add_candidate(answer.id, candidate).await;
                }
                Ok(())
            }
            Err(_) if number != self.offers => Ok(()),
            Err(problem) => {
                self.send(Message::Text(message::refused(form, problem.detail()).into())).await?;
                // Players try again after the socket has closed, and only then.
                Err(Over)
            }
        }
    }

    async fn add_candidate(&mut self, session: SessionId, candidate: String) {
        // A session that has ended needs none.
        let _ = self.context.peers.add_candidate(&self.camera, session, &candidate).await;
    }

    async fn send(&mut self, message: Message) -> Result<(), Over> {
        match timeout(SEND_DEADLINE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }

    /// Nobody will finish a session that is not connected when its socket goes.
    async fn leave(mut self) {
        self.joining.abort_all();
        while let Some(joined) = self.joining.join_next().await {
            if let Ok((_, _, Ok(answer))) = joined {
                self.context.peers.close(&self.camera, answer.id).await;
            }
        }
        let sessions = self.context.peers.sessions();
        let connected = |id| sessions.iter().any(|session| session.id == id && session.phase() == Phase::Connected);
        if self.session.is_some_and(|id| !connected(id)) {
            self.end_session().await;
        }
        let _ = timeout(SEND_DEADLINE, self.socket.send(Message::Close(None))).await;
    }

    async fn end_session(&mut self) {
        self.early.clear();
        if let Some(session) = self.session.take() {
            self.context.peers.close(&self.camera, session).await;
        }
    }
}
