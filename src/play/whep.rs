//! The HTTP side of a WHEP client (draft-ietf-wish-whep): asks for ICE servers, posts the offer, ends the session.

use std::{error::Error, fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LINK, LOCATION, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, HttpInfo},
    },
    rt::TokioExecutor,
};
use thiserror::Error;
use tokio::time::timeout;
use url::Url;

use super::{
    link::{IceServer, ice_servers},
    tls,
};

/// Content type of offers and answers (RFC 8866 section 8.1).
const SDP: &str = "application/sdp";
/// An answer larger than this is not read: a server that sends bytes without end is not waited for.
const MAX_ANSWER: usize = 1 << 20;
/// How much of what a server says about a failure is shown, in characters.
const MAX_QUOTE: usize = 800;
/// Name lookup, TCP and TLS together. A firewall that drops everything is told from one that refuses only by this.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// The OPTIONS request is a courtesy: a server that does not answer it may still answer the offer.
const OPTIONS_DEADLINE: Duration = Duration::from_secs(2);
/// The session that is not deleted by then times out at the server.
const DELETE_DEADLINE: Duration = Duration::from_secs(3);
/// How the program introduces itself.
const AGENT: &str = concat!("camgate-play/", env!("CARGO_PKG_VERSION"));
/// RFC 9110 section 15.4 leaves the number open; browsers follow 20.
const MAX_REDIRECTS: usize = 10;
/// When a server that is busy does not say when to come back.
const COME_BACK: Duration = Duration::from_secs(2);

/// A bearer token (RFC 6750), which is never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes the token without the white space around it, which files end with.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why no usable response came.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    /// The client could not be made.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(String),
    /// The token has letters that no header can carry.
    #[error("the token has characters that an HTTP header cannot carry")]
    BadToken,
    /// Nobody answers there.
    #[error("the server at {address} cannot be reached: {cause}")]
    Unreachable { address: String, cause: String },
    /// Its certificate is not trusted.
    #[error("the certificate of {address} is not trusted ({cause}); --insecure accepts it")]
    Certificate { address: String, cause: String },
    /// A connection, but no response in time.
    #[error("the server at {address} was reached, but did not answer within {:.1} s", .after.as_secs_f64())]
    Silent { address: String, after: Duration },
    /// It sends from one address to the next.
    #[error("the server at {address} redirects again and again")]
    Redirects { address: String },
    /// A response that breaks off, or no HTTP.
    #[error("what the server at {address} sent is no HTTP response: {cause}")]
    Broken { address: String, cause: String },
}

/// A session that was made.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) sdp: String,
    /// The session resource, absolute; none when the server did not name one.
    pub(super) session: Option<Url>,
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    pub(super) ice_servers: Vec<IceServer>,
    /// Where redirects led.
    pub(super) endpoint: Url,
    /// Where the HTTP response came from.
    pub(super) from: Option<IpAddr>,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// In the server's words; empty when it has none.
    pub(super) reason: String,
    /// When a server that may say yes later wants to be asked again.
    pub(super) retry_after: Option<Duration>,
    /// Of a redirect that is not followed.
    pub(super) location: Option<String>,
}

/// Speaks to one WHEP endpoint.
#[derive(Debug)]
pub(super) struct Whep {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Url,
    authorization: Option<HeaderValue>,
}

