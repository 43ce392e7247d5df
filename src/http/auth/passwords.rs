//! Proves passwords. A check takes some 20 MiB and 20 to 50 ms of a core on purpose, so that there is one at a time, few wait
//! for it, and what was proved is not asked again for a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use ring::{hmac, rand::SystemRandom};
use tokio::sync::{Mutex as Turn, Semaphore};
use tracing::warn;

use super::{PasswordHash, User, credentials::MAX_PASSWORD, throttle::Throttle, user::MAX_NAME};
use crate::places::customer;

/// Checks that may wait for their turn: a second's worth.
const MAX_WAITING: usize = 32;
/// How long proofs are good after their last use: programs with Basic send the password with each request.
const PROVEN: Duration = Duration::from_secs(300);
/// Proofs that are kept, one for each user and address.
const MAX_PROVEN: usize = 1_000;
/// Shortest password (NIST SP 800-63B section 3.1.1.2 asks for 8 at least).
const MIN_PASSWORD: usize = 8;
/// Random bytes in a hash (RFC 9106 section 3.1).
const SALT: usize = 16;

/// Why somebody is not taken for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No such user, or another password.
    Wrong,
    /// Not now, whatever the password.
    TooOften(Duration),
    /// Too many others wait.
    Busy,
}

/// The users' passwords.
pub(super) struct Passwords {
    users: HashMap<String, Arc<User>>,
    /// What a name that nobody has is checked against, so that it takes as long.
    decoy: Option<PasswordHash>,
    throttle: Arc<Throttle>,
    turn: Turn<()>,
    waiting: Semaphore,
    key: Option<hmac::Key>,
    proven: Mutex<HashMap<Proof, Instant>>,
}

/// Stands for a user's name, password and address; nobody can tell from it what they are.
type Proof = [u8; 32];

impl Passwords {
    pub(super) fn new(users: &[Arc<User>], throttle: Arc<Throttle>) -> Self {
        Self {
            users: users.iter().map(|user| (user.name.to_string(), user.clone())).collect(),
            decoy: users.iter().find_map(|user| user.password.clone()),
            throttle,
            turn: Turn::default(),
            waiting: Semaphore::new(MAX_WAITING),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            proven: Mutex::default(),
        }
    }

    /// The user of that name, if the password is theirs. Logs a failure.
    ///
    /// # Errors
    /// [`Refused`].
    ///
    /// # Cancel safety
    /// A check that has begun goes on and counts, so that nobody gets guesses for nothing by hanging up.
    pub(super) async fn prove(
        self: &Arc<Self>,
        address: IpAddr,
        name: &str,
        password: &str,
    ) -> Result<Arc<User>, Refused> {
        let now = Instant::now();
        self.throttle.check_address(address, now).map_err(Refused::TooOften)?;
        let proof = self.proof(address, name, password);
        if let Some(user) = self.recall(name, proof, now) {
            return Ok(user);
        }
        self.throttle.check_user(shortened(name), now).map_err(Refused::TooOften)?;
        if password.len() > MAX_PASSWORD {
            return Err(Refused::Wrong);
        }
        let (passwords, name, password) = (self.clone(), name.to_owned(), password.to_owned());
        let check = tokio::spawn(async move { passwords.check(address, &name, password, proof).await });
        check.await.unwrap_or(Err(Refused::Busy))
    }

    async fn check(
        &self,
        address: IpAddr,
        name: &str,
        password: String,
        proof: Option<Proof>,
    ) -> Result<Arc<User>, Refused> {
        let _place = self.waiting.try_acquire().map_err(|_| Refused::Busy)?;
        let _turn = self.turn.lock().await;
        // Whoever was before us may have proved the same, or failed.
        let now = Instant::now();
        if let Some(user) = self.recall(name, proof, now) {
            return Ok(user);
        }
        self.throttle.check_address(address, now).map_err(Refused::TooOften)?;
        self.throttle.check_user(shortened(name), now).map_err(Refused::TooOften)?;
        let user = self.users.get(name);
        let known = user.and_then(|user| user.password.clone());
        let is_real = known.is_some();
        let hash = known.or_else(|| self.decoy.clone());
        let verify =
            move || hash.is_some_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash.0).is_ok());
        let is_right = tokio::task::spawn_blocking(verify).await.unwrap_or_default();
        let now = Instant::now();
        match user.filter(|_| is_right && is_real) {
            Some(user) => {
                self.remember(proof, now);
                Ok(user.clone())
            }
            None => {
                self.throttle.failed(address, Some(shortened(name)), now);
                // What strangers type is not logged: it may be a password in the wrong field, or a line that looks like ours.
                let whom = user.map_or_else(|| "an unknown user".to_owned(), |user| format!("user {}", user.name));
                warn!("login failed from {}: wrong password for {whom}", address.to_canonical());
                Err(Refused::Wrong)
            }
        }
    }

    fn recall(&self, name: &str, proof: Option<Proof>, now: Instant) -> Option<Arc<User>> {
        let mut proven = self.proven.lock().unwrap_or_else(|e| e.into_inner());
        let until = proven.get_mut(&proof?).filter(|until| **until > now)?;
        *until = now + PROVEN;
        self.users.get(name).cloned()
    }

    fn remember(&self, proof: Option<Proof>, now: Instant) {
        let Some(proof) = proof else { return };
        let mut proven = self.proven.lock().unwrap_or_else(|e| e.into_inner());
        proven.retain(|_, until| *until > now);
        if proven.len() < MAX_PROVEN {
            proven.insert(proof, now + PROVEN);
        }
    }

    /// With the address: what is proven from there lets nobody guess past the throttle from elsewhere.
    fn proof(&self, address: IpAddr, name: &str, password: &str) -> Option<Proof> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        for part in [customer(address).to_string().as_str(), name, password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().ok()
    }
}

