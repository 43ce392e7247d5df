//! Streams of server-sent events (WHATWG HTML section 9.2): bounded in number, and over when the program ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderName, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;

/// Streams at one time. Each holds one of the server's connections.
pub(super) const MAX_STREAMS: usize = 256;
/// Between two comments, which keep proxies from closing a silent connection (most do after 60 s) and show us a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// nginx collects an answer before it passes it on, unless told otherwise.
const UNBUFFERED: [(HeaderName, &str); 2] =
    [(HeaderName::from_static("x-accel-buffering"), "no"), (header::CACHE_CONTROL, "no-store")];

/// Places for streams.
#[derive(Clone)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// Streams that end with `stop`.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_STREAMS)), stop }
    }

    /// Answers with `events`, for as long as they come and somebody listens; with 503 when all places are taken.
    pub(super) fn open(&self, events: impl Stream<Item = Event> + Send + 'static) -> Response {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Problem::no_stream(MAX_STREAMS).into_response();
        };
        let kept = events.map(move |event| {
            let _held = &place;
            Ok::<_, Infallible>(event)
        });
        let sse = Sse::new(kept.take_until(self.stop.clone().cancelled_owned()));
        (UNBUFFERED, sse.keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
    }
}

/// An event of that name whose data is one line of JSON.
pub(super) fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
