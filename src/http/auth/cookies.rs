//! The cookie that the login page gives: whose it is and until when, signed (HMAC-SHA256) with a key that outlives the
//! program. It is good for one password: with another one, all cookies that the old one gave are over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, CookieJar, Key, SameSite};
use ring::hmac;
use tokio::{sync::watch, time::sleep};
use tracing::warn;

use super::{User, state_dir::StateDir};

/// Its name.
const NAME: &str = "camgate_login";
/// Logins that were ended before their time and are remembered. Only a user can add one.
const MAX_REVOKED: usize = 10_000;
/// The file of them: id and end, in seconds since 1970, in a line each.
const LOGOUTS: &str = "logouts";
/// What the key is for.
const PURPOSE: &str = "login cookies";
/// What another key is for, by which a cookie knows its user's password.
const PASSWORDS: &str = "passwords of login cookies";

/// Gives cookies and knows them again.
pub(super) struct Cookies {
    state: Arc<StateDir>,
    /// As soon as it is known.
    key: OnceLock<Key>,
    /// Of the next one.
    lifetime: Mutex<Duration>,
    revoked: watch::Sender<HashMap<u128, SystemTime>>,
}

/// What a good cookie says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Login {
    pub(super) user: String,
    id: u128,
    ends: SystemTime,
    /// Stands for the password that was right.
    password: u64,
}

impl Cookies {
    /// Cookies that are good for `lifetime`, and logouts as far as they were kept.
    pub(super) fn new(lifetime: Duration, state: Arc<StateDir>, now: SystemTime) -> Self {
        let revoked = watch::Sender::new(logouts(&state, now));
        Self { state, key: OnceLock::new(), lifetime: Mutex::new(lifetime), revoked }
    }

    /// Cookies are good for so long from now on; those that were given before, as long as was said.
    pub(super) fn set_lifetime(&self, lifetime: Duration) {
        *self.lifetime.lock().unwrap_or_else(|e| e.into_inner()) = lifetime;
    }

    /// A `Set-Cookie` for `user`, of what is below the path `base`; `secure` keeps it off plain HTTP.
    pub(super) fn issue(&self, user: &User, base: &str, secure: bool, now: SystemTime) -> Option<HeaderValue> {
        let key = self.key.get_or_init(|| Key::from(&self.state.key_for_now(PURPOSE)));
        let lifetime = *self.lifetime.lock().unwrap_or_else(|e| e.into_inner());
        let (name, id, ends) = (&user.name, rand::random::<u128>(), seconds(now + lifetime));
        let password = self.password(user)?;
        let mut jar = CookieJar::new();
        jar.signed_mut(key).add(Cookie::new(NAME, format!("{name}.{id:032x}.{ends}.{password:016x}")));
        let signed = jar.get(NAME)?.value().to_owned();
        header_value(signed, base, secure, lifetime)
    }

    /// A `Set-Cookie` that takes it back.
    pub(super) fn cleared(base: &str) -> Option<HeaderValue> {
        header_value(String::new(), base, false, Duration::ZERO)
    }

    /// The login that a request's cookies prove. Others may set cookies of this name, as from another port of this host.
    pub(super) fn read(&self, headers: &HeaderMap, now: SystemTime) -> Option<Login> {
        let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
        let named = fields.flat_map(Cookie::split_parse).flatten().filter(|cookie| cookie.name() == NAME);
        let mut named = named.peekable();
        named.peek()?;
        let key = self.known_key()?;
        let jar = CookieJar::new();
        let proven = named.filter_map(|cookie| jar.signed(key).verify(cookie.into_owned()));
        let mut logins = proven.filter_map(|cookie| parse(cookie.value()));
        let revoked = self.revoked.borrow();
        logins.find(|login| login.ends > now && !revoked.contains_key(&login.id))
    }

    /// Whether a login was with the password that this user has today.
    pub(super) fn is_of(&self, login: &Login, user: &User) -> bool {
        login.user == user.name.as_str() && self.password(user) == Some(login.password)
    }

    fn known_key(&self) -> Option<&Key> {
        if let Some(key) = self.key.get() {
            return Some(key);
        }
        let key = Key::from(&self.state.known_key(PURPOSE)?);
        Some(self.key.get_or_init(|| key))
    }

