//! WebRTC-HTTP egress (draft-ietf-wish-whep): an offer makes a session, DELETE ends it.

use std::time::Duration;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};

use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Context, MAX_BODY, cors, join::join, problem::Problem};
use crate::peer::IceServer;

/// Content type of offers and answers (RFC 8866 section 8.1).
const SDP: &str = "application/sdp";

/// How much of a body that is too large is read all the same, in bytes: a client that is still sending when the
/// connection is closed never sees why.
const MAX_DRAIN: usize = 4 << 20;
/// An offer that takes longer to arrive is not waited for; browsers send it in one go.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// `POST /whep/{camera}`: 201 with the answer, or a problem document.
pub(super) async fn post(
    State(context): State<Context>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    if context.hub.get(&name).is_none() {
        return Err(Problem::unknown_camera(&name));
    }
    let offer = timeout(READ_DEADLINE, read_offer(request)).await.map_err(|_| Problem::too_slow())??;
    let answer = join(&context, &name, &offer).await?;
    let location = format!("/whep/{name}/{}", answer.id);
    let headers = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location)];
    let links = AppendHeaders(links(context.peers.ice_servers()));
    Ok((StatusCode::CREATED, headers, links, answer.sdp).into_response())
}

/// `DELETE /whep/{camera}/{session}`: 200, or 404 when there is no such session.
pub(super) async fn delete(
    State(context): State<Context>,
    Path((name, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = session.parse().map_err(|()| Problem::unknown_session())?;
    if context.peers.close(&name, id).await { Ok(StatusCode::OK) } else { Err(Problem::unknown_session()) }
}

/// `OPTIONS`: what a preflight and a client that looks for ICE servers want to know.
pub(super) async fn options(State(context): State<Context>) -> impl IntoResponse {
    let links = AppendHeaders(links(context.peers.ice_servers()));
    (StatusCode::NO_CONTENT, cors::PREFLIGHT, [("accept-post", SDP)], links)
}

async fn read_offer(request: Request) -> Result<String, Problem> {
    let content_type = content_type(request.headers());
    if !content_type.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(SDP)) {
        return Err(Problem::wrong_content_type(content_type.as_deref()));
    }
    let mut body = request.into_body().into_data_stream();
    let mut offer = Vec::new();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Problem::unreadable("The offer did not arrive whole."))?;
        length += chunk.len();
        if length <= MAX_BODY {
            offer.extend_from_slice(&chunk);
        } else if length > MAX_DRAIN {
            break;
        }
    }
    if length > MAX_BODY {
        return Err(Problem::too_large());
    }
    String::from_utf8(offer).map_err(|_| Problem::unreadable("The offer is not text (UTF-8)."))
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// One `Link` per ICE server URL (WHEP section 4.6).
fn links(servers: &[IceServer]) -> Vec<(header::HeaderName, HeaderValue)> {
    let link = |server: &IceServer, url: &str| {
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            let (username, credential) = (quoted(username), quoted(credential.expose()));
            link += &format!("; username={username}; credential={credential}; credential-type=\"password\"");
        }
        let mut value = HeaderValue::from_str(&link).ok()?;
        value.set_sensitive(server.credential.is_some());
        Some((header::LINK, value))
    };
    servers.iter().flat_map(|server| server.urls.iter().filter_map(move |url| link(server, url.as_str()))).collect()
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
