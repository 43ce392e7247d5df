//! Proves passwords. A check takes some 20 MiB and 20 to 50 ms of a core on purpose, so that there is one at a time, few wait
//! for it, and what was proved is not asked again for a while.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, RwLock},
    time::{Duration, Instant},
};

use argon2::{Argon2, password_hash::PasswordHasher};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ring::{hmac, rand::SystemRandom};
use tokio::sync::{Mutex as Turn, Semaphore};
use tracing::warn;

use super::{PasswordHash, User, checker::Checker, credentials::MAX_PASSWORD, throttle::Throttle, user::MAX_NAME};
use crate::places::customer;

/// Checks that may wait for their turn: a second's worth.
const MAX_WAITING: usize = 32;
/// How long proofs are good after their last use: programs with Basic send the password with each request.
const PROVEN: Duration = Duration::from_secs(300);
/// Proofs that are kept, one for each user and address.
const MAX_PROVEN: usize = 1_000;
/// Wrong passwords that a proof outlives: they are compared with it before any pause.
const MAX_MISSES: u32 = 5;
/// Lines about failures in the log, a second and at once; the metric counts all.
const LINES: (u32, u32) = (5, 20);
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
    known: RwLock<Known>,
    throttle: Arc<Throttle>,
    turn: Turn<()>,
    waiting: Semaphore,
    checker: Checker,
    key: Option<hmac::Key>,
    proven: Mutex<HashMap<Whose, Proven>>,
    lines: DefaultDirectRateLimiter,
}

/// Whose passwords are known.
#[derive(Clone)]
struct Known {
    users: Users,
    /// What a name that nobody has is checked against, so that it takes as long: the hash that takes longest.
    decoy: Option<PasswordHash>,
}

impl Known {
    fn new(users: Users) -> Self {
        Self { decoy: costliest(users.values().map(|user| &**user)).map(|(_, hash)| hash.clone()), users }
    }

    fn hash(&self, name: &str) -> Option<&PasswordHash> {
        self.users.get(name)?.password.as_ref()
    }
}

/// The users by name.
pub(super) type Users = Arc<HashMap<String, Arc<User>>>;

/// Customer and user.
type Whose = (IpAddr, String);

/// Stands for a user's name, password and address; nobody can tell from it what they are.
type Proof = [u8; 32];

struct Proven {
    proof: Proof,
    until: Instant,
    misses: u32,
}

/// What is known already of a name and a password from an address.
enum Recall {
    Right(Arc<User>),
    /// Another password is the right one.
    Wrong,
    Unknown,
}

