//! What outlives the program: the secret that cookies and links are signed with, and small files beside it, in the folder
//! `[http] state_dir`. Nothing is there before it is needed.
//!
//! The gateway and `camgate share` write here, each alone for a moment (a lock on the folder), so that a link can be made
//! while the gateway runs, and while it does not.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ring::hmac;
use rustix::{
    fs::{Gid, OFlags, Uid, fchown},
    process::geteuid,
};
use thiserror::Error;
use tracing::warn;

/// The file with the secret.
const KEY: &str = "key";
/// Its length in bytes, and that of what is derived from it: what a cookie's key takes.
const KEY_LENGTH: usize = 64;
/// For the gateway's user only.
const PRIVATE: u32 = 0o600;
const PRIVATE_FOLDER: u32 = 0o700;
/// Far more than our files have; keeps what is none of them from filling the memory.
const MAX_BYTES: u64 = 16 << 20;

/// The folder cannot be used.
#[derive(Debug, Error)]
#[error(
    "[http] state_dir: cannot {doing} {}: {source}; it has to belong to the user that camgate runs as, and commands that \
     write there are run as root", path.display()
)]
pub struct StateError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The folder, and the secret once it is known. Without `Debug`, so that nothing prints it.
pub(super) struct StateDir {
    /// `None` keeps nothing.
    folder: Option<PathBuf>,
    secret: OnceLock<[u8; KEY_LENGTH]>,
}

impl StateDir {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), secret: OnceLock::new() }
    }

    /// Forgotten with the program.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn forgotten() -> Self {
        Self { folder: None, secret: OnceLock::new() }
    }

    /// A key for this purpose, if there is a secret yet.
    pub(super) fn known_key(&self, purpose: &str) -> Option<[u8; KEY_LENGTH]> {
        if self.secret.get().is_none() {
            let secret = secret_of(&self.read(KEY).ok()??)?;
            let _ = self.secret.set(secret);
        }
        self.secret.get().map(|secret| derived(secret, purpose))
    }

    /// A key for this purpose, of a secret that is made at first use.
    ///
    /// # Errors
    /// A folder that cannot be used.
    pub(super) fn key(&self, purpose: &str) -> Result<[u8; KEY_LENGTH], StateError> {
        if let Some(key) = self.known_key(purpose) {
            return Ok(key);
        }
        let made = self.alone(|| match self.read(KEY)? {
            Some(bytes) => secret_of(&bytes).ok_or_else(|| self.fault("use", KEY)(io::ErrorKind::InvalidData.into())),
            None => {
                let secret = random();
                self.replace(KEY, &secret).map(|()| secret)
            }
        })?;
        let _ = self.secret.set(made);
        Ok(derived(self.secret.get().unwrap_or(&made), purpose))
    }

    /// The same, of a secret that is forgotten with the program where the folder cannot be used.
    pub(super) fn key_for_now(&self, purpose: &str) -> [u8; KEY_LENGTH] {
        self.key(purpose).unwrap_or_else(|error| {
            warn!("{error}. Until then everybody has to log in again when the gateway restarts");
            derived(self.secret.get_or_init(random), purpose)
        })
    }

    /// Does something while nobody else does; makes the folder if there is none.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
        let Some(folder) = &self.folder else { return work() };
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder).map_err(self.fault("make", ""))?;
        let lock = File::open(folder).map_err(self.fault("open", ""))?;
        lock.lock().map_err(self.fault("lock", ""))?;
        work()
    }

    /// A file, if there is one.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let file = match File::open(folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault("read", name)(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(self.fault("read", name))?;
        Ok(Some(bytes))
    }

    /// Puts `bytes` in the place of a file, whole or not at all; it belongs to whom the folder belongs to.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let new = folder.join(format!("{name}.new"));
        let write = || {
            // Left over by a program that was killed.
            let _ = fs::remove_file(&new);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&new)?;
            give_to_owner(&file, folder)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, folder.join(name))
        };
        let written = write();
        if written.is_err() {
            // On a full disk it would be in the way of others.
            let _ = fs::remove_file(&new);
        }
        written.map_err(self.fault("write", name))
    }

    /// Adds to the end of a file.
    pub(super) fn append(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        self.alone(|| {
            let write = || {
                let nowhere_else = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
                let mut options = OpenOptions::new();
                options.append(true).create(true).mode(PRIVATE).custom_flags(nowhere_else);
                let mut file = options.open(folder.join(name))?;
                give_to_owner(&file, folder)?;
                let before = file.metadata()?.len();
                // Half of a line, on a full disk, would spoil the next one.
                file.write_all(bytes).inspect_err(|_| drop(file.set_len(before)))
            };
            write().map_err(self.fault("write", name))
        })
    }

    /// What tells one state of a file from the next; `None` without one.
    pub(super) fn stamp(&self, name: &str) -> Option<[i64; 4]> {
        let file = fs::metadata(self.folder.as_ref()?.join(name)).ok()?;
        Some([file.ino().cast_signed(), file.size().cast_signed(), file.mtime(), file.mtime_nsec()])
    }

    fn fault(&self, doing: &'static str, name: &str) -> impl Fn(io::Error) -> StateError + use<> {
        let path = self.folder.clone().unwrap_or_default().join(name);
        move |source| StateError { doing, path: path.clone(), source }
    }
}

/// Root makes files for others here: the gateway has to be able to read them.
fn give_to_owner(file: &File, folder: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    Ok(fchown(file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?)
}

fn secret_of(bytes: &[u8]) -> Option<[u8; KEY_LENGTH]> {
    bytes.try_into().ok()
}

fn random() -> [u8; KEY_LENGTH] {
    rand::random()
}

fn derived(secret: &[u8; KEY_LENGTH], purpose: &str) -> [u8; KEY_LENGTH] {
    let mut key = [0; KEY_LENGTH];
    // HMAC-SHA512 gives as many bytes.
    key.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, secret), purpose.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_made_once_and_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/state");
        let state = StateDir::new(&path);
        assert!(state.known_key("cookies").is_none() && !path.exists(), "not before it is needed");
        let key = state.key("cookies").expect("a key");
        assert_ne!(state.key("links").expect("a key"), key);
        assert_eq!(StateDir::new(&path).known_key("cookies"), Some(key), "after a restart");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path.join("key")), mode(&path)), (0o600, 0o700));
        assert_ne!(StateDir::new(&folder.path().join("b")).key("cookies").expect("a key"), key);
    }

    #[test]
    fn all_who_come_at_once_have_the_same_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let come = || {
            std::thread::spawn({
                let path = path.clone();
                move || StateDir::new(&path).key("links").expect("a key")
            })
        };
        let keys: Vec<_> = (0..16).map(|_| come()).map(|one| one.join().expect("a key")).collect();
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_named() {
        let state = StateDir::new(Path::new("/proc/camgate"));
        let error = state.key("links").expect_err("nobody makes folders there").to_string();
        assert!(error.starts_with("[http] state_dir: cannot make /proc/camgate"), "{error}");
        assert_eq!(state.key_for_now("cookies"), state.key_for_now("cookies"), "cookies work until the restart");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("key"), "short").expect("a file");
        let error = StateDir::new(folder.path()).key("links").expect_err("this is no key").to_string();
        assert!(error.contains("cannot use") && error.contains("/key"), "{error}");
    }
}
