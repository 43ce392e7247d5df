//! Who sends a request: by which way they say so, and whether it is true.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use axum::http::{HeaderMap, Method, header};
use tracing::warn;

use super::Gate;
use crate::http::{
    auth::{
        TokenHash, User,
        cookies::Login,
        credentials::{Credentials, credentials},
        forward::{Question, Verdict},
        jwt::{BadToken, Jwt},
        origin::{Origin, origin},
        passwords::Refused,
    },
    problem::Problem,
    site::Site,
};

/// How somebody said who they are.
pub(super) enum Way {
    Password,
    Token,
    /// Of an identity provider, until then.
    Jwt(SystemTime),
    /// What the service outside goes by.
    Forwarded(Arc<Question>),
    Cookie(Login),
}

impl Gate {
    /// Who sends a request; nobody without credentials. The service outside is asked of those whom we cannot know.
    pub(super) async fn identify(
        &self,
        address: IpAddr,
        headers: &HeaderMap,
        question: impl FnOnce() -> Question,
    ) -> Result<Option<(Arc<User>, Way)>, Problem> {
        let is_forwarded = self.forward.is_some()
            && match credentials(headers) {
                Some(Credentials::Basic(..)) => !self.lasting.passwords.has_any(),
                Some(Credentials::Bearer(token)) => {
                    let is_jwt = self.jwt.is_some() && Jwt::is_meant(&token);
                    !is_jwt && !self.tokens.contains_key(&TokenHash::of(&token))
                }
                Some(Credentials::Unusable) => true,
                None => self.login(headers).is_none(),
            };
        if is_forwarded {
            return self.by_service(question()).await.map(Some);
        }
        match credentials(headers) {
            Some(Credentials::Basic(name, password)) => {
                let proved = self.lasting.passwords.prove(address, &name, &password).await;
                proved.map(|user| Some((user, Way::Password))).map_err(refused)
            }
            Some(Credentials::Bearer(token)) if self.jwt.is_some() && Jwt::is_meant(&token) => {
                let (user, ends) = self.by_jwt(address, &token).await?;
                Ok(Some((user, Way::Jwt(ends))))
            }
            Some(Credentials::Bearer(token)) => {
                let user = self.by_token(address, &token).ok_or_else(Problem::login_needed)?;
                Ok(Some((user, Way::Token)))
            }
            Some(Credentials::Unusable) => Err(Problem::login_needed()),
            None => Ok(self.login(headers).map(|(login, user)| (user, Way::Cookie(login)))),
        }
    }

    async fn by_service(&self, question: Question) -> Result<(Arc<User>, Way), Problem> {
        let forward = self.forward.as_ref().ok_or_else(Problem::login_needed)?;
        match forward.ask(&question).await {
            Ok(Verdict::LetIn(user)) => Ok((user, Way::Forwarded(Arc::new(question)))),
            Ok(Verdict::Refused(login)) => Err(Problem::login_needed().with_login_at(login)),
            Err(why) => {
                if self.may_log() {
                    warn!("[http.forward_auth] url: nobody is let in by the service: {why}");
                }
                Err(Problem::provider_silent())
            }
        }
    }

    /// Completes when the service outside lets a user in no more.
    pub(in crate::http::auth) async fn refused(&self, question: &Question, user: &User) {
        if let Some(forward) = &self.forward {
            forward.refused(question, user).await;
        }
    }

    async fn by_jwt(&self, address: IpAddr, token: &str) -> Result<(Arc<User>, SystemTime), Problem> {
        let jwt = self.jwt.as_ref().ok_or_else(Problem::login_needed)?;
        jwt.verify(token).await.map_err(|why| {
            self.lasting.throttle.count();
            if self.may_log() {
                let client = address.to_canonical();
                warn!(%client, "a token of the identity provider is refused from {client}: {why}");
            }
            if why == BadToken::Unheard { Problem::provider_silent() } else { Problem::login_needed() }
        })
    }

    /// Tokens are found by their hash, so that the time it takes tells nothing of them. Nobody guesses 256 random bits, and
    /// a program with an old one asks for ever: that costs its address no pause, and fail2ban does not read of it.
    fn by_token(&self, address: IpAddr, token: &str) -> Option<Arc<User>> {
        let user = self.tokens.get(&TokenHash::of(token)).cloned();
        if user.is_none() {
            self.lasting.throttle.count();
            if self.may_log() {
                let client = address.to_canonical();
                warn!(%client, "unknown token from {client}");
            }
        }
        user
    }
}

pub(in crate::http::auth) fn refused(refused: Refused) -> Problem {
    match refused {
        Refused::Wrong => Problem::login_needed(),
        Refused::TooOften(wait) => Problem::too_many_failures(wait),
        Refused::Busy => Problem::too_many_logins(),
    }
}

/// Whether a request that changes something is of a page of ours, where the browser adds the credentials by itself. That
/// another's page uses Basic is up to the preflight; a WebSocket has none.
pub(super) fn is_our_wish(way: &Way, method: &Method, headers: &HeaderMap, site: &Site) -> bool {
    let is_upgrade = headers.contains_key(header::UPGRADE);
    let changes = is_upgrade || !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match way {
        Way::Cookie(_) => !changes || origin(headers, site.is_secure) == Origin::Own,
        Way::Password => !is_upgrade || origin(headers, site.is_secure) != Origin::Foreign,
        Way::Token | Way::Jwt(_) => true,
        Way::Forwarded(_) if headers.contains_key(header::COOKIE) => {
            !changes || origin(headers, site.is_secure) == Origin::Own
        }
        Way::Forwarded(_) => !changes || origin(headers, site.is_secure) != Origin::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::auth::{Action, Cameras, hash_password, make_token, state_dir::StateDir};

    #[tokio::test]
    async fn an_old_token_locks_out_nobody_at_its_address() {
        let home = IpAddr::from([192, 0, 2, 1]);
        let (token, hash) = make_token();
        let anna = User {
            name: "anna".parse().expect("a name"),
            password: hash_password("correct horse").expect("a hash").parse().ok(),
            token: hash.parse().ok(),
            cameras: Cameras::All,
            actions: vec![Action::Watch],
        };
        let gate = Gate::new(&[anna], false, Duration::ZERO, StateDir::forgotten());
        for _ in 0..100 {
            assert!(gate.by_token(home, &make_token().0).is_none());
        }
        assert_eq!(gate.failures(), 100);
        gate.lasting.passwords.prove(home, "anna", "correct horse").await.expect("no pause");
        for _ in 0..20 {
            gate.lasting.throttle.failed(home, None, std::time::Instant::now());
        }
        assert!(gate.by_token(home, &token).is_some(), "wrong passwords do not lock out tokens either");
    }
}
