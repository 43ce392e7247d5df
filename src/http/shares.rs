//! `/api/v1/shares`: makes links that show one camera, lists them and ends them. A link's token is in the answer that makes
//! it and nowhere afterwards.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use super::{
    BaseUrl, Context, Share, ShareError, Wish,
    api::rfc3339,
    auth::{Action, Caller, Gate, is_from_near},
    body,
    problem::Problem,
    qr,
    rate::Client,
    site::Site,
};

/// What a page or a program asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    camera: String,
    seconds: u64,
    viewers: Option<u32>,
    /// Whether it also lets somebody be the camera.
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    note: String,
    /// What the link is to begin with, where the configuration does not say: where the page was loaded from.
    base: Option<String>,
}

/// A link as it can be seen for as long as it lasts.
#[derive(Debug, Serialize)]
struct ShareView {
    id: String,
    camera: String,
    made: String,
    expires: String,
    viewers: Option<u32>,
    watching: u32,
    publish: bool,
    note: String,
}

/// A link as it can be seen once. Without `Debug`, so that nothing prints it.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    share: ShareView,
    token: String,
    url: String,
    whep: String,
    qr: Option<qr::Drawing>,
}

/// The addresses. Not for pages of others, as the rest of the API is.
pub(super) fn routes() -> Router<Context> {
    Router::new().route("/api/v1/shares", get(list).post(make)).route("/api/v1/shares/{share}", delete(end))
}

/// `GET /api/v1/shares`: the caller's, oldest first.
async fn list(
    Extension(gate): Extension<Arc<Gate>>,
    Extension(caller): Extension<Caller>,
    Extension(client): Extension<Client>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !may_share(&gate, &caller, client, &site, &headers) {
        return Err(Problem::not_from_here());
    }
    let shares = gate.shares().list().into_iter().filter(|share| caller.manages(share));
    let views: Vec<_> = shares.map(|share| ShareView::of(&share, &gate)).collect();
    Ok(unstored(Json(views)))
}

/// `POST /api/v1/shares`: 201 with the link.
async fn make(
    State(context): State<Context>,
    Extension(gate): Extension<Arc<Gate>>,
    Extension(caller): Extension<Caller>,
    Extension(client): Extension<Client>,
    Extension(site): Extension<Site>,
    request: Request,
) -> Result<Response, Problem> {
    if !may_share(&gate, &caller, client, &site, request.headers()) {
        return Err(Problem::not_from_here());
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let scheme = if site.is_secure { "https" } else { "http" };
    let host = host.map(|host| format!("{scheme}://{host}{}", site.base()));
    let text = body::read(request, "application/json").await?;
    let asked: Asked = serde_json::from_str(&text).map_err(|_| {
        Problem::unreadable("The body is not a JSON object of camera, seconds, viewers, publish, note and base.")
    })?;
    let camera =
        caller.camera(&context.hub, &asked.camera).ok_or_else(|| Problem::unknown_camera(&caller, &asked.camera))?;
    let base = gate.public_url().cloned().map(Ok).or_else(|| Some(asked.base.or(host)?.parse::<BaseUrl>()));
    let base = base.and_then(Result::ok).ok_or_else(|| Problem::bad_share("base is no address of a web site"))?;
    let wish = Wish::new(camera.name().as_str(), Duration::from_secs(asked.seconds), asked.viewers, &asked.note);
    let wish = wish.map_err(|why| Problem::bad_share(&why.to_string()))?.publishing(asked.publish);
    if asked.publish && !caller.may(Action::Publish) {
        return Err(Problem::not_your_action(Action::Publish.name()));
    }
    let by = caller.maker().ok_or_else(Problem::only_one_camera)?;
    let (share, token) = {
        let gate = gate.clone();
        blocking(move || gate.shares().make_for(by, wish, SystemTime::now())).await?
    };
    info!(camera = %share.camera, link = %share.id, until = %rfc3339(share.expires()), "{} shared a camera", caller.name());
    let (url, whep) = (base.link(&token), base.whep(&share.camera));
    let qr = qr::drawing(&url);
    let made = Made { share: ShareView::of(&share, &gate), token: token.expose().to_owned(), url, whep, qr };
    Ok((StatusCode::CREATED, unstored(Json(made))).into_response())
}

/// `DELETE /api/v1/shares/{share}`: 204; whoever watches by the link is cut off.
async fn end(
    Extension(gate): Extension<Arc<Gate>>,
    Extension(caller): Extension<Caller>,
    Extension(client): Extension<Client>,
    Extension(site): Extension<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    if !may_share(&gate, &caller, client, &site, &headers) {
        return Err(Problem::not_from_here());
    }
    let share = gate.shares().list().into_iter().find(|share| share.id.to_string() == id && caller.manages(share));
    let id = share.ok_or_else(Problem::unknown_share)?.id;
    let there_was = blocking(move || gate.shares().end(id)).await?;
    if !there_was {
        return Err(Problem::unknown_share());
    }
    info!(link = %id, "{} ended a link", caller.name());
    Ok(StatusCode::NO_CONTENT)
}

/// Where there are no users, who is near may share: who is not, and a page whose name a stranger's name server has pointed at
/// us (DNS rebinding), would have a way in that lasts.
fn may_share(gate: &Gate, caller: &Caller, Client(address): Client, site: &Site, headers: &HeaderMap) -> bool {
    !matches!(caller, Caller::Anyone { .. }) || is_from_near(address, headers, site, gate.neighbours())
}

/// Files are locked and written.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ShareError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::bad_share("the gateway is ending"))?;
    done.map_err(|error| {
        if !matches!(error, ShareError::Full) {
            error!("{error}");
        }
        Problem::unkept(&error)
    })
}

fn unstored(answer: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

impl ShareView {
    fn of(share: &Share, gate: &Gate) -> Self {
        Self {
            id: share.id.to_string(),
            camera: share.camera.clone(),
            made: rfc3339(share.made()),
            expires: rfc3339(share.expires()),
            viewers: share.viewers.map(Into::into),
            watching: gate.shares().watching(share.id),
            publish: share.publish,
            note: share.note.clone(),
        }
    }
}
