//! One question to one device: SOAP over HTTP, with a login where there is one (ONVIF Core section 5.9, WS-Security
//! UsernameToken; HTTP Digest where the device asks for that).

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_auth::{PasswordClient, PasswordParams};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT, WWW_AUTHENTICATE},
};
use hyper_util::rt::TokioIo;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use crate::source::config::Credentials;
use crate::xml::{Document, readable};

/// For one question, from the connection to the end of the answer.
const LIMIT: Duration = Duration::from_secs(5);
/// A larger answer is not read.
const MAX_ANSWER: usize = 1 << 20;

/// A device, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Where it is; nobody else is asked.
    pub(super) ip: IpAddr,
    pub(super) login: Option<Credentials>,
    /// By how many seconds its clock is ahead of ours.
    pub(super) ahead_s: i64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It wants a login, or another.
    #[error("login refused ({status})")]
    Login {
        /// HTTP status.
        status: u16,
    },
    /// It says that it is somewhere else.
    #[error("{address} is not at the address that answered, or not plain http: it is not asked")]
    Elsewhere {
        /// As it says.
        address: String,
    },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Asker {
    /// The answer's text to `body`, what stands in SOAP's `Body`.
    ///
    /// # Errors
    /// Why there is none; `Login` also for a SOAP fault that says so.
    pub(super) async fn ask(&self, url: &str, body: &str, log_in: bool) -> Result<String, Refusal> {
        let elsewhere = || Refusal::Elsewhere { address: readable(url) };
        let url = Url::parse(url).ok().filter(|url| self.is_at(url)).ok_or_else(elsewhere)?;
        let login = self.login.as_ref().filter(|_| log_in);
        let late = |_| Refusal::Failed(format!("no answer within {} s", LIMIT.as_secs()));
        timeout(LIMIT, self.exchange(&url, body, login)).await.map_err(late)?
    }

    fn is_at(&self, url: &Url) -> bool {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            // A name would have to be looked up, where somebody else could answer.
            Some(Host::Domain(_)) | None => return false,
        };
        url.scheme() == "http" && ip == self.ip
    }

    async fn exchange(&self, url: &Url, body: &str, login: Option<&Credentials>) -> Result<String, Refusal> {
        let envelope = envelope(body, login.map(|login| self.token(login)));
        let action = action(body);
        let mut response = self.post(url, &action, &envelope, None).await?;
        if let (StatusCode::UNAUTHORIZED, Some(login)) = (response.status(), login)
            && let Some(authorization) = answer_challenge(&response, url, login)
        {
            response = self.post(url, &action, &envelope, Some(authorization)).await?;
        }
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| Refusal::Failed(readable(&error.to_string())))?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        match status {
            401 | 403 => Err(Refusal::Login { status }),
            200 | 400 | 500 => match fault(&text) {
                Some((true, _)) => Err(Refusal::Login { status }),
                Some((false, reason)) => Err(Refusal::Failed(reason)),
                None if status == 200 => Ok(text),
                None => Err(Refusal::Failed(format!("status {status}"))),
            },
            _ => Err(Refusal::Failed(format!("status {status}"))),
        }
    }

    async fn post(
        &self,
        url: &Url,
        action: &str,
        envelope: &str,
        authorization: Option<String>,
    ) -> Result<Response<Incoming>, Refusal> {
        let failed = |error: &dyn std::fmt::Display| Refusal::Failed(readable(&error.to_string()));
        let port = url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((self.ip, port)).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Ends with the sender, or breaks: then the answer tells.
        drop(tokio::spawn(connection));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&url[url::Position::BeforePath..])
            .header(HOST, &url[url::Position::BeforeHost..url::Position::AfterPort])
            .header(USER_AGENT, concat!("camgate/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, format!("application/soap+xml; charset=utf-8; action=\"{action}\""));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(envelope.to_owned()))).map_err(|error| failed(&error))?;
        sender.send_request(request).await.map_err(|error| failed(&error))
    }

    /// WS-Security's header (UsernameToken Profile 1.0), by the device's clock.
    fn token(&self, login: &Credentials) -> String {
        let nonce: [u8; 16] = rand::random();
        let (now, apart) = (SystemTime::now(), Duration::from_secs(self.ahead_s.unsigned_abs()));
        let theirs = if self.ahead_s < 0 { now.checked_sub(apart) } else { now.checked_add(apart) };
        let created = humantime::format_rfc3339_seconds(theirs.unwrap_or(now)).to_string();
        let digest = digest(&nonce, &created, login.password.expose());
        let (user, nonce) = (escaped(&login.username), STANDARD.encode(nonce));
        format!(
            r#"<s:Header><Security s:mustUnderstand="1" xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"><UsernameToken><Username>{user}</Username><Password Type="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest">{digest}</Password><Nonce EncodingType="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary">{nonce}</Nonce><Created xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd">{created}</Created></UsernameToken></Security></s:Header>"#
        )
    }
}

