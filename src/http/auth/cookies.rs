//! The cookie that the login page gives: whose it is and until when, signed (HMAC-SHA256) with a key that lives as long as
//! the program.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, CookieJar, Key, SameSite};
use tokio::{sync::watch, time::sleep};

use super::UserName;

/// Its name.
const NAME: &str = "camgate_login";
/// Logins that were ended before their time and are remembered. Only a user can add one.
const MAX_REVOKED: usize = 10_000;

/// Gives cookies and knows them again.
pub(super) struct Cookies {
    key: Key,
    lifetime: Duration,
    revoked: watch::Sender<HashMap<u128, SystemTime>>,
}

/// What a good cookie says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Login {
    pub(super) user: String,
    id: u128,
    ends: SystemTime,
}

impl Cookies {
    /// Cookies that are good for `lifetime`.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { key: Key::generate(), lifetime, revoked: watch::Sender::default() }
    }

    /// A `Set-Cookie` for `user`; `secure` keeps it off plain HTTP.
    pub(super) fn issue(&self, user: &UserName, secure: bool, now: SystemTime) -> Option<HeaderValue> {
        let ends = (now + self.lifetime).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut jar = CookieJar::new();
        jar.signed_mut(&self.key).add(Cookie::new(NAME, format!("{user}.{:032x}.{ends}", rand::random::<u128>())));
        let signed = jar.get(NAME)?.value().to_owned();
        header_value(signed, secure, self.lifetime)
    }

    /// A `Set-Cookie` that takes it back.
    pub(super) fn cleared() -> Option<HeaderValue> {
        header_value(String::new(), false, Duration::ZERO)
    }

    /// The login that a request's cookies prove. Others may set cookies of this name, as from another port of this host.
    pub(super) fn read(&self, headers: &HeaderMap, now: SystemTime) -> Option<Login> {
        let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
        let named = fields.flat_map(Cookie::split_parse).flatten().filter(|cookie| cookie.name() == NAME);
        let jar = CookieJar::new();
        let proven = named.filter_map(|cookie| jar.signed(&self.key).verify(cookie.into_owned()));
        let mut logins = proven.filter_map(|cookie| parse(cookie.value()));
        let revoked = self.revoked.borrow();
        logins.find(|login| login.ends > now && !revoked.contains_key(&login.id))
    }

    /// Ends a login before its time.
    pub(super) fn revoke(&self, login: &Login, now: SystemTime) {
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

fn header_value(value: String, secure: bool, lifetime: Duration) -> Option<HeaderValue> {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let cookie = Cookie::build((NAME, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure)
        .max_age(cookie::time::Duration::seconds(seconds));
    let mut value = HeaderValue::from_str(&cookie.build().to_string()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `{user}.{id}.{end in seconds since 1970}`; a user's name may have dots in it.
fn parse(value: &str) -> Option<Login> {
    let mut parts = value.rsplitn(3, '.');
    let ends = UNIX_EPOCH + Duration::from_secs(parts.next()?.parse().ok()?);
    let id = u128::from_str_radix(parts.next()?, 16).ok()?;
    Some(Login { user: parts.next()?.to_owned(), id, ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn sent(set: &HeaderValue) -> String {
        set.to_str().expect("a text").split(';').next().expect("a pair").to_owned()
    }

    fn request(cookies: &str) -> HeaderMap {
        [(header::COOKIE, cookies.parse().expect("a value"))].into_iter().collect()
    }

    #[test]
    fn a_cookie_proves_a_login_until_its_end_or_until_it_is_revoked() {
        let (cookies, now) = (Cookies::new(HOUR), SystemTime::now());
        let user: UserName = "anna.b@example.org".parse().expect("a name");
        let set = cookies.issue(&user, true, now).expect("a cookie");
        let text = set.to_str().expect("a text");
        for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=3600"] {
            assert!(text.contains(attribute), "{text}");
        }
        let good = request(&format!("other=1; camgate_login=tossed; {}", sent(&set)));
        let login = cookies.read(&good, now).expect("a login");
        assert_eq!(login.user, user.as_str());
        assert!(cookies.read(&good, now + HOUR - Duration::from_secs(2)).is_some());
        assert_eq!(cookies.read(&good, now + HOUR), None, "its time is over");
        assert_eq!(Cookies::new(HOUR).read(&good, now), None, "another key");
        cookies.revoke(&login, now);
        assert_eq!(cookies.read(&good, now), None);
        let other = cookies.issue(&user, false, now).expect("a cookie");
        assert!(!other.to_str().expect("a text").contains("Secure"));
        assert!(cookies.read(&request(&sent(&other)), now).is_some(), "another login goes on");
    }

    #[test]
    fn nobody_changes_what_a_cookie_says() {
        let (cookies, now) = (Cookies::new(HOUR), SystemTime::now());
        let cookie = sent(&cookies.issue(&"anna".parse().expect("a name"), false, now).expect("a cookie"));
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
        let (cookies, now) = (Cookies::new(HOUR), SystemTime::now());
        let login = |id| Login { user: "anna".to_owned(), id, ends: now + HOUR };
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
        let (cookies, now) = (Cookies::new(HOUR), SystemTime::now());
        let login = |id, ends| Login { user: "anna".to_owned(), id, ends };
        for id in 0..20_000 {
            cookies.revoke(&login(id, now + HOUR + Duration::from_secs(id as u64)), now);
        }
        let revoked = || cookies.revoked.borrow().len();
        assert_eq!(revoked(), MAX_REVOKED);
        cookies.revoke(&login(0, now + HOUR * 20), now + HOUR * 10);
        assert_eq!(revoked(), 1);
    }
}
