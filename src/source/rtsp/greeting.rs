//! What a camera says to somebody it does not know: the answer to a DESCRIBE without credentials, on a connection of its own.
//!
//! retina keeps the headers of answers to itself, and `camgate probe` is to tell how a camera wants to be asked for a
//! password. Nothing else depends on it: what cannot be read is not said.

use std::{
    io,
    time::{Duration, Instant},
};

use http_auth::{ChallengeRef, parse_challenges};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use url::Url;

use super::{DESCRIBE_LIMIT, Input, PORT, USER_AGENT};
use crate::source::{
    Error, Step,
    config::{parse_url, redact_url},
    error::redacted,
};

/// Longest head of an answer; more is not read.
const LONGEST: usize = 16 * 1_024;
/// For the answer. The conversation that counts comes after, with limits of its own.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// An answer's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// RTSP status code.
    pub status: u16,
    /// `Server`: what the camera runs, as it says.
    pub server: Option<String>,
    /// How it wants to be told a password: `Basic`, `Digest MD5`, `Digest SHA-256`; the schemes' own names for others.
    pub authentication: Vec<String>,
    /// `Location`: where it sends its clients.
    pub(super) location: Option<String>,
}

impl Input {
    /// Connects and asks. Gives when the connection stood, and the answer if it is one.
    ///
    /// # Errors
    /// Only when there is no connection.
    pub(super) async fn greet(&self) -> Result<(Instant, Option<Greeting>), Error> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let connecting = TcpStream::connect((host, self.url.port().unwrap_or(PORT)));
        let connected =
            timeout(DESCRIBE_LIMIT, connecting).await.map_err(|_| self.late(Step::Connect, DESCRIBE_LIMIT))?;
        let stream = connected.map_err(|error| Error::unconnected(&self.peer, &error))?;
        let connected = Instant::now();
        let answer = timeout(ANSWER_LIMIT, ask(stream, self.url.as_str())).await;
        Ok((connected, answer.ok().and_then(Result::ok).and_then(|head| Greeting::read(&head))))
    }
}

impl Input {
    /// Where a camera that answers a redirection sends its clients: only to another place of its own host, because whoever comes
    /// there is told the password.
    ///
    /// # Errors
    /// It sends them to another host, or does not say where to.
    pub(super) async fn moved(&self, status: u16) -> Result<Url, Error> {
        let answer = self.greet().await.ok().and_then(|(_, greeting)| greeting?.location);
        let place = answer.and_then(|place| self.url.join(&place).ok());
        match place.map(|place| parse_url(place.as_str())) {
            Some(Ok(place)) if place.host() == self.url.host() => Ok(place),
            Some(Ok(place)) => Err(Error::Moved { to: redact_url(place.as_str()), status }),
            Some(Err(_)) | None => Err(Error::Status { step: Step::Describe, status }),
        }
    }
}

async fn ask(mut stream: TcpStream, url: &str) -> io::Result<String> {
    let request =
        format!("DESCRIBE {url} RTSP/1.0\r\nAccept: application/sdp\r\nCSeq: 1\r\nUser-Agent: {USER_AGENT}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while head.len() < LONGEST && !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

impl Greeting {
    fn read(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
        let status = lines.next()?.strip_prefix("RTSP/")?.split(' ').nth(1)?.parse().ok()?;
        let mut greeting = Self { status, server: None, authentication: Vec::new(), location: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("server") {
                greeting.server = redacted(value);
            } else if name.eq_ignore_ascii_case("location") {
                greeting.location = Some(value.trim().to_owned());
            } else if name.eq_ignore_ascii_case("www-authenticate") {
                let kinds = parse_challenges(value.trim()).unwrap_or_default();
                greeting.authentication.extend(kinds.iter().filter_map(|challenge| redacted(&kind(challenge))));
            }
        }
        Some(greeting)
    }
}

fn kind(challenge: &ChallengeRef<'_>) -> String {
    if !challenge.scheme.eq_ignore_ascii_case("digest") {
        return challenge.scheme.to_owned();
    }
    let algorithm = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case("algorithm"));
    // RFC 7616 section 3.3.
    let algorithm = algorithm.map_or_else(|| "MD5".to_owned(), |(_, value)| value.to_unescaped());
    format!("Digest {algorithm}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Greeting> {
        Greeting::read(&(lines.join("\r\n") + "\r\n\r\nbody: no header"))
    }

    #[test]
    fn tells_how_a_camera_asks_for_a_password() {
        let asks = |header: &str| read(&["RTSP/1.0 401 Unauthorized", "CSeq: 1", header]).unwrap().authentication;
        assert_eq!(asks("WWW-Authenticate: Basic realm=\"cam\""), ["Basic"]);
        assert_eq!(asks("www-authenticate: Digest realm=\"cam\", nonce=\"a,b\""), ["Digest MD5"]);
        assert_eq!(
            asks("WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", algorithm=SHA-256, Basic realm=\"c\""),
            ["Digest SHA-256", "Basic"]
        );
        assert_eq!(asks("WWW-Authenticate: ,,="), Vec::<String>::new());
    }

    #[test]
    fn each_line_may_hold_a_challenge() {
        let answer = read(&[
            "RTSP/1.0 401 Unauthorized",
            "Server: Rtsp Server/3.0\u{1b}[2J",
            "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\"",
            "WWW-Authenticate: Basic realm=\"c\"",
        ]);
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.authentication.len()), (401, 2));
        assert_eq!(answer.server.as_deref(), Some("Rtsp Server/3.0[2J"), "no control characters");
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        for head in ["", "HTTP/1.1 400 Bad Request\r\n\r\n", "RTSP/1.0", "RTSP/1.0 abc\r\n", "$\0\0"] {
            assert_eq!(Greeting::read(head), None, "{head:?}");
        }
    }
}
