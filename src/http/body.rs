//! Reads the body of a request, within bounds.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{bounds::MaxBody, problem::Problem};

/// How much of a body that is too large is read all the same, in bytes: a client that is still sending when the
/// connection is closed never sees why.
const MAX_DRAIN: usize = 4 << 20;
/// A body that takes longer to arrive is not waited for; browsers send it in one go.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// The text of a request with this content type.
///
/// # Errors
/// What is wrong with it, as a problem document.
pub(in crate::http) async fn read(request: Request, expected: &'static str) -> Result<String, Problem> {
    let found = content_type(request.headers());
    if !found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(expected)) {
        return Err(Problem::wrong_content_type(expected, found.as_deref()));
    }
    collect(request).await
}

/// Everything that comes, whatever it calls itself.
///
/// # Errors
/// What is wrong with it, as a problem document.
pub(in crate::http) async fn collect(request: Request) -> Result<String, Problem> {
    // There is always one.
    let most = request.extensions().get::<MaxBody>().map_or(0, |most| most.0);
    timeout(READ_DEADLINE, whole(request.into_body(), most)).await.map_err(|_| Problem::too_slow())?
}

async fn whole(body: Body, most: usize) -> Result<String, Problem> {
    let mut body = body.into_data_stream();
    let mut text = Vec::new();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| Problem::unreadable("The body did not arrive whole."))?;
        length += chunk.len();
        if length <= most {
            text.extend_from_slice(&chunk);
        } else if length > MAX_DRAIN.max(most) {
            break;
        }
    }
    if length > most {
        return Err(Problem::too_large(most));
    }
    String::from_utf8(text).map_err(|_| Problem::unreadable("The body is not text (UTF-8)."))
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{http::StatusCode, response::IntoResponse};
    use futures_util::stream;

    use super::*;

    /// A body that begins and never ends.
    fn endless() -> Body {
        let begin = stream::iter([Ok::<_, Infallible>(b"[".to_vec())]);
        Body::from_stream(begin.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let typed = Request::builder().header(header::CONTENT_TYPE, "application/json").body(endless());
        let slow = read(typed.expect("a request"), "application/json").await.expect_err("it never ends");
        assert_eq!(slow.into_response().status(), StatusCode::REQUEST_TIMEOUT);
        let slow = collect(Request::new(endless())).await.expect_err("it never ends");
        assert_eq!(slow.into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
