//! What every request has to get past.

mod identify;
mod succession;

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::DefaultDirectRateLimiter;
use tokio::sync::watch;
use tracing::{info, warn};

pub(super) use self::identify::refused;
use self::identify::{Way, is_our_wish};
use super::{
    Caller, End, TokenHash, User,
    cookies::{Cookies, Login},
    forward::{Forward, Question},
    guest,
    jwt::Jwt,
    login,
    near::{Neighbours, Strange},
    owners::Owners,
    passwords::{Passwords, Users, uneven_passwords},
    private::is_private,
    rights::{Need, need},
    share::Shares,
    throttle::Throttle,
};
use crate::http::{BaseUrl, cors, page, problem::Problem, rate::Client, site::Site};

/// Both ways, for programs (RFC 9110 section 11.6.1).
const CHALLENGE: &str = "Basic realm=\"camgate\", charset=\"UTF-8\", Bearer realm=\"camgate\"";
/// For scripts in pages: of Basic a browser would ask its user, over our page.
const CHALLENGE_SCRIPT: &str = "Bearer realm=\"camgate\"";

/// Knows the users.
pub(in crate::http) struct Gate {
    users: Users,
    tokens: HashMap<TokenHash, Arc<User>>,
    jwt: Option<Arc<Jwt>>,
    forward: Option<Arc<Forward>>,
    /// Without users: everybody is answered, wherever from.
    is_open: bool,
    lasting: Arc<Lasting>,
    cookies: Arc<Cookies>,
    shares: Arc<Shares>,
    /// Where the last two are kept.
    state_dir: PathBuf,
    /// How long a login lasts.
    lifetime: Duration,
    /// What links begin with, where it is not what the page was loaded by.
    public_url: Option<BaseUrl>,
    neighbours: Neighbours,
}

/// What stays when the configuration is another.
struct Lasting {
    throttle: Arc<Throttle>,
    /// One line a second about tokens that nobody has.
    token_lines: DefaultDirectRateLimiter,
    passwords: Arc<Passwords>,
    owners: Owners,
    /// The gate that requests have to get past now.
    latest: watch::Sender<Weak<Gate>>,
}

/// How many users, and nothing that is secret.
impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Gate {
    /// Says in the log who is answered.
    pub(in crate::http) fn announce(&self, listening: SocketAddr) {
        match (self.users.len(), self.is_open) {
            _ if self.jwt.is_some() || self.forward.is_some() => {
                info!(users = self.users.len(), "nobody is answered without a password or a token")
            }
            (0, true) => warn!(
                "[http] allow_anonymous: everybody who reaches {listening} can watch every camera, without a password"
            ),
            (0, false) if listening.ip().is_loopback() => {}
            (0, false) => info!(
                "there is no [[user]], so only this machine and private networks are answered, without a password; \
                 others are refused"
            ),
            (count, _) => info!(users = count, "nobody is answered without a password or a token"),
        }
        if let Some(warning) = uneven_passwords(self.users.values().map(|user| &**user)) {
            warn!("{warning}");
        }
    }

    /// Under which names it is found, and by whose pages.
    pub(in crate::http) fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// Wrong names, passwords and tokens so far.
    pub(in crate::http) fn failures(&self) -> u64 {
        self.lasting.throttle.failures()
    }

    /// Whether there is anybody to log in as.
    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty() || self.jwt.is_some() || self.forward.is_some()
    }

    pub(super) fn passwords(&self) -> &Arc<Passwords> {
        &self.lasting.passwords
    }

    pub(super) fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// The links that there are.
    pub(in crate::http) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// What links begin with, if that is known.
    pub(in crate::http) fn public_url(&self) -> Option<&BaseUrl> {
        self.public_url.as_ref()
    }

    /// The user of that name.
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(|user| &**user)
    }

    pub(super) fn throttle(&self) -> &Throttle {
        &self.lasting.throttle
    }

    /// Whether a line about a wrong token may go into the log.
    pub(super) fn may_log(&self) -> bool {
        self.lasting.token_lines.check().is_ok()
    }

    /// Whose sessions are whose.
    pub(super) fn owners(&self) -> &Owners {
        &self.lasting.owners
    }

    /// The login that a request's cookie proves.
    pub(super) fn login(&self, headers: &HeaderMap) -> Option<(Login, Arc<User>)> {
        let login = self.cookies.read(headers, SystemTime::now())?;
        let user = self.users.get(&login.user).filter(|user| self.cookies.is_of(&login, user))?.clone();
        Some((login, user))
    }

    /// Who may go on, or why not.
    async fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        site: &Site,
        need: Need,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Caller, Problem> {
        if !self.has_users() {
            let is_near = is_private(address) && !site.is_veiled;
            let anyone = || Caller::Anyone { is_near, gate: self.clone() };
            return match self.is_open || need == Need::Nothing {
                true => Ok(anyone()),
                false if !is_private(address) => Err(Problem::stranger()),
                // Everybody in the world may be behind a proxy in a private network.
                false if site.is_veiled => Err(Problem::veiled(address)),
                false => match self.neighbours.check(headers, site, is_preflight(method, headers)) {
                    Ok(()) => Ok(anyone()),
                    Err(Strange::Name(name)) => Err(Problem::foreign_name(&name)),
                    Err(Strange::Page) => Err(Problem::foreign_origin()),
                },
            };
        }
        if need == Need::Nothing || is_preflight(method, headers) {
            return Ok(Caller::Nobody);
        }
        let question = || Question::new(address, site, method, uri, headers);
        let (user, way) = self.identify(address, headers, question).await?.ok_or_else(Problem::login_needed)?;
        if !is_our_wish(&way, method, headers, site) {
            return Err(Problem::foreign_page());
        }
        let (login, ends) = match way {
            Way::Cookie(login) => (Some(login), None),
            Way::Jwt(ends) => (None, Some(End::At(ends))),
            Way::Forwarded(question) => (None, Some(End::Refused(question))),
            Way::Password | Way::Token => (None, None),
        };
        let caller = Caller::User { user, login, ends, gate: self.clone() };
        match need {
            Need::OneOf(actions) if !actions.iter().any(|action| caller.may(*action)) => {
                let names: Vec<_> = actions.iter().map(|action| action.name()).collect();
                Err(Problem::not_your_action(&names.join(" or ")))
            }
            _ => Ok(caller),
        }
    }
}

