//! The endpoint of a camera: takes offers, and can be recognised.

use std::time::SystemTime;

use axum::{
    Extension,
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};

use super::{FRAGMENT, SDP, events, links, preconditions::entity_tag};
use crate::http::{
    Context,
    auth::Caller,
    body,
    channel::{self, Files},
    cors,
    join::{absent, join, missing},
    problem::Problem,
    rate::Client,
    site::Site,
};
use crate::peer::Answer;

/// RFC 5789 section 3.1.
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
/// W3C Linked Data Platform section 7.1.
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// `POST /whep/{camera}`: 201 with the answer, or a problem document.
pub(super) async fn post(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(site): Extension<Site>,
    Extension(client): Extension<Client>,
    Extension(files): Extension<Files>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if caller.camera(&context.hub, &name).is_none() {
        return Err(missing(&context, &caller, client, &name));
    }
    let offer = body::read(request, SDP).await?;
    let mut answer = join(&context, client, &caller, &name, &offer).await?;
    if let Some(end) = answer.channel.take() {
        channel::open(&context, &caller, files, &name, answer.id, end);
    }
    let session = site.path(&format!("/whep/{name}/{}", answer.id));
    let events = caller.address(format!("{session}/events"));
    let extension = AppendHeaders(events::link(&events).map(|link| (header::LINK, link)));
    Ok((extension, created(&context, &caller, session, answer)).into_response())
}

/// A session that was made, at `path`.
pub(in crate::http) fn created(context: &Context, caller: &Caller, path: String, answer: Answer) -> Response {
    let location = caller.address(path);
    let headers =
        [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location), (ACCEPT_PATCH, FRAGMENT.to_owned())];
    let tag = AppendHeaders(entity_tag(&answer.generation).map(|tag| (header::ETAG, tag)));
    let links = AppendHeaders(links::ice_servers(&context.peers.ice_servers(SystemTime::now())));
    (StatusCode::CREATED, headers, tag, links, answer.sdp).into_response()
}

/// `GET` and `HEAD` of the endpoint: nothing, of the type that tells players what this address is (WHEP section 4.2).
pub(in crate::http) async fn get(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    caller.camera(&context.hub, &name).ok_or_else(|| absent(&context, &caller, &name))?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(SDP))], "").into_response())
}

/// `OPTIONS`: what a preflight and a client that looks for ICE servers want to know. A preflight has no credentials, so that
/// it is not told those of TURN servers where there are users.
pub(in crate::http) async fn options(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
) -> impl IntoResponse {
    let servers = if caller.is_known() { context.peers.ice_servers(SystemTime::now()) } else { Vec::new() };
    let links = AppendHeaders(links::ice_servers(&servers));
    (StatusCode::OK, cors::PREFLIGHT, [(ACCEPT_POST, SDP)], links)
}
