//! What plain HTTP gets where HTTPS is spoken: the way there.

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, header, uri::Authority},
    response::{IntoResponse, Redirect, Response},
};

use crate::http::problem::Problem;

/// The port that needs not be written.
const HTTPS: u16 = 443;

/// Sends everybody to the same address by HTTPS, at `port`.
pub(in crate::http) fn to_https(port: u16) -> Router {
    Router::new().fallback(redirect).with_state(port)
}

/// A redirect for those who read; others would send their password or their offer in the clear again and again without
/// anybody noticing.
async fn redirect(State(port): State<u16>, request: Request) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let is_reading =
        matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(header::UPGRADE);
    match host.filter(|_| is_reading) {
        Some(host) => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let port = if port == HTTPS { String::new() } else { format!(":{port}") };
            let away = Redirect::permanent(&format!("https://{}{port}{path}", host.host()));
            ([(header::CACHE_CONTROL, "no-store")], away).into_response()
        }
        None => Problem::https_only().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn answer(port: u16, method: &str, host: Option<&str>) -> (u16, String) {
        let request = Request::builder().method(method).uri("/watch/front?sound=1");
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let response = redirect(State(port), request.body(Body::empty()).expect("a request")).await;
        let location = response.headers().get("location").map_or("", |value| value.to_str().expect("a text"));
        (response.status().as_u16(), location.to_owned())
    }

    #[tokio::test]
    async fn who_reads_is_sent_on_and_who_writes_is_told() {
        let to = |text: &str| (308, text.to_owned());
        assert_eq!(answer(443, "GET", Some("cam")).await, to("https://cam/watch/front?sound=1"));
        assert_eq!(answer(8443, "HEAD", Some("cam:8080")).await, to("https://cam:8443/watch/front?sound=1"));
        assert_eq!(
            answer(8443, "GET", Some("[2001:db8::1]:80")).await,
            to("https://[2001:db8::1]:8443/watch/front?sound=1")
        );
        for (method, host) in [("POST", Some("cam")), ("GET", None), ("GET", Some("a b")), ("GET", Some(""))] {
            assert_eq!(answer(443, method, host).await, (400, String::new()), "{method} {host:?}");
        }
    }
}