/// The middleware around everything.
pub(super) async fn guard(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let Some((Client(address), site)) = extensions.get::<Client>().copied().zip(extensions.get::<Site>().cloned())
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let need = need(route.as_deref(), request.uri().path());
    let admitted = match guest::presented(route.as_deref(), request.uri(), request.headers()) {
        Some(link) if need != Need::Nothing => gate.admit_guest(address, route.as_deref(), link).map_err(Problem::from),
        _ => gate.admit(address, &site, need, request.method(), request.uri(), request.headers()).await,
    };
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => {
            refuse(&gate, &site, problem, request.method(), request.uri(), request.headers(), route.as_deref()).await
        }
    }
}

/// The refusal, as a person in front of a browser, a script or a program can use it.
async fn refuse(
    gate: &Gate,
    site: &Site,
    problem: Problem,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    route: Option<&str>,
) -> Response {
    let is_page = matches!(route, Some("/" | "/watch/{camera}" | "/publish/{camera}")) && method == Method::GET;
    let needs_login = problem.status() == StatusCode::UNAUTHORIZED.as_u16();
    let is_person = is_page && accepts_html(headers) && !headers.contains_key(header::AUTHORIZATION);
    if is_person && needs_login {
        // The service outside has a login page of its own.
        return problem.login_at().map_or_else(|| login::redirect(uri, site), login::elsewhere);
    }
    if is_person && !gate.has_users() {
        return page::refusal(&problem, site).await;
    }
    let mut response = problem.into_response();
    if needs_login {
        let challenge = if is_script(headers) { CHALLENGE_SCRIPT } else { CHALLENGE };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let path = uri.path();
    let is_for_all_pages = path.starts_with("/whep/") || path.starts_with("/whip/") || path.starts_with("/api/");
    if is_for_all_pages { cors::expose(response).await } else { response }
}

/// What a browser asks before it lets a page of another origin send a request; it has no credentials.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && !headers.contains_key(header::AUTHORIZATION)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|text| text.contains("text/html")))
}

/// As far as can be told: browsers send `Origin` with what is more than a GET, and our pages use the cookie.
fn is_script(headers: &HeaderMap) -> bool {
    let is_stream = headers.get(header::ACCEPT).is_some_and(|accept| accept == "text/event-stream");
    is_stream || headers.contains_key(header::ORIGIN) || headers.contains_key(header::COOKIE)
}
