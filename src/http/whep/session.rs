//! One viewer's session: trickled candidates, ICE restarts, its end.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};

use super::{
    FRAGMENT, SDP, body,
    endpoint::{ACCEPT_PATCH, ACCEPT_POST},
    preconditions::{self, entity_tag},
};
use crate::{
    http::{Context, cors, problem::Problem},
    peer::{IceFragment, IceUpdate, IceUpdateError, SessionStatus},
};

/// `PATCH /whep/{camera}/{session}`: 204 for candidates, 200 with our side of it for a restart.
pub(super) async fn patch(
    State(context): State<Context>,
    Path((name, session)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let id = known(&context, &name, &session).ok_or_else(|| absent(&context, &name, &session))?.id;
    let expected = preconditions::expected(request.headers()).ok_or_else(Problem::precondition_required);
    let text = body::read(request, FRAGMENT).await?;
    let fragment: IceFragment = text.parse().map_err(|reason: String| Problem::bad_fragment(&reason))?;
    let update = context.peers.update_ice(&name, id, expected?, fragment).await;
    let refused = |error| match error {
        // It ended while the body arrived.
        IceUpdateError::NoSuchSession => absent(&context, &name, &session),
        error => Problem::ice_update(&error).about(&name),
    };
    match update.map_err(refused)? {
        IceUpdate::Added => Ok(StatusCode::NO_CONTENT.into_response()),
        IceUpdate::Restarted { generation, fragment } => {
            let tag = AppendHeaders(entity_tag(&generation).map(|tag| (header::ETAG, tag)));
            Ok(([(header::CONTENT_TYPE, FRAGMENT)], tag, fragment).into_response())
        }
    }
}

/// `DELETE /whep/{camera}/{session}`: 200, or why there is no such session. `If-Match` is not looked at.
pub(super) async fn delete(
    State(context): State<Context>,
    Path((name, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = session.parse().map_err(|()| Problem::unknown_session())?;
    if context.peers.close(&name, id).await { Ok(StatusCode::OK) } else { Err(absent(&context, &name, &session)) }
}

/// `GET` and `HEAD`: a session has nothing to show (WHEP section 4.1), but whether it is there.
pub(super) async fn get(
    State(context): State<Context>,
    Path((name, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    known(&context, &name, &session).map(|_| StatusCode::NO_CONTENT).ok_or_else(|| absent(&context, &name, &session))
}

/// `OPTIONS`, also of a session that is over.
pub(super) async fn options() -> impl IntoResponse {
    (StatusCode::OK, cors::PREFLIGHT, [(ACCEPT_PATCH, FRAGMENT), (ACCEPT_POST, SDP)])
}

/// A session of `camera` that is there.
pub(super) fn known(context: &Context, camera: &str, session: &str) -> Option<Arc<SessionStatus>> {
    let status = context.peers.session(session.parse().ok()?)?;
    (status.camera.as_str() == camera).then_some(status)
}

/// What is answered for a session that is not there: 410 with the reason where that is known, else 404.
pub(super) fn absent(context: &Context, camera: &str, session: &str) -> Problem {
    let ended = session.parse().ok().and_then(|id| context.peers.end_of(camera, id));
    ended.map_or_else(Problem::unknown_session, |ended| Problem::ended(&ended))
}
