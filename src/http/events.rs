//! Streams of server-sent events (WHATWG HTML section 9.2): bounded in number, and over
//! when the program ends.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::{HeaderName, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::{
    auth::{Action, Caller},
    bounds::Portion,
    problem::Problem,
    rate::Client,
};
use crate::places::Places;

/// Between two comments, which keep proxies from closing a silent connection (most do after 60 s) and show us a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// nginx collects an answer before it passes it on, unless told otherwise.
const UNBUFFERED: [(HeaderName, &str); 2] =
    [(HeaderName::from_static("x-accel-buffering"), "no"), (header::CACHE_CONTROL, "no-store")];

/// Places for streams.
#[derive(Clone)]
pub(super) struct Streams {
    places: Places,
    stop: CancellationToken,
}

impl Streams {
    /// Streams that end with `stop`.
    pub(super) fn new(share: Portion, stop: CancellationToken) -> Self {
        Self { places: share.places(), stop }
    }

    /// Answers with `events`, for as long as they come, somebody listens and the caller's login lasts; with 503 when all places are taken, with 429
    /// when this client has its share of them.
    pub(super) fn open(
        &self,
        client: Client,
        caller: Caller,
        camera: Option<String>,
        events: impl Stream<Item = Event> + Send + 'static,
    ) -> Response {
        let place = match self.places.take_for(client.0, caller.user()) {
            Ok(place) => place,
            Err(why) => return Problem::no_place("event streams", why).into_response(),
        };
        let kept = events.map(move |event| {
            let _held = &place;
            Ok::<_, Infallible>(event)
        });
        let sse = Sse::new(
            kept.take_until(self.stop.clone().cancelled_owned())
                .take_until(caller.over(camera.map(|camera| (camera, Action::Watch)))),
        );
        (UNBUFFERED, sse.keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
    }

    /// Where streams are counted.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

/// An event of that name whose data is one line of JSON.
pub(super) fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn one_address_leaves_places_for_others() {
        let share = Portion { all: 10, per_address: 4, per_user: 10 };
        let streams = Streams::new(share, CancellationToken::new());
        let open = |address: [u8; 4]| streams.open(Client(address.into()), Caller::anyone(), None, stream::pending());
        let held: Vec<_> = (0..4).map(|_| open([192, 0, 2, 1])).collect();
        assert!(held.iter().all(|response| response.status() == 200));
        let refused = open([192, 0, 2, 1]);
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(open([192, 0, 2, 2]).status(), 200);
        drop(held);
        assert_eq!(open([192, 0, 2, 1]).status(), 200, "places are free again");
    }
}