impl Whep {
    pub(super) fn new(endpoint: &Url, token: Option<&Token>, insecure: bool) -> Result<Self, HttpError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_DEADLINE));
        let https = tls::connector(tcp, insecure).map_err(|error| HttpError::Setup(error.to_string()))?;
        let http = Client::builder(TokioExecutor::new()).build(https);
        let authorization = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.0)).map_err(|_| HttpError::BadToken)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { http, endpoint: endpoint.clone(), authorization: authorization.transpose()? })
    }

    /// The ICE servers to gather with, if the server tells them before the offer (WHEP section 4.6).
    pub(super) async fn ice_servers(&self) -> Vec<IceServer> {
        match timeout(OPTIONS_DEADLINE, self.send(Method::OPTIONS, &self.endpoint, "")).await {
            Ok(Ok((_, response))) => links(response.headers()),
            _ => Vec::new(),
        }
    }

    /// Posts the offer and waits for `patience` at most.
    pub(super) async fn post(&self, offer: &str, patience: Duration) -> Result<Result<Created, Refused>, HttpError> {
        let exchange = async {
            let (endpoint, response) = self.send(Method::POST, &self.endpoint, offer).await?;
            let (head, body) = response.into_parts();
            let body = text(body).await.map_err(|error| failure(&endpoint, &error))?;
            Ok((endpoint, head, body))
        };
        let silent = |_| HttpError::Silent { address: address(&self.endpoint), after: patience };
        let (endpoint, head, body) = timeout(patience, exchange).await.map_err(silent)??;
        let header = |name| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        let (location, content_type) = (header(LOCATION), header(CONTENT_TYPE));
        let status = head.status;
        if status.is_success() {
            let session = location.and_then(|location| endpoint.join(&location).ok());
            let ice_servers = links(&head.headers);
            let from = head.extensions.get::<HttpInfo>().map(|info| info.remote_addr().ip());
            return Ok(Ok(Created { sdp: body, session, status, content_type, ice_servers, endpoint, from }));
        }
        let busy =
            matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let wanted = header(RETRY_AFTER).and_then(|seconds| Some(Duration::from_secs(seconds.parse().ok()?)));
        let retry_after = busy.then(|| wanted.unwrap_or(COME_BACK));
        Ok(Err(Refused { status, reason: reason(&body, content_type.as_deref()), retry_after, location }))
    }

    /// Ends the session; the status, or none when there was no answer.
    pub(super) async fn delete(&self, session: &Url) -> Option<StatusCode> {
        let response = timeout(DELETE_DEADLINE, self.send(Method::DELETE, session, "")).await;
        Some(response.ok()?.ok()?.1.status())
    }

    /// Why the session is over, in the server's words, if it is and there are any.
    pub(super) async fn why_over(&self, session: &Url) -> Option<String> {
        let asked = async {
            let (_, response) = self.send(Method::GET, session, "").await.ok()?;
            let (head, body) = response.into_parts();
            let content_type = head.headers.get(CONTENT_TYPE)?.to_str().ok()?.to_owned();
            let body = text(body).await.ok()?;
            (head.status == StatusCode::GONE).then(|| reason(&body, Some(&content_type)))
        };
        timeout(DELETE_DEADLINE, asked).await.ok()?.filter(|reason| !reason.is_empty())
    }

    /// The response, and where it came from.
    async fn send(&self, method: Method, url: &Url, body: &str) -> Result<(Url, Response<Incoming>), HttpError> {
        let mut url = url.clone();
        for _ in 0..MAX_REDIRECTS {
            let request = self.request(&method, &url, body)?;
            let response =
                self.http.request(request).await.map_err(|error| {
                    if error.is_connect() { unreachable(&url, &error) } else { failure(&url, &error) }
                })?;
            match redirection(&response).and_then(|location| url.join(location).ok()) {
                Some(next) if matches!(next.scheme(), "http" | "https") => url = next,
                _ => return Ok((url, response)),
            }
        }
        Err(HttpError::Redirects { address: address(&url) })
    }

    fn request(&self, method: &Method, url: &Url, body: &str) -> Result<Request<Full<Bytes>>, HttpError> {
        let mut request = Request::builder().method(method).uri(url.as_str()).header(USER_AGENT, AGENT);
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, SDP);
        }
        // A redirect or a session resource may lie elsewhere; the token is for the endpoint alone.
        if let Some(value) = self.authorization.as_ref().filter(|_| url.origin() == self.endpoint.origin()) {
            request = request.header(AUTHORIZATION, value.clone());
        }
        request.body(Full::from(body.to_owned())).map_err(|error| HttpError::Setup(error.to_string()))
    }
}

