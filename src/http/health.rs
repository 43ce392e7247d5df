//! For supervisors and load balancers: is the process alive, are the cameras there.

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{Context, auth::Caller};
use crate::hub::{CameraState, Status};

#[derive(Debug, Serialize)]
struct Missing {
    name: String,
    state: &'static str,
    reason: Option<String>,
    code: Option<&'static str>,
}

/// `GET /healthz`: 200 as long as the process answers.
pub(super) async fn process(State(context): State<Context>) -> &'static str {
    context.reloads.health()
}

/// `GET /readyz`: 200 when every camera of the caller's with `start = "always"` is live, else 503 and which are not.
pub(super) async fn cameras(State(context): State<Context>, Extension(caller): Extension<Caller>) -> Response {
    let cameras = context.always_on.iter().filter_map(|name| caller.camera(&context.hub, name.as_str()));
    let missing: Vec<_> = cameras
        .map(|camera| (camera.name().to_string(), camera.status()))
        .filter(|(_, status)| status.state != CameraState::Live)
        .map(|(name, Status { state, reason, .. })| {
            let code = reason.as_ref().map(|reason| reason.code);
            Missing { name, state: state.name(), reason: reason.map(|reason| reason.sentence), code }
        })
        .collect();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": missing.is_empty(), "not_live": missing }))).into_response()
}
