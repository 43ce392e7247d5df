//! The pages for people: files of web/, embedded in the binary.

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{
    Context,
    auth::Caller,
    problem::{Problem, no_such_page},
    site::Site,
};

/// Everything the pages load comes from here; nothing in them is inline. Pictures come over WebRTC, which is no source.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; \
    connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors";
/// What no page of ours asks for.
const PERMISSIONS: &str = "display-capture=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()";
/// The page that makes a camera of a browser; no other asks for its camera.
const CAPTURING: &str = "publish.html";
/// The pages on which somebody talks to the people before a camera; beside that one, no other asks for a microphone.
const TALKING: [&str; 2] = ["index.html", "watch.html"];
/// W3C Permissions Policy, section 7.
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// WHATWG HTML, section 7.1.3.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// web/, read from disk in a debug build and embedded in a release.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// `GET /`.
pub(super) async fn grid(Extension(site): Extension<Site>) -> Response {
    file("index.html", StatusCode::OK, &site).await
}

/// `GET /watch/{camera}`.
pub(super) async fn watch(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(site): Extension<Site>,
    Path(camera): Path<String>,
) -> Response {
    of_camera("watch.html", &camera, &context, &caller, &site).await
}

/// `GET /publish/{camera}`: this browser as a camera.
pub(super) async fn publish(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(site): Extension<Site>,
    Path(camera): Path<String>,
) -> Response {
    of_camera(CAPTURING, &camera, &context, &caller, &site).await
}

/// 404 for an unknown camera, with the same page, which says so in words.
async fn of_camera(page: &str, camera: &str, context: &Context, caller: &Caller, site: &Site) -> Response {
    let known = caller.camera(&context.hub, camera).is_some();
    file(page, if known { StatusCode::OK } else { StatusCode::NOT_FOUND }, site).await
}

/// `GET /publish`: the same for whoever has a link, whose token only the browser sees.
pub(super) async fn publish_by_link(Extension(site): Extension<Site>) -> Response {
    file(CAPTURING, StatusCode::OK, &site).await
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
        Some(file) if name.ends_with(".html") => (status, headers(name, site), html(&file, site)).into_response(),
        Some(file) => (status, headers(name, site), file.data.into_owned()).into_response(),
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
    (status, headers("refused.html", site), text.replace("{detail}", &escaped(problem.detail()))).into_response()
}

/// A page, with its links below the base path. The modules that it loads find each other and the gateway by their own
/// address (web/base.js).
fn html(page: &EmbeddedFile, site: &Site) -> String {
    String::from_utf8_lossy(&page.data).replace("=\"/", &format!("=\"{}/", site.base()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn headers(name: &str, site: &Site) -> HeaderMap {
    let media_type = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    // In a frame of another's page somebody might type a password without knowing where.
    let frames = if name == "login.html" { "'none'" } else { site.frames() };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // Small files; after an update the page must not mix old modules with new.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY} {frames}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if media_type.starts_with("text/html") {
        let to = |is_asked| if is_asked { "(self)" } else { "()" };
        let (camera, microphone) = (to(name == CAPTURING), to(name == CAPTURING || TALKING.contains(&name)));
        if let Ok(policy) = HeaderValue::from_str(&format!("camera={camera}, microphone={microphone}, {PERMISSIONS}")) {
            headers.insert(PERMISSIONS_POLICY, policy);
        }
        // Over plain HTTP it means nothing, and browsers complain of it.
        if site.is_secure {
            headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        }
    }
    headers
}