fn digest(nonce: &[u8], created: &str, password: &str) -> String {
    // The standard has no other.
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    [nonce, created.as_bytes(), password.as_bytes()].iter().for_each(|part| context.update(part));
    STANDARD.encode(context.finish())
}

/// The action of `<Operation xmlns="namespace"...`, by which some devices tell questions apart (SOAP 1.2 part 2, section
/// 6.5.3): none of ONVIF's differs from namespace and operation.
fn action(body: &str) -> String {
    let operation = body.trim_start_matches('<').split([' ', '/', '>']).next().unwrap_or_default();
    let namespace = body.split('"').nth(1).unwrap_or_default();
    format!("{namespace}/{operation}")
}

fn envelope(body: &str, header: Option<String>) -> String {
    let header = header.unwrap_or_default();
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">{header}<s:Body>{body}</s:Body></s:Envelope>"#
    )
}

/// For an element's text or an attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn answer_challenge(response: &Response<Incoming>, url: &Url, login: &Credentials) -> Option<String> {
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut client =
        challenges.fold(PasswordClient::builder(), |builder, text| builder.challenges(text)).build().ok()?;
    // Basic would hand the password to whoever has answered.
    if matches!(client, PasswordClient::Basic(_)) {
        return None;
    }
    let uri = &url[url::Position::BeforePath..];
    let parameters = PasswordParams {
        username: &login.username,
        password: login.password.expose(),
        uri,
        method: "POST",
        body: Some(&[]),
    };
    client.respond(&parameters).ok()
}

/// Whether a fault is about the login, and what it says.
fn fault(text: &str) -> Option<(bool, String)> {
    let document = Document::read(text)?;
    let fault = document.first("Fault")?;
    let codes: Vec<_> = document.all("Value").filter_map(|value| value.text("Value")).collect();
    let about_login = |code: &&str| {
        ["NotAuthorized", "FailedAuthentication", "InvalidSecurity"].iter().any(|end| code.ends_with(end))
    };
    let reason = fault.text("Text").or_else(|| fault.text("faultstring")).unwrap_or("a SOAP fault");
    Some((codes.iter().any(about_login), readable(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_device_that_answered_is_asked() {
        let asker = Asker { ip: [192, 0, 2, 7].into(), login: None, ahead_s: 0 };
        let cases = [
            ("http://192.0.2.7/onvif/device_service", true),
            ("http://192.0.2.7:8080/x", true),
            ("http://3221225991/x", true),
            ("https://192.0.2.7/x", false),
            ("http://192.0.2.8/x", false),
            ("http://127.0.0.1/x", false),
            ("http://cam.example.org/x", false),
            ("http://192.0.2.7@127.0.0.1/x", false),
            ("file:///etc/passwd", false),
        ];
        for (url, allowed) in cases {
            assert_eq!(asker.is_at(&Url::parse(url).unwrap()), allowed, "{url}");
        }
    }

    /// ONVIF Programmer's Guide, section 6.1.1.3.
    #[test]
    fn the_password_digest_is_the_standards() {
        let nonce = STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        assert_eq!(digest(&nonce, "2010-09-16T07:50:45Z", "userpassword"), "tuOSpGlFlIXsozq4HFNeeGeFLEI=");
    }

    #[test]
    fn the_action_is_namespace_and_operation() {
        let asked =
            action(r#"<GetProfiles xmlns="http://www.onvif.org/ver20/media/wsdl"><Type>a</Type></GetProfiles>"#);
        assert_eq!(asked, "http://www.onvif.org/ver20/media/wsdl/GetProfiles");
        assert_eq!(action(r#"<A xmlns="urn:x"/>"#), "urn:x/A");
    }

    #[test]
    fn faults_about_the_login_are_told_from_others() {
        let text = |code: &str| {
            format!(
                r#"<s:Envelope xmlns:s="urn:s"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Code><s:Reason><s:Text>no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>"#
            )
        };
        assert_eq!(fault(&text("ter:NotAuthorized")), Some((true, "no".to_owned())));
        assert_eq!(fault(&text("wsse:FailedAuthentication")), Some((true, "no".to_owned())));
        assert_eq!(fault(&text("ter:ActionNotSupported")), Some((false, "no".to_owned())));
        assert_eq!(fault("<a/>"), None);
    }
}