/// As much of a name as a user's can have.
fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// The argon2id hash of a password, as the configuration takes it.
///
/// # Errors
/// Why this is no password, as the end of a sentence.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.chars().count() < MIN_PASSWORD {
        return Err(format!("it has fewer than {MIN_PASSWORD} characters"));
    }
    if password.len() > MAX_PASSWORD / 2 {
        return Err(format!("it has more than {} bytes", MAX_PASSWORD / 2));
    }
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &rand::random::<[u8; SALT]>());
    hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::Cameras;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn passwords() -> Arc<Passwords> {
        let hash = hash_password("correct horse").expect("a hash").parse().expect("a good one");
        let user = |name: &str, password| {
            let name = name.parse().expect("a name");
            Arc::new(User { name, password, token: None, cameras: Cameras::All, actions: Vec::new() })
        };
        Arc::new(Passwords::new(&[user("anna", Some(hash)), user("robot", None)], Arc::new(Throttle::new())))
    }

    #[tokio::test]
    async fn the_right_password_is_proved_once_and_nothing_else_ever() {
        let passwords = passwords();
        assert_eq!(passwords.prove(HOME, "anna", "correct horse").await.expect("right").name.as_str(), "anna");
        for _ in 0..1_000 {
            passwords.prove(HOME, "anna", "correct horse").await.expect("proven already");
        }
        assert_eq!(passwords.proven.lock().expect("no panic").len(), 1);
        for (name, password) in [
            ("anna", "correct horse "),
            ("anna", ""),
            ("bert", "correct horse"),
            ("robot", "correct horse"),
            ("annacorrect", " horse"),
        ] {
            assert_eq!(passwords.prove(HOME, name, password).await.map(drop), Err(Refused::Wrong), "{name}");
        }
    }

    #[tokio::test]
    async fn a_proof_is_good_as_long_as_it_is_used() {
        let passwords = passwords();
        let (proof, start) = (passwords.proof(HOME, "anna", "correct horse"), Instant::now());
        passwords.remember(proof, start);
        let almost = PROVEN - Duration::from_secs(1);
        for times in 1..100 {
            assert!(passwords.recall("anna", proof, start + almost * times).is_some(), "{times}");
        }
        assert!(passwords.recall("anna", proof, start + almost * 99 + PROVEN).is_none());
    }

    #[tokio::test]
    async fn who_guesses_is_stopped_also_when_all_guesses_come_at_once() {
        let passwords = passwords();
        let guesses = (0..20).map(|number| {
            let passwords = passwords.clone();
            async move { passwords.prove(HOME, "anna", &format!("guess {number}")).await.map(drop) }
        });
        let results = futures_util::future::join_all(guesses).await;
        let wrong = results.iter().filter(|result| **result == Err(Refused::Wrong)).count();
        let stopped = results.iter().filter(|result| matches!(result, Err(Refused::TooOften(_)))).count();
        // A machine that is busy for a second lets one more through.
        assert!(wrong >= 6 && stopped > 0 && wrong + stopped == 20, "{results:?}");
    }

    #[tokio::test]
    async fn who_has_to_pause_has_to_pause_with_the_right_password_too() {
        let passwords = passwords();
        let elsewhere = IpAddr::from([198, 51, 100, 1]);
        passwords.prove(HOME, "anna", "correct horse").await.expect("right, and proven");
        for _ in 0..20 {
            passwords.throttle.failed(HOME, None, Instant::now());
        }
        assert!(matches!(passwords.prove(HOME, "anna", "correct horse").await, Err(Refused::TooOften(_))));
        passwords.prove(elsewhere, "anna", "correct horse").await.expect("elsewhere");
        for _ in 0..20 {
            passwords.throttle.failed([203, 0, 113, 1].into(), Some("anna"), Instant::now());
        }
        let third = IpAddr::from([203, 0, 113, 2]);
        assert!(matches!(passwords.prove(third, "anna", "correct horse").await, Err(Refused::TooOften(_))));
        passwords.prove(elsewhere, "anna", "correct horse").await.expect("who was there before goes on");
    }

    #[tokio::test]
    async fn a_guess_counts_also_when_the_one_who_guesses_hangs_up() {
        let passwords = passwords();
        tokio::select! {
            biased;
            _ = passwords.prove(HOME, "anna", "guess") => panic!("a check takes longer than one poll"),
            () = std::future::ready(()) => {}
        }
        while passwords.throttle.failures() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let passwords = passwords();
        let turn = passwords.turn.lock().await;
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..MAX_WAITING + 1 {
            let passwords = passwords.clone();
            let address = IpAddr::from([198, 51, 100, u8::try_from(number).expect("few")]);
            waiting.spawn(async move { passwords.prove(address, "anna", "correct horse").await.map(drop) });
        }
        assert_eq!(waiting.join_next().await.expect("one").expect("no panic"), Err(Refused::Busy));
        drop(turn);
        while let Some(result) = waiting.join_next().await {
            assert_eq!(result.expect("no panic"), Ok(()));
        }
    }

    #[test]
    fn a_hash_is_made_of_a_good_password_only() {
        assert!(hash_password("correct horse").expect("a hash").starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(hash_password("correct horse"), hash_password("correct horse"), "salted");
        assert!(hash_password("short").is_err() && hash_password(&"x".repeat(513)).is_err());
    }
}
