//! Being heard where a camera is: an offer of sound, by WHIP (RFC 9725), for as long as somebody talks.
//!
//! What is not said here is as for publishers ([`whip`](super::whip)) and viewers ([`whep`]): PATCH, DELETE, entity tags, ICE servers,
//! errors. The answer comes when the camera, or the loudspeaker, listens.

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
    join::{absent, talk},
    problem::Problem,
    rate::Client,
    site::Site,
    whep::{self, SDP, endpoint},
};
use crate::peer::Role;

/// Endpoints and sessions, with and without a slash at the end: a redirect is a POST lost.
pub(super) fn routes() -> Router<Context> {
    let camera = get(endpoint::get).post(post).options(endpoint::options);
    Router::new()
        .route("/whip/{camera}/talk", camera.clone())
        .route("/whip/{camera}/talk/", camera)
        .merge(whep::sessions("/whip/{camera}/talk", Role::Talker))
}

/// `POST /whip/{camera}/talk`: 201 with the answer, or a problem document.
async fn post(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(site): Extension<Site>,
    Extension(client): Extension<Client>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if caller.camera(&context.hub, &name).is_none() {
        return Err(absent(&context, &caller, &name));
    }
    let offer = body::read(request, SDP).await?;
    let answer = talk(&context, client, &caller, &name, &offer).await?;
    let session = site.path(&format!("/whip/{name}/talk/{}", answer.id));
    Ok(endpoint::created(&context, &caller, session, answer))
}
