//! The login page: a name and a password become a cookie, until the user logs out.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tracing::info;
use url::form_urlencoded;

use super::{
    gate::{Gate, refused},
    origin::{Origin, origin},
    passwords::Refused,
};
use crate::http::{
    body,
    page::{file, refusal},
    problem::Problem,
    rate::Client,
    site::Site,
};

/// What the page sends. Without `Debug`, so that nothing prints it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Form {
    name: String,
    password: String,
}

/// `GET /login`; where nobody has a password, words in place of the form.
pub(in crate::http) async fn page(Extension(gate): Extension<Arc<Gate>>, Extension(site): Extension<Site>) -> Response {
    if !gate.has_users() {
        Redirect::to(&site.path("/")).into_response()
    } else if gate.passwords().has_any() {
        file("login.html", StatusCode::OK, &site).await
    } else {
        refusal(&Problem::no_passwords(), &site).await
    }
}

/// `POST /login`: 204 with the cookie, 401, or 429.
pub(in crate::http) async fn log_in(
    Extension(gate): Extension<Arc<Gate>>,
    Extension(Client(address)): Extension<Client>,
    Extension(site): Extension<Site>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    // Else another's page could log its visitors in as whom it likes.
    if origin(&headers, site.is_secure) != Origin::Own {
        return Err(Problem::foreign_page());
    }
    let text = body::read(request, "application/json").await?;
    let unreadable = |_| Problem::unreadable("The body is not a JSON object of name and password.");
    let form: Form = serde_json::from_str(&text).map_err(unreadable)?;
    let proved = gate.passwords().prove(address, &form.name, &form.password).await;
    let user = proved.map_err(|why| if why == Refused::Wrong { Problem::wrong_password() } else { refused(why) })?;
    // What the page was loaded by, also behind a proxy that does not tell.
    let is_secure =
        site.is_secure || headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let cookie = gate.cookies().issue(&user, site.base(), is_secure, SystemTime::now());
    let client = address.to_canonical();
    info!(user = %user.name, %client, "user {} logged in from {client}", user.name);
    Ok(with_cookie(cookie))
}

/// `POST /logout`: 204, whoever asks; the cookie is good for nothing afterwards.
pub(in crate::http) async fn log_out(
    Extension(gate): Extension<Arc<Gate>>,
    Extension(site): Extension<Site>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if origin(&headers, site.is_secure) != Origin::Own {
        return Err(Problem::foreign_page());
    }
    if let Some((login, user)) = gate.login(&headers) {
        gate.cookies().revoke(&login, SystemTime::now());
        info!(user = %user.name, "user {} logged out", user.name);
    }
    Ok(with_cookie(super::cookies::Cookies::cleared(site.base())))
}

/// To the login page, and from there to where somebody wanted to go.
pub(super) fn redirect(wanted: &Uri, site: &Site) -> Response {
    let path = wanted.path_and_query().map_or("/", |path| path.as_str());
    let wanted = site.path(path);
    let to = match path {
        "/" => site.path("/login"),
        _ => {
            let next = form_urlencoded::Serializer::new(String::new()).append_pair("next", &wanted).finish();
            site.path(&format!("/login?{next}"))
        }
    };
    ([(header::CACHE_CONTROL, "no-store")], Redirect::to(&to)).into_response()
}

/// To the login page of another service.
pub(super) fn elsewhere(page: &str) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Redirect::to(page)).into_response()
}

fn with_cookie(cookie: Option<HeaderValue>) -> Response {
    let cookie = AppendHeaders(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")], cookie).into_response()
}
