//! Forward-auth: asks a service outside who somebody is, by one request with what theirs had to say so, as Traefik and nginx's
//! `auth_request` do. 2xx lets them in. Its verdicts are kept for a moment, for the same request of the same address only.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Empty;
use ring::{hmac, rand::SystemRandom};
use thiserror::Error;
use tokio::time::sleep;

use super::{
    Action, Cameras, User, UserName,
    outward::{Outward, Unanswered},
};
use crate::{
    http::site::Site,
    places::{NoPlace, Places},
};

/// Requests to the service at one time, and of them for one customer: who makes up cookies keeps nobody else from asking.
const AT_ONCE: (usize, usize) = (64, 8);
/// Verdicts that are kept. Beyond, each request is asked for.
const MAX_KEPT: usize = 10_000;
/// Between two questions whether somebody who watches still may.
const AGAIN: Duration = Duration::from_secs(10);
/// Stands in front of the names of its users, so that they are nobody else's.
const PREFIX: &str = "forward";
/// What a service is told of a request beside its credentials.
const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// `[http.forward_auth]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardConfig {
    /// Which is asked.
    pub url: Uri,
    /// What its answer calls the user in.
    pub user_header: HeaderName,
    /// What its answer has the user's cameras in; all, if there is no such header to be.
    pub cameras_header: Option<HeaderName>,
    /// How long a verdict is kept.
    pub cache: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// What the service says.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    LetIn(Arc<User>),
    /// Not so, but perhaps after a login there.
    Refused(Option<String>),
}

/// Why there is no verdict: nobody is let in then.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum NoVerdict {
    #[error("{0}")]
    Unanswered(#[from] Unanswered),
    #[error("it answers {0}")]
    Failed(u16),
    #[error("it lets somebody in and does not say whom: {0} is not there, or no name")]
    Nameless(HeaderName),
    #[error("too many requests wait for it")]
    Busy,
}

impl From<NoPlace> for NoVerdict {
    fn from(_: NoPlace) -> Self {
        Self::Busy
    }
}

/// What the service is asked. Without `Debug`, so that nothing prints it.
pub(in crate::http) struct Question {
    address: IpAddr,
    fields: HeaderMap,
}

impl Question {
    pub(super) fn new(address: IpAddr, site: &Site, method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let mut fields = HeaderMap::new();
        for name in [header::COOKIE, header::AUTHORIZATION, header::ACCEPT, header::USER_AGENT] {
            for value in headers.get_all(&name) {
                fields.append(name.clone(), value.clone());
            }
        }
        let path = site.path(uri.path_and_query().map_or("/", |path| path.as_str()));
        let mut tell = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                fields.insert(name, value);
            }
        };
        tell(METHOD, method.as_str());
        tell(PROTO, if site.is_secure { "https" } else { "http" });
        tell(URI, &path);
        tell(FOR, &address.to_canonical().to_string());
        if let Some(host) = headers.get(header::HOST) {
            fields.insert(HOST, host.clone());
        }
        Self { address, fields }
    }
}

/// Knows the users of a service.
pub(super) struct Forward {
    config: ForwardConfig,
    outward: Outward,
    /// Of the cache, in which no credentials stand.
    key: hmac::Key,
    kept: Mutex<HashMap<[u8; 32], (Verdict, Instant)>>,
    places: Places,
}

impl Forward {
    /// Whether it is made by these settings.
    pub(super) fn is_of(&self, config: &ForwardConfig) -> bool {
        self.config == *config
    }

    /// `None` on a machine without random numbers.
    pub(super) fn new(config: &ForwardConfig) -> Option<Self> {
        let (all, each) = AT_ONCE;
        Some(Self {
            outward: Outward::new(config.timeout),
            config: config.clone(),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?,
            kept: Mutex::default(),
            places: Places::behind_proxy(all, each),
        })
    }

