//! One viewer's or publisher's session: trickled candidates, ICE restarts, its end.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};

use super::{
    FRAGMENT, SDP,
    endpoint::{ACCEPT_PATCH, ACCEPT_POST},
    preconditions::{self, entity_tag},
};
use crate::{
    http::{Context, auth::Caller, body, cors, problem::Problem},
    peer::{IceFragment, IceUpdate, IceUpdateError, Role, SessionId, SessionStatus},
};

/// `PATCH`: 204 for candidates, 200 with our side of it for a restart.
pub(super) async fn patch(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(role): Extension<Role>,
    Path((name, session)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let known = known(&context, &caller, &name, &session, role);
    let id = known.ok_or_else(|| absent(&context, &caller, &name, &session))?.id;
    let expected = preconditions::expected(request.headers()).ok_or_else(Problem::precondition_required);
    let text = body::read(request, FRAGMENT).await?;
    let fragment: IceFragment = text.parse().map_err(|reason: String| Problem::bad_fragment(&reason))?;
    let update = context.peers.update_ice(&name, id, expected?, fragment).await;
    let refused = |error| match error {
        // It ended while the body arrived.
        IceUpdateError::NoSuchSession => absent(&context, &caller, &name, &session),
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

/// `DELETE`: 200, or why there is no such session. `If-Match` is not looked at.
pub(super) async fn delete(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(role): Extension<Role>,
    Path((name, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = own(&caller, &name, &session).ok_or_else(Problem::unknown_session)?;
    if known(&context, &caller, &name, &session, role).is_some() && context.peers.close(&name, id).await {
        Ok(StatusCode::OK)
    } else {
        Err(absent(&context, &caller, &name, &session))
    }
}

/// `GET` and `HEAD`: a session has nothing to show (WHEP section 4.1), but whether it is there.
pub(super) async fn get(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(role): Extension<Role>,
    Path((name, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    known(&context, &caller, &name, &session, role)
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or_else(|| absent(&context, &caller, &name, &session))
}

/// `OPTIONS`, also of a session that is over.
pub(super) async fn options() -> impl IntoResponse {
    (StatusCode::OK, cors::PREFLIGHT, [(ACCEPT_PATCH, FRAGMENT), (ACCEPT_POST, SDP)])
}

/// The id of a session of `camera` that is the caller's, or was, if there is or was one.
fn own(caller: &Caller, camera: &str, session: &str) -> Option<SessionId> {
    session.parse().ok().filter(|id| caller.sees(camera) && caller.owns(*id))
}

/// A session of `camera` that is there, of this role, and the caller's.
pub(in crate::http) fn known(
    context: &Context,
    caller: &Caller,
    camera: &str,
    session: &str,
    role: Role,
) -> Option<Arc<SessionStatus>> {
    let status = context.peers.session(own(caller, camera, session)?)?;
    (status.camera.as_str() == camera && status.role == role).then_some(status)
}

/// What is answered for a session that is not there, or somebody else's: 410 with the reason where that is known, else 404.
pub(in crate::http) fn absent(context: &Context, caller: &Caller, camera: &str, session: &str) -> Problem {
    let ended = own(caller, camera, session).and_then(|id| context.peers.end_of(camera, id));
    ended.map_or_else(Problem::unknown_session, |ended| Problem::ended(&ended))
}
