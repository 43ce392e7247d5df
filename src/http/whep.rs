//! WebRTC-HTTP egress (draft-ietf-wish-whep): an offer makes a session, PATCH moves it to another network, DELETE ends it.
//!
//! docs/whep-conformance.md lists what the draft demands and the test that shows it.

pub(super) mod endpoint;
mod events;
mod links;
mod preconditions;
mod session;

use axum::{
    Extension, Router,
    routing::{get, options},
};

pub(super) use self::events::Registry;
pub(super) use self::session::{absent, known};
use super::Context;
use crate::peer::Role;

/// Content type of offers and answers (RFC 8866 section 8.1).
pub(super) const SDP: &str = "application/sdp";
/// Content type of trickled candidates and restarts (RFC 8840 section 9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Endpoints and sessions, with and without a slash at the end: a redirect is a POST lost.
pub(super) fn routes(registry: Registry) -> Router<Context> {
    let endpoint = get(endpoint::get).post(endpoint::post).options(endpoint::options);
    let extension = get(events::listen_to_all).post(events::post).options(events::options);
    let stream = get(events::listen).delete(events::delete).options(events::options);
    let events = Router::new()
        .route("/whep/{camera}/{session}/events", extension)
        .route("/whep/{camera}/{session}/events/{stream}", stream)
        .layer(Extension(registry));
    Router::new()
        .merge(events)
        .merge(sessions("/whep/{camera}", Role::Viewer))
        .route("/whep/{camera}", endpoint.clone())
        .route("/whep/{camera}/", endpoint)
}

/// The sessions of this role, below `base`.
pub(super) fn sessions(base: &str, role: Role) -> Router<Context> {
    let session = get(session::get).patch(session::patch).delete(session::delete).merge(options(session::options));
    let session = session.layer(Extension(role));
    Router::new().route(&format!("{base}/{{session}}"), session.clone()).route(&format!("{base}/{{session}}/"), session)
}