impl Passwords {
    pub(super) fn new(users: Users, throttle: Arc<Throttle>) -> Self {
        let (per_second, burst) = LINES;
        let count = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            known: RwLock::new(Known::new(users)),
            throttle,
            turn: Turn::default(),
            waiting: Semaphore::new(MAX_WAITING),
            checker: Checker::start(),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            proven: Mutex::default(),
            lines: RateLimiter::direct(Quota::per_second(count(per_second)).allow_burst(count(burst))),
        }
    }

    /// Knows these users' from now on. What was proved of those that have the same is not asked again, and how often somebody
    /// was wrong is not forgotten.
    pub(super) fn set_users(&self, users: Users) {
        let mut proven = self.lock_proven();
        let mut known = self.known.write().unwrap_or_else(|e| e.into_inner());
        let before = std::mem::replace(&mut *known, Known::new(users));
        proven.retain(|(_, name), _| before.hash(name) == known.hash(name));
    }

    /// Whether any user has one.
    pub(super) fn has_any(&self) -> bool {
        self.known().decoy.is_some()
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    fn lock_proven(&self) -> MutexGuard<'_, HashMap<Whose, Proven>> {
        self.proven.lock().unwrap_or_else(|e| e.into_inner())
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
        let proof = self.proof(address, name, password);
        let recall = self.recall(address, name, proof, now);
        if let Recall::Right(user) = recall {
            return Ok(user);
        }
        let is_missed = matches!(recall, Recall::Wrong);
        self.throttle.check_address(address, now).map_err(Refused::TooOften)?;
        self.throttle.check_user(shortened(name), now).map_err(Refused::TooOften)?;
        if password.len() > MAX_PASSWORD {
            return Err(Refused::Wrong);
        }
        let (passwords, name, password) = (self.clone(), name.to_owned(), password.to_owned());
        let check = tokio::spawn(async move { passwords.check(address, &name, password, proof, is_missed).await });
        check.await.unwrap_or(Err(Refused::Busy))
    }

    async fn check(
        &self,
        address: IpAddr,
        name: &str,
        password: String,
        proof: Option<Proof>,
        is_missed: bool,
    ) -> Result<Arc<User>, Refused> {
        let _place = self.waiting.try_acquire().map_err(|_| Refused::Busy)?;
        let _turn = self.turn.lock().await;
        // Whoever was before us may have proved the same, or failed. A miss counts once.
        let now = Instant::now();
        if !is_missed && let Recall::Right(user) = self.recall(address, name, proof, now) {
            return Ok(user);
        }
        self.throttle.check_address(address, now).map_err(Refused::TooOften)?;
        self.throttle.check_user(shortened(name), now).map_err(Refused::TooOften)?;
        let known = self.known();
        let user = known.users.get(name);
        let (is_real, hash) = (known.hash(name).is_some(), known.hash(name).or(known.decoy.as_ref()).cloned());
        let is_right = self.checker.check(hash, password).await;
        let now = Instant::now();
        match user.filter(|_| is_right && is_real) {
            Some(user) => {
                self.remember(address, name, user, proof, now);
                Ok(user.clone())
            }
            None => {
                self.throttle.failed(address, Some(shortened(name)), now);
                // What strangers type is not logged: it may be a password in the wrong field, or a line that looks like ours.
                let whom = user.map_or_else(|| "an unknown user".to_owned(), |user| format!("user {}", user.name));
                if self.lines.check().is_ok() {
                    let client = address.to_canonical();
                    warn!(%client, "login failed from {client}: wrong password for {whom}");
                }
                Err(Refused::Wrong)
            }
        }
    }

    /// Before any pause, so that who is known already goes on; a proof that is guessed at is dropped, or it would tell which
    /// password is right while everybody has to pause.
    fn recall(&self, address: IpAddr, name: &str, proof: Option<Proof>, now: Instant) -> Recall {
        let whose = (customer(address), name.to_owned());
        let mut proven = self.lock_proven();
        let Some(known) = proven.get_mut(&whose).filter(|known| known.until > now) else { return Recall::Unknown };
        if Some(known.proof) == proof {
            known.until = now + PROVEN;
            return self.known().users.get(name).map_or(Recall::Unknown, |user| Recall::Right(user.clone()));
        }
        known.misses += 1;
        if known.misses >= MAX_MISSES {
            proven.remove(&whose);
        }
        Recall::Wrong
    }

    fn remember(&self, address: IpAddr, name: &str, user: &User, proof: Option<Proof>, now: Instant) {
        let Some(proof) = proof else { return };
        let mut proven = self.lock_proven();
        // The user may have got another password since.
        if self.known().hash(name) != user.password.as_ref() {
            return;
        }
        proven.retain(|_, known| known.until > now);
        if proven.len() < MAX_PROVEN {
            let known = Proven { proof, until: now + PROVEN, misses: 0 };
            proven.insert((customer(address), name.to_owned()), known);
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

/// The user whose password takes longest to check, and its hash.
fn costliest<'a>(users: impl Iterator<Item = &'a User>) -> Option<(&'a User, &'a PasswordHash)> {
    users.filter_map(|user| Some((user, user.password.as_ref()?))).max_by_key(|(_, hash)| hash.work())
}

/// Whose password takes another time to check than others, in a sentence that says what to do.
pub fn uneven_passwords<'a>(users: impl Iterator<Item = &'a User> + Clone) -> Option<String> {
    let (slow, slowest) = costliest(users.clone())?;
    let mut others = users.filter(|user| user.password.as_ref().is_some_and(|hash| hash.costs() != slowest.costs()));
    let (quick, slow) = (&others.next()?.name, &slow.name);
    Some(format!(
        "the password_hash of the user {quick} takes another time to check than that of {slow}, which tells who guesses that \
         there is such a user: make both with the same settings, as `camgate password` does"
    ))
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
        let users = [user("anna", Some(hash)), user("robot", None)];
        let users = users.into_iter().map(|user| (user.name.to_string(), user)).collect();
        Arc::new(Passwords::new(Arc::new(users), Arc::new(Throttle::new())))
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
        let anna = passwords.known().users["anna"].clone();
        passwords.remember(HOME, "anna", &anna, proof, start);
        let is_right = |now| matches!(passwords.recall(HOME, "anna", proof, now), Recall::Right(_));
        let almost = PROVEN - Duration::from_secs(1);
        for times in 1..100 {
            assert!(is_right(start + almost * times), "{times}");
        }
        assert!(!is_right(start + almost * 99 + PROVEN));
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

    /// Pauses of this address and of anna, with as many failures as it takes.
    fn pause(passwords: &Passwords, address: IpAddr, name: Option<&str>) {
        for _ in 0..30 {
            passwords.throttle.failed(address, name, Instant::now());
        }
    }

    #[tokio::test]
    async fn who_has_to_pause_has_to_pause_with_the_right_password_too() {
        let passwords = passwords();
        let elsewhere = IpAddr::from([198, 51, 100, 1]);
        pause(&passwords, HOME, None);
        assert!(matches!(passwords.prove(HOME, "anna", "correct horse").await, Err(Refused::TooOften(_))));
        passwords.prove(elsewhere, "anna", "correct horse").await.expect("elsewhere");
        pause(&passwords, [203, 0, 113, 1].into(), Some("anna"));
        let third = IpAddr::from([203, 0, 113, 2]);
        assert!(matches!(passwords.prove(third, "anna", "correct horse").await, Err(Refused::TooOften(_))));
        pause(&passwords, elsewhere, None);
        passwords.prove(elsewhere, "anna", "correct horse").await.expect("who was there before goes on");
    }

    #[tokio::test]
    async fn a_proof_tells_nobody_at_its_address_which_password_is_right() {
        let passwords = passwords();
        passwords.prove(HOME, "anna", "correct horse").await.expect("right, and proven");
        pause(&passwords, HOME, Some("anna"));
        let guess = async |password: &str| passwords.prove(HOME, "anna", password).await.map(drop);
        for number in 1..MAX_MISSES {
            assert!(matches!(guess("guess").await, Err(Refused::TooOften(_))), "{number}");
        }
        assert_eq!(guess("correct horse").await, Ok(()), "a few mistakes are free");
        assert!(matches!(guess("guess").await, Err(Refused::TooOften(_))));
        assert!(matches!(guess("correct horse").await, Err(Refused::TooOften(_))), "forgotten");
    }

    #[test]
    fn a_name_that_nobody_has_takes_as_long_as_the_slowest_password() {
        let rest = "p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
        let user = |name: &str, costs: &str| User {
            name: name.parse().expect("a name"),
            password: Some(format!("$argon2id$v=19${costs},{rest}").parse().expect("a hash")),
            token: None,
            cameras: Cameras::All,
            actions: Vec::new(),
        };
        let users = [user("anna", "m=19456,t=2"), user("bert", "m=65536,t=3"), user("carl", "m=19456,t=2")];
        let named = users.iter().map(|user| (user.name.to_string(), Arc::new(user.clone()))).collect();
        let passwords = Passwords::new(Arc::new(named), Arc::new(Throttle::new()));
        assert_eq!(passwords.known().decoy.expect("one").costs(), [65_536, 3, 1]);
        let warning = uneven_passwords(users.iter()).expect("a warning");
        assert!(warning.contains("anna") && warning.contains("bert") && !warning.contains("carl"), "{warning}");
        assert_eq!(uneven_passwords([&users[0], &users[2]].into_iter()), None);
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