    /// Of a user's name and password's hash; nobody can tell from it what they are.
    fn password(&self, user: &User) -> Option<u64> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.state.known_key(PASSWORDS)?);
        let hash = user.password.as_ref()?;
        let tag = hmac::sign(&key, format!("{} {}", user.name, hash.0).as_bytes());
        Some(u64::from_be_bytes(tag.as_ref().first_chunk().copied()?))
    }

    /// Ends a login before its time, also after a restart.
    pub(super) fn revoke(&self, login: &Login, now: SystemTime) {
        if let Err(error) = self.state.append(LOGOUTS, line(login.id, login.ends).as_bytes()) {
            warn!("{error}. What a user has logged out of is forgotten when the gateway restarts");
        }
        self.revoked.send_modify(|revoked| {
            revoked.retain(|_, ends| *ends > now);
            if revoked.len() >= MAX_REVOKED
                && let Some(id) = revoked.iter().min_by_key(|(_, ends)| **ends).map(|(id, _)| *id)
            {
                revoked.remove(&id);
            }
            revoked.insert(login.id, login.ends);
        });
    }

    /// Completes when a login ends, by itself or before its time.
    pub(super) async fn over(&self, login: &Login) {
        let left = login.ends.duration_since(SystemTime::now()).unwrap_or_default();
        let mut revoked = self.revoked.subscribe();
        tokio::select! {
            () = sleep(left) => {}
            // The sender lives as long as this does.
            () = async { drop(revoked.wait_for(|revoked| revoked.contains_key(&login.id)).await) } => {}
        }
    }
}

/// What is in the file and not over by itself; the rest is taken out of it.
fn logouts(state: &StateDir, now: SystemTime) -> HashMap<u128, SystemTime> {
    let text = state.read(LOGOUTS).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let all = text.lines().filter_map(|line| {
        let (id, ends) = line.split_once(' ')?;
        let ends = UNIX_EPOCH.checked_add(Duration::from_secs(ends.parse().ok()?))?;
        Some((u128::from_str_radix(id, 16).ok()?, ends))
    });
    let left: HashMap<_, _> = all.filter(|(_, ends)| *ends > now).collect();
    if left.len() < text.lines().count() {
        let text: String = left.iter().map(|(id, ends)| line(*id, *ends)).collect();
        if let Err(error) = state.replace(LOGOUTS, text.as_bytes()) {
            warn!("{error}");
        }
    }
    left
}

