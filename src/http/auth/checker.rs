//! The thread that checks passwords, in memory that it keeps.
//!
//! A check takes 19 MiB that are aligned. An allocator that gets as much anew for each leaves holes that the next does not fit
//! into: glibc 2.36 had 216 MB after a dozen checks on one thread, and as much again on each other thread that had some
//! (measured), all of it for strangers who guess.
//!
//! A check that panics is of a wrong password: the thread and those who wait for it go on.

use std::sync::mpsc;

use argon2::{Algorithm, Argon2, Block, Params, Version, password_hash::phc};
use tokio::sync::oneshot;
use tracing::error;

use super::PasswordHash;
use crate::panics::{Part, Whose, caught};

/// Hands over passwords to check. The thread ends with this value.
pub(super) struct Checker(mpsc::Sender<Check>);

struct Check {
    hash: Option<PasswordHash>,
    password: String,
    is_right: oneshot::Sender<bool>,
}

impl Checker {
    pub(super) fn start() -> Self {
        let (checks, queue) = mpsc::channel::<Check>();
        let work = move || {
            let mut memory = Vec::new();
            for Check { hash, password, is_right } in queue {
                let is_password = |hash: PasswordHash| is_password(&mut memory, &hash.0, password.as_bytes());
                let found = caught(Part::Passwords, Whose::NOBODYS, || hash.and_then(is_password));
                // Whoever asked may be gone.
                let _ = is_right.send(found.ok().flatten().unwrap_or_default());
            }
        };
        if let Err(error) = std::thread::Builder::new().name("passwords".to_owned()).spawn(work) {
            error!(%error, "no password can be checked: the system gives no thread");
        }
        Self(checks)
    }

    /// Whether that is the password; without a hash it is not.
    ///
    /// # Cancel safety
    /// The check goes on.
    pub(super) async fn check(&self, hash: Option<PasswordHash>, password: String) -> bool {
        let (is_right, answer) = oneshot::channel();
        self.0.send(Check { hash, password, is_right }).is_ok() && answer.await.unwrap_or_default()
    }
}

/// `None` for a hash that is none, which the configuration has refused.
fn is_password(memory: &mut Vec<Block>, hash: &phc::PasswordHash, password: &[u8]) -> Option<bool> {
    let params = Params::try_from(hash).ok()?;
    let version = hash.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut found = vec![0; expected.as_ref().len()];
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
    argon2.hash_password_into_with_memory(password, salt, &mut found, memory.get_mut(..blocks)?).ok()?;
    // Takes as long wherever they differ.
    Some(phc::Output::new(&found).ok()? == *expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::hash_password;

    #[tokio::test]
    async fn right_is_right_whatever_was_checked_before() {
        let hash = |password| hash_password(password).expect("a hash").parse().expect("a good one");
        let (one, other): (PasswordHash, PasswordHash) = (hash("correct horse"), hash("battery staple"));
        // Of another cost.
        let small = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 2, 1, None).expect("costs"));
        let small =
            argon2::password_hash::PasswordHasher::hash_password_with_salt(&small, b"password", b"somesaltsomesalt");
        let small: PasswordHash = small.expect("a hash").to_string().parse().expect("a good one");
        let checker = Checker::start();
        for (hash, password, expected) in [
            (Some(&one), "correct horse", true),
            (Some(&other), "correct horse", false),
            (Some(&small), "password", true),
            (Some(&other), "battery staple", true),
            (Some(&small), "Password", false),
            (None, "correct horse", false),
            (Some(&one), "", false),
            (Some(&one), "correct horse", true),
        ] {
            assert_eq!(checker.check(hash.cloned(), password.to_owned()).await, expected, "{password}");
        }
    }
}