    /// The service's verdict, or that of a moment ago.
    pub(super) async fn ask(&self, question: &Question) -> Result<Verdict, NoVerdict> {
        let (tag, now) = (self.tag(question), Instant::now());
        let kept = self.lock().get(&tag).filter(|(_, until)| *until > now).map(|(verdict, _)| verdict.clone());
        if let Some(verdict) = kept {
            return Ok(verdict);
        }
        let verdict = self.ask_service(question).await?;
        let mut kept = self.lock();
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (_, until)| *until > now);
        }
        if kept.len() < MAX_KEPT {
            kept.insert(tag, (verdict.clone(), now + self.config.cache));
        }
        Ok(verdict)
    }

    /// Completes when the service lets somebody in no more, or somebody else. One that does not answer has not said so.
    pub(super) async fn refused(&self, question: &Question, user: &User) {
        loop {
            sleep(AGAIN.max(self.config.cache)).await;
            let goes_on = match self.ask(question).await {
                Ok(Verdict::LetIn(now)) => now.name == user.name && now.cameras == user.cameras,
                Ok(Verdict::Refused(_)) => false,
                Err(_) => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn ask_service(&self, question: &Question) -> Result<Verdict, NoVerdict> {
        let _place = self.places.take(question.address)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.config.url.clone();
        *request.headers_mut() = question.fields.clone();
        let answer = self.outward.ask(request).await?;
        let text = |name: &HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        match answer.status().as_u16() {
            200..300 => {
                let name = text(&self.config.user_header).and_then(|name| UserName::of_provider(PREFIX, name));
                let name = name.ok_or_else(|| NoVerdict::Nameless(self.config.user_header.clone()))?;
                let cameras = self.config.cameras_header.as_ref().map_or(Cameras::All, |header| cameras(text(header)));
                Ok(Verdict::LetIn(Arc::new(User {
                    name,
                    password: None,
                    token: None,
                    cameras,
                    actions: vec![Action::Watch],
                })))
            }
            300..400 => Ok(Verdict::Refused(text(&header::LOCATION).map(str::to_owned))),
            400..500 => Ok(Verdict::Refused(None)),
            status => Err(NoVerdict::Failed(status)),
        }
    }

    /// Two questions have the same one if all of them is the same.
    fn tag(&self, question: &Question) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        for (name, value) in &question.fields {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Verdict, Instant)>> {
        self.kept.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Names with commas or spaces between; without any, no camera.
fn cameras(text: Option<&str>) -> Cameras {
    let names: Vec<_> = text.unwrap_or_default().split([',', ' ']).filter(|name| !name.is_empty()).collect();
    if names.contains(&"*") { Cameras::All } else { Cameras::Only(names.into_iter().map(str::to_owned).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(path: &str, fields: &[(HeaderName, &str)]) -> Question {
        let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect();
        let uri = path.parse().expect("a path");
        Question::new([192, 0, 2, 1].into(), &Site::plain(), &Method::GET, &uri, &headers)
    }

    #[test]
    fn a_verdict_is_for_the_same_request_only() {
        let config = ForwardConfig {
            url: Uri::from_static("http://127.0.0.1:9/"),
            user_header: HeaderName::from_static("remote-user"),
            cameras_header: None,
            cache: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
        };
        let forward = Forward::new(&config).expect("random numbers");
        let tag = |question: &Question| forward.tag(question);
        let anna = question("/whep/front", &[(header::COOKIE, "session=anna")]);
        assert_eq!(tag(&anna), tag(&question("/whep/front", &[(header::COOKIE, "session=anna")])));
        for other in [
            question("/whep/back", &[(header::COOKIE, "session=anna")]),
            question("/whep/front", &[(header::COOKIE, "session=bert")]),
            question("/whep/front", &[(header::AUTHORIZATION, "session=anna")]),
            question("/whep/front", &[(header::COOKIE, "session=anna"), (header::HOST, "other")]),
            question("/whep/front", &[]),
        ] {
            assert_ne!(tag(&anna), tag(&other));
        }
        assert_eq!(anna.fields["x-forwarded-for"], "192.0.2.1");
        assert_eq!(anna.fields["x-forwarded-uri"], "/whep/front");
        assert_ne!(Forward::new(&config).expect("random numbers").tag(&anna), tag(&anna), "another key");
    }

    #[test]
    fn cameras_are_those_that_are_named() {
        let only = |names: &[&str]| Cameras::Only(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(cameras(Some("front, back")), only(&["front", "back"]));
        assert_eq!(cameras(Some("front back,")), only(&["front", "back"]));
        assert_eq!((cameras(Some("")), cameras(None)), (only(&[]), only(&[])));
        assert_eq!(cameras(Some("front,*")), Cameras::All);
    }
}
