//! WebRTC-HTTP ingestion (RFC 9725): an offer makes somebody a camera, or has somebody heard where a camera is, until DELETE.
//!
//! What is not said here is as for viewers ([`whep`]): PATCH, entity tags, ICE servers, errors. Who talks is answered when the
//! camera, or the loudspeaker, listens.

use axum::{
    Extension, Router,
    extract::{Path, Request, State},
    response::Response,
    routing::get,
};

use super::{
    Context,
    auth::Caller,
    body,
    join::{absent, publish, talk},
    problem::Problem,
    rate::Client,
    site::Site,
    whep::{self, SDP, endpoint},
};
use crate::peer::Role;

/// Endpoints and sessions, with and without a slash at the end: a redirect is a POST lost.
pub(super) fn routes() -> Router<Context> {
    of("/whip/{camera}", Role::Publisher).merge(of("/whip/{camera}/talk", Role::Talker))
}

fn of(base: &str, role: Role) -> Router<Context> {
    let camera = get(endpoint::get).post(post).options(endpoint::options).layer(Extension(role));
    Router::new().route(base, camera.clone()).route(&format!("{base}/"), camera).merge(whep::sessions(base, role))
}

/// `POST /whip/{camera}` and `POST /whip/{camera}/talk`: 201 with the answer, or a problem document.
async fn post(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(site): Extension<Site>,
    Extension(client): Extension<Client>,
    Extension(role): Extension<Role>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if caller.camera(&context.hub, &name).is_none() {
        return Err(absent(&context, &caller, &name));
    }
    let offer = body::read(request, SDP).await?;
    let (answer, way) = match role {
        Role::Talker => (talk(&context, client, &caller, &name, &offer).await?, "/talk"),
        Role::Publisher | Role::Viewer => (publish(&context, client, &caller, &name, &offer).await?, ""),
    };
    let session = site.path(&format!("/whip/{name}{way}/{}", answer.id));
    Ok(endpoint::created(&context, &caller, session, answer))
}
