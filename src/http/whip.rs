//! WebRTC-HTTP ingestion (RFC 9725): an offer makes somebody a camera, until DELETE.
//!
//! What is not said here is as for viewers ([`whep`]): PATCH, entity tags, ICE servers, errors.

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
    join::{absent, publish},
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
        .route("/whip/{camera}", camera.clone())
        .route("/whip/{camera}/", camera)
        .merge(whep::sessions("/whip/{camera}", Role::Publisher))
}

/// `POST /whip/{camera}`: 201 with the answer, or a problem document.
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
    let answer = publish(&context, client, &caller, &name, &offer).await?;
    let session = site.path(&format!("/whip/{name}/{}", answer.id));
    Ok(endpoint::created(&context, &caller, session, answer))
}
