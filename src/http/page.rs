//! The pages for people: files of web/, embedded in the binary.

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{Context, auth::Caller, problem::no_such_page};

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
pub(super) async fn grid() -> Response {
    file("index.html", StatusCode::OK).await
}

/// `GET /watch/{camera}`; 404 for an unknown camera, with the same page, which says so in words.
pub(super) async fn watch(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Path(camera): Path<String>,
) -> Response {
    let known = caller.camera(&context.hub, &camera).is_some();
    file("watch.html", if known { StatusCode::OK } else { StatusCode::NOT_FOUND }).await
}

/// `GET /assets/{file}`.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    if name.ends_with(".html") { no_such_page().await.into_response() } else { file(&name, StatusCode::OK).await }
}

pub(super) async fn file(name: &str, status: StatusCode) -> Response {
    match Web::get(name) {
        Some(file) => (status, headers(name), content(file)).into_response(),
        None => no_such_page().await.into_response(),
    }
}

fn content(file: EmbeddedFile) -> Vec<u8> {
    file.data.into_owned()
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
