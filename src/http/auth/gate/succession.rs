//! From one configuration to the next: what a gate takes over from the one before it, and who is not let in any more.

use std::{
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use governor::{Quota, RateLimiter};
use tokio::sync::watch;

use super::{Gate, Lasting};
use crate::http::{
    CertificateSource, Config,
    auth::{
        Action, Caller, End, User,
        cookies::Cookies,
        forward::Forward,
        jwt::Jwt,
        near::Neighbours,
        owners::Owners,
        passwords::{Passwords, Users},
        share::Shares,
        state_dir::StateDir,
        throttle::Throttle,
    },
};

impl Lasting {
    fn new(users: Users) -> Self {
        let throttle = Arc::new(Throttle::new());
        Self {
            passwords: Arc::new(Passwords::new(users, throttle.clone())),
            throttle,
            token_lines: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN)),
            owners: Owners::default(),
            latest: watch::Sender::new(Weak::new()),
        }
    }
}

impl Gate {
    /// For these users; without any, everybody is answered who is in a private network, or wherever with `allow_anonymous`.
    /// Logins last for `lifetime`, and are kept in `state`.
    #[cfg(test)]
    pub(in crate::http::auth) fn new(
        users: &[User],
        allow_anonymous: bool,
        lifetime: Duration,
        state: StateDir,
    ) -> Self {
        let (users, state) = (by_name(users), Arc::new(state));
        Self {
            tokens: users.values().filter_map(|user| Some((user.token?, user.clone()))).collect(),
            jwt: None,
            forward: None,
            is_open: allow_anonymous,
            lasting: Arc::new(Lasting::new(users.clone())),
            users,
            cookies: Arc::new(Cookies::new(lifetime, state.clone(), SystemTime::now())),
            shares: Arc::new(Shares::new(state)),
            state_dir: Default::default(),
            lifetime,
            public_url: None,
            neighbours: Neighbours::default(),
        }
    }

    /// As the configuration says. What must not change with it is as it was with `before`: who has been wrong, whose session
    /// is whose, which logins are over, and what a provider has said.
    pub(in crate::http) fn of(config: &Config, before: Option<&Self>) -> Arc<Self> {
        let users = by_name(&config.users);
        let lasting = before.map_or_else(|| Arc::new(Lasting::new(users.clone())), |before| before.lasting.clone());
        let (cookies, shares) = match before.filter(|before| before.state_dir == config.state_dir) {
            Some(before) => (before.cookies.clone(), before.shares.clone()),
            None => kept_in(&config.state_dir, config.login_lifetime),
        };
        let jwt = config.jwt.as_ref().map(|config| {
            let known = before.and_then(|before| before.jwt.as_ref()).filter(|jwt| jwt.is_of(config));
            known.cloned().unwrap_or_else(|| Arc::new(Jwt::new(config)))
        });
        let forward = config.forward.as_ref().and_then(|config| {
            let known = before.and_then(|before| before.forward.as_ref()).filter(|forward| forward.is_of(config));
            known.cloned().or_else(|| Forward::new(config).map(Arc::new))
        });
        let acme = config.tls.as_ref().map(|tls| &tls.certificate);
        let ordered = if let Some(CertificateSource::Acme(acme)) = acme { acme.domains.clone() } else { Vec::new() };
        let public = config.public_url.as_ref().map(|url| url.host().to_owned());
        let names = config.surroundings.hosts.iter().cloned().chain(public).chain(ordered);
        Arc::new(Self {
            tokens: users.values().filter_map(|user| Some((user.token?, user.clone()))).collect(),
            jwt,
            forward,
            is_open: config.allow_anonymous,
            lasting,
            users,
            cookies,
            shares,
            state_dir: config.state_dir.clone(),
            lifetime: config.login_lifetime,
            public_url: config.public_url.clone(),
            neighbours: Neighbours::new(names, config.surroundings.cors_origins.clone()),
        })
    }

    /// It is the one that counts from now on: what was opened past the one before ends, where this would not let it be opened.
    pub(in crate::http) fn take_over(self: &Arc<Self>) {
        self.lasting.passwords.set_users(self.users.clone());
        self.cookies.set_lifetime(self.lifetime);
        self.lasting.latest.send_replace(Arc::downgrade(self));
    }

    /// Completes when `caller`, whom this gate has let in, would be let in no more for what takes this `right` to a camera, or for
    /// what shows everything of theirs.
    pub(in crate::http::auth) async fn bars(&self, caller: &Caller, right: Option<(&str, Action)>) {
        let mut latest = self.lasting.latest.subscribe();
        loop {
            let now = latest.borrow_and_update().upgrade();
            if now.is_some_and(|now| !std::ptr::eq(&*now, self) && !now.keeps(caller, right, self)) {
                return;
            }
            if latest.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn keeps(&self, caller: &Caller, right: Option<(&str, Action)>, before: &Self) -> bool {
        let is_same = |now: &Arc<User>, then: &Arc<User>| match right {
            Some((camera, action)) => now.actions.contains(&action) && now.cameras.has(camera),
            None => now.actions == then.actions && now.cameras == then.cameras,
        };
        match caller {
            Caller::Nobody => true,
            Caller::Anyone { is_near, .. } => !self.has_users() && (self.is_open || *is_near),
            Caller::Guest { share, .. } => Arc::ptr_eq(&self.shares, &before.shares) && self.honours(share),
            // What a provider says of them is as it was, where it is the same provider.
            Caller::User { ends: Some(End::At(_)), .. } => is_one(&self.jwt, &before.jwt),
            Caller::User { ends: Some(End::Refused(_)), .. } => is_one(&self.forward, &before.forward),
            Caller::User { user, login, .. } => self.users.get(user.name.as_str()).is_some_and(|now| {
                let is_known = match login {
                    Some(login) => Arc::ptr_eq(&self.cookies, &before.cookies) && self.cookies.is_of(login, now),
                    None => now.password == user.password && now.token == user.token,
                };
                is_known && is_same(now, user)
            }),
        }
    }
}

fn is_one<T>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
}

fn by_name(users: &[User]) -> Users {
    Arc::new(users.iter().map(|user| (user.name.to_string(), Arc::new(user.clone()))).collect())
}

fn kept_in(folder: &Path, lifetime: Duration) -> (Arc<Cookies>, Arc<Shares>) {
    let state = Arc::new(StateDir::new(folder));
    (Arc::new(Cookies::new(lifetime, state.clone(), SystemTime::now())), Arc::new(Shares::new(state)))
}
