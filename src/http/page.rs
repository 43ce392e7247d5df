//! The pages for people: files of web/, embedded in the binary.

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{
    Context,
    auth::Caller,
    problem::{Problem, no_such_page},
    site::Site,
};

/// Everything the pages load comes from here; nothing in them is inline. The watch page may stand in any frame, because
/// that is what it is for.
const POLICY: &str =
    "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'";

/// In a frame of another's page somebody might type a password without knowing where.
const LOGIN_POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// web/, read from disk in a debug build and embedded in a release.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// `GET /`.
pub(super) async fn grid(Extension(site): Extension<Site>) -> Response {
    file("index.html", StatusCode::OK, &site).await
}

/// `GET /watch/{camera}`; 404 for an unknown camera, with the same page, which says so in words.
pub(super) async fn watch(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(site): Extension<Site>,
    Path(camera): Path<String>,
) -> Response {
    let known = caller.camera(&context.hub, &camera).is_some();
    file("watch.html", if known { StatusCode::OK } else { StatusCode::NOT_FOUND }, &site).await
}

/// `GET /share`: the page of a link, whose token only the browser sees.
pub(super) async fn share(Extension(site): Extension<Site>) -> Response {
    file("share.html", StatusCode::OK, &site).await
}

/// `GET /assets/{file}`.
pub(super) async fn asset(Extension(site): Extension<Site>, Path(name): Path<String>) -> Response {
    if name.ends_with(".html") {
        no_such_page().await.into_response()
    } else {
        file(&name, StatusCode::OK, &site).await
    }
}

pub(super) async fn file(name: &str, status: StatusCode, site: &Site) -> Response {
    match Web::get(name) {
        Some(file) if name.ends_with(".html") => (status, headers(name), html(&file, site)).into_response(),
        Some(file) => (status, headers(name), file.data.into_owned()).into_response(),
        None => no_such_page().await.into_response(),
    }
}

/// A refusal, for a person in front of a browser.
pub(super) async fn refusal(problem: &Problem, site: &Site) -> Response {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::FORBIDDEN);
    if problem.is_for_strangers() {
        return file("stranger.html", status, site).await;
    }
    let Some(page) = Web::get("refused.html") else { return no_such_page().await.into_response() };
    let text = html(&page, site).replace("{title}", &escaped(problem.title()));
    (status, headers("refused.html"), text.replace("{detail}", &escaped(problem.detail()))).into_response()
}

/// A page, with its links below the base path. The modules that it loads find each other and the gateway by their own
/// address (web/base.js).
fn html(page: &EmbeddedFile, site: &Site) -> String {
    String::from_utf8_lossy(&page.data).replace("=\"/", &format!("=\"{}/", site.base()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn headers(name: &str) -> [(HeaderName, &'static str); 5] {
    let media_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, if name == "login.html" { LOGIN_POLICY } else { POLICY }),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Small files; after an update the page must not mix old modules with new.
        (header::CACHE_CONTROL, "no-cache"),
    ]
}