/// `scheme://host:port`, which holds no secret.
fn address(url: &Url) -> String {
    url[..url::Position::BeforePath].to_owned()
}

fn unreachable(url: &Url, error: &dyn Error) -> HttpError {
    let (address, cause) = (address(url), root_cause(error));
    if cause.contains("certificate") {
        return HttpError::Certificate { address, cause };
    }
    let cause = if cause.contains("deadline has elapsed") {
        "nothing answers there".to_owned()
    } else if cause.contains("corrupt message") {
        "it does not speak TLS; try http://".to_owned()
    } else {
        cause
    };
    HttpError::Unreachable { address, cause }
}

fn failure(url: &Url, error: &dyn Error) -> HttpError {
    HttpError::Broken { address: address(url), cause: root_cause(error) }
}

/// Where to ask again. 307 and 308 keep a POST a POST; after the others clients would ask with GET, which makes no
/// session, so that the redirect itself is the better thing to report.
fn redirection(response: &Response<Incoming>) -> Option<&str> {
    let keeps = matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if keeps { response.headers().get(LOCATION)?.to_str().ok() } else { None }
}

fn links(headers: &HeaderMap) -> Vec<IceServer> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(ice_servers).collect()
}

/// A response's body, up to a limit.
async fn text<B: Body<Data = Bytes> + Unpin>(mut body: B) -> Result<String, B::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MAX_ANSWER {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The `detail` or `title` of a problem document (RFC 9457), else the text itself unless it is a page.
fn reason(body: &str, content_type: Option<&str>) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(body).ok();
    if let Some(problem) = problem.as_ref().and_then(|problem| problem.as_object()) {
        let told = ["detail", "title", "error", "message"].iter().find_map(|key| problem.get(*key)?.as_str());
        return told.map(readable).unwrap_or_default();
    }
    if content_type.is_some_and(|found| found.contains("html")) { String::new() } else { readable(body) }
}

/// What a stranger sends, fit for a terminal: no control characters, not long.
pub(super) fn readable(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(MAX_QUOTE).collect();
    if short.len() < line.len() {
        short.push_str("...");
    }
    short
}

/// The innermost error, where the system's own words are.
fn root_cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    readable(&innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_quoted_without_what_a_terminal_would_obey() {
        assert_eq!(readable("no\x1b[2J such\r\n\tcamera"), "no [2J such camera");
        assert_eq!(readable(&"x".repeat(1_000)).len(), MAX_QUOTE + 3);
        let problem = r#"{"type":"about:blank","title":"No","detail":"There is no camera named \"x\"."}"#;
        assert_eq!(reason(problem, None), "There is no camera named \"x\".");
        assert_eq!(reason("<html>nginx</html>", Some("text/html")), "");
        assert_eq!(reason("stream not found\n", Some("text/plain")), "stream not found");
    }

    #[test]
    fn a_token_is_not_printed_and_not_sent_elsewhere() {
        let endpoint = Url::parse("https://a.example/whep").unwrap();
        let whep = Whep::new(&endpoint, Some(&Token::new(" secret\n")), false).unwrap();
        assert!(!format!("{whep:?}").contains("secret"));
        let carries = |url: &str| {
            let request = whep.request(&Method::DELETE, &Url::parse(url).unwrap(), "").unwrap();
            request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(carries("https://a.example/session/1").as_deref(), Some("Bearer secret"));
        assert_eq!(carries("https://b.example/session/1"), None);
        assert_eq!(carries("http://a.example/session/1"), None);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        let endpoint = Url::parse("http://a.example/whep").unwrap();
        let refused = Whep::new(&endpoint, Some(&Token::new("two\nlines")), false);
        assert!(matches!(refused, Err(HttpError::BadToken)));
    }
}
