//! `GET /api/ws?src={camera}`: signalling over a WebSocket (RFC 6455) with the messages of go2rtc, which its player, Home
//! Assistant and its WebRTC camera card speak. <https://github.com/AlexxIT/go2rtc/blob/master/api/README.md>
//!
//! The client offers and sends its candidates as it finds them; the answer has all of ours. Such players hang up as soon as
//! they show a picture, so that a session outlives its socket once it is connected.

mod message;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, interval, timeout},
};

use self::message::{Form, Request};
use super::{Context, MAX_BODY, join::join, problem::Problem};
use crate::peer::{Answer, Phase, SessionId};

/// Sockets at one time. Most are open for a second only, until the picture is there.
pub(super) const MAX_SOCKETS: usize = 256;
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

/// Places for sockets.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_SOCKETS)))
    }
}

/// `GET /api/ws?src={camera}`: 101, or a problem document. That there is no such camera is told over the socket, where the
/// clients look for it.
pub(super) async fn upgrade(
    State(context): State<Context>,
    axum::Extension(places): axum::Extension<Places>,
    Query(Source { src }): Query<Source>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let socket = socket.map_err(|_| Problem::no_upgrade())?;
    let place = places.0.try_acquire_owned().map_err(|_| Problem::no_socket(MAX_SOCKETS))?;
    let socket = socket.max_message_size(MAX_BODY).max_frame_size(MAX_BODY);
    let camera = src.unwrap_or_default();
    Ok(socket.on_upgrade(move |socket| Conversation::new(context, camera, socket, place).hold()))
}

/// An offer that was answered, or why not.
type Joined = (Form, Result<Answer, Problem>);

/// One socket.
struct Conversation {
    context: Context,
    camera: String,
    socket: WebSocket,
    joining: JoinSet<Joined>,
    session: Option<SessionId>,
    /// Candidates of an offer that is not answered yet.
    early: Vec<String>,
    _place: OwnedSemaphorePermit,
}

/// The socket is of no use any more.
struct Over;

impl Conversation {
    fn new(context: Context, camera: String, socket: WebSocket, place: OwnedSemaphorePermit) -> Self {
        Self { context, camera, socket, joining: JoinSet::new(), session: None, early: Vec::new(), _place: place }
    }

    async fn hold(mut self) {
        let mut pings = interval(PING_INTERVAL);
        let mut heard = Instant::now();
        loop {
            let done = tokio::select! {
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
                let (context, camera) = (self.context.clone(), self.camera.clone());
                self.joining.spawn(async move { (form, join(&context, &camera, &sdp).await) });
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

    async fn on_joined(&mut self, (form, joined): Joined) -> Result<(), Over> {
        match joined {
            Ok(answer) => {
                self.session = Some(answer.id);
                self.send(Message::Text(message::answer(form, &answer.sdp).into())).await?;
                for candidate in std::mem::take(&mut self.early) {
                    self.add_candidate(answer.id, candidate).await;
                }
                Ok(())
            }
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
