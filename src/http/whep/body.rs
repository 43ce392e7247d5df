//! Reads the body of a request, within bounds.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::http::{MAX_BODY, problem::Problem};

/// How much of a body that is too large is read all the same, in bytes: a client that is still sending when the
/// connection is closed never sees why.
const MAX_DRAIN: usize = 4 << 20;
/// A body that takes longer to arrive is not waited for; browsers send it in one go.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// The text of a request with this content type.
///
/// # Errors
/// What is wrong with it, as a problem document.
pub(super) async fn read(request: Request, expected: &'static str) -> Result<String, Problem> {
    let found = content_type(request.headers());
    if !found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(expected)) {
        return Err(Problem::wrong_content_type(expected, found.as_deref()));
    }
    timeout(READ_DEADLINE, collect(request)).await.map_err(|_| Problem::too_slow())?
}

/// Everything that comes, whatever it calls itself.
pub(super) async fn collect(request: Request) -> Result<String, Problem> {
    let mut body = request.into_body().into_data_stream();
    let mut text = Vec::new();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Problem::unreadable("The body did not arrive whole."))?;
        length += chunk.len();
        if length <= MAX_BODY {
            text.extend_from_slice(&chunk);
        } else if length > MAX_DRAIN {
            break;
        }
    }
    if length > MAX_BODY {
        return Err(Problem::too_large());
    }
    String::from_utf8(text).map_err(|_| Problem::unreadable("The body is not text (UTF-8)."))
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}