fn line(id: u128, ends: SystemTime) -> String {
    format!("{id:032x} {}\n", seconds(ends))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn header_value(value: String, base: &str, secure: bool, lifetime: Duration) -> Option<HeaderValue> {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((NAME, value))
        .path(if base.is_empty() { "/" } else { base }.to_owned())
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure)
        .max_age(cookie::time::Duration::seconds(seconds));
    let mut value = HeaderValue::from_str(&cookie.build().to_string()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `{user}.{id}.{end in seconds since 1970}.{password}`; a user's name may have dots in it.
fn parse(value: &str) -> Option<Login> {
    let mut parts = value.rsplitn(4, '.');
    let password = u64::from_str_radix(parts.next()?, 16).ok()?;
    let ends = UNIX_EPOCH.checked_add(Duration::from_secs(parts.next()?.parse().ok()?))?;
    let id = u128::from_str_radix(parts.next()?, 16).ok()?;
    Some(Login { user: parts.next()?.to_owned(), id, ends, password })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::{Cameras, hash_password};

    const HOUR: Duration = Duration::from_secs(3_600);

    fn sent(set: &HeaderValue) -> String {
        set.to_str().expect("a text").split(';').next().expect("a pair").to_owned()
    }

    fn request(cookies: &str) -> HeaderMap {
        [(header::COOKIE, cookies.parse().expect("a value"))].into_iter().collect()
    }

    fn user(name: &str) -> User {
        let password = hash_password("correct horse").expect("a hash").parse().ok();
        let name = name.parse().expect("a name");
        User { name, password, token: None, cameras: Cameras::All, actions: Vec::new() }
    }

    fn cookies() -> Cookies {
        Cookies::new(HOUR, Arc::new(StateDir::forgotten()), SystemTime::now())
    }

    #[test]
    fn a_login_outlives_the_program_but_not_its_password_and_a_logout_outlives_it_too() {
        let (folder, now) = (tempfile::tempdir().expect("a folder"), SystemTime::now());
        let started = |now| Cookies::new(HOUR, Arc::new(StateDir::new(folder.path())), now);
        let (first, anna) = (started(now), user("anna"));
        let kept = request(&sent(&first.issue(&anna, "", false, now).expect("a cookie")));
        let left = request(&sent(&first.issue(&anna, "", false, now).expect("a cookie")));
        first.revoke(&first.read(&left, now).expect("a login"), now);
        let second = started(now);
        let login = second.read(&kept, now).expect("a login");
        assert!(second.is_of(&login, &anna));
        assert!(!second.is_of(&login, &user("anna")), "another hash");
        assert!(!second.is_of(&login, &User { password: None, ..anna.clone() }), "no password");
        assert!(!second.is_of(&login, &User { name: "bert".parse().expect("a name"), ..anna }), "another user");
        assert_eq!(second.read(&left, now), None, "logged out");
        started(now + HOUR);
        assert_eq!(std::fs::read(folder.path().join(LOGOUTS)).expect("a file"), b"", "over by itself");
    }

    #[test]
    fn a_cookie_proves_a_login_until_its_end_or_until_it_is_revoked() {
        let (cookies, now) = (cookies(), SystemTime::now());
        let user = user("anna.b@example.org");
        let set = cookies.issue(&user, "", true, now).expect("a cookie");
        let text = set.to_str().expect("a text");
        for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=3600"] {
            assert!(text.contains(attribute), "{text}");
        }
        let good = request(&format!("other=1; camgate_login=tossed; {}", sent(&set)));
        let login = cookies.read(&good, now).expect("a login");
        assert_eq!(login.user, user.name.as_str());
        assert!(cookies.read(&good, now + HOUR - Duration::from_secs(2)).is_some());
        assert_eq!(cookies.read(&good, now + HOUR), None, "its time is over");
        let other = self::cookies();
        assert_eq!(other.read(&good, now), None, "no key");
        other.issue(&user, "", false, now).expect("a cookie");
        assert_eq!(other.read(&good, now), None, "another key");
        cookies.revoke(&login, now);
        assert_eq!(cookies.read(&good, now), None);
        let other = cookies.issue(&user, "/cams", false, now).expect("a cookie");
        let text = other.to_str().expect("a text");
        assert!(text.contains("Path=/cams;") && !text.contains("Secure"), "{text}");
        assert!(cookies.read(&request(&sent(&other)), now).is_some(), "another login goes on");
    }

    #[test]
    fn nobody_changes_what_a_cookie_says() {
        let (cookies, now) = (cookies(), SystemTime::now());
        let cookie = sent(&cookies.issue(&user("anna"), "", false, now).expect("a cookie"));
        let changed = [
            cookie.replace("anna", "root"),
            format!("{cookie}0"),
            cookie.replacen('=', "=A", 1),
            "camgate_login=anna.0.99999999999".to_owned(),
            "camgate_login=".to_owned(),
            format!("camgate_login={}", "ä".repeat(40)),
            cookie.replace("camgate_login", "camgate_logi"),
        ];
        for changed in changed {
            let Ok(value) = HeaderValue::from_bytes(changed.as_bytes()) else { continue };
            let headers = [(header::COOKIE, value)].into_iter().collect();
            assert_eq!(cookies.read(&headers, now), None, "{changed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_login_can_be_waited_for() {
        let (cookies, now) = (cookies(), SystemTime::now());
        let login = |id| Login { user: "anna".to_owned(), id, ends: now + HOUR, password: 0 };
        let started = tokio::time::Instant::now();
        cookies.over(&login(1)).await;
        let lasted = started.elapsed();
        assert!(lasted > HOUR / 2 && lasted <= HOUR + Duration::from_secs(1), "{lasted:?}");
        cookies.revoke(&login(2), now);
        cookies.over(&login(2)).await;
        let later = async {
            sleep(Duration::from_secs(60)).await;
            cookies.revoke(&login(3), now);
        };
        let three = login(3);
        let started = tokio::time::Instant::now();
        tokio::join!(cookies.over(&three), later);
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[test]
    fn revocations_are_remembered_as_long_as_they_matter() {
        let (cookies, now) = (cookies(), SystemTime::now());
        let login = |id, ends| Login { user: "anna".to_owned(), id, ends, password: 0 };
        for id in 0..20_000 {
            cookies.revoke(&login(id, now + HOUR + Duration::from_secs(id as u64)), now);
        }
        let revoked = || cookies.revoked.borrow().len();
        assert_eq!(revoked(), MAX_REVOKED);
        cookies.revoke(&login(0, now + HOUR * 20), now + HOUR * 10);
        assert_eq!(revoked(), 1);
    }
}
