//! Notices that one of the files has changed that the configuration comes from.
//!
//! Looks at them every second instead of asking the kernel to tell (inotify): a look follows every symbolic link on the way,
//! as those of Kubernetes and of Nix, which are exchanged somewhere above the file; it sees files that editors put in another's
//! place, files on network file systems and those that are mounted into a container one by one, for all of which inotify is
//! blind or sees another file. It costs some microseconds a second, and goes on when a look panics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::metadata,
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, Weak},
    thread,
    time::Duration,
};

use tokio::sync::watch;

use crate::panics::{Part, Whose, caught};

/// Between two looks. A change counts when the next look finds the same: whoever writes a file may be in the middle of it.
const LOOK: Duration = Duration::from_secs(1);

/// Files that are looked after, on a thread of their own, which a file system that does not answer may hold up.
#[derive(Debug)]
pub(super) struct Files {
    known: Arc<Mutex<Stamps>>,
    has_changed: watch::Sender<bool>,
}

/// Device, inode, length, and when it was changed; nothing for a file that is not there.
pub(super) type Stamps = BTreeMap<PathBuf, Option<[i128; 5]>>;

impl Files {
    /// These files as they are now.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn new(files: BTreeSet<PathBuf>) -> io::Result<Self> {
        let (known, has_changed) = (Arc::new(Mutex::new(stamps(files))), watch::Sender::new(false));
        let (weak, tell) = (Arc::downgrade(&known), has_changed.clone());
        thread::Builder::new().name("files".to_owned()).spawn(move || look_after(&weak, &tell))?;
        Ok(Self { known, has_changed })
    }

    /// Completes when they have changed, and have been still since for a moment.
    ///
    /// # Cancel safety
    /// The next call completes.
    pub(super) async fn changed(&self) {
        // The sender lives as long as this does.
        let _ = self.has_changed.subscribe().wait_for(|changed| *changed).await;
    }

    /// The names.
    pub(super) fn names(&self) -> BTreeSet<PathBuf> {
        lock(&self.known).keys().cloned().collect()
    }

    /// Looks after `files` from now on. What `before` has of them is what they were before they were read, so that a change
    /// while they were read is not missed.
    pub(super) fn follow(&self, files: BTreeSet<PathBuf>, mut before: Stamps) {
        let known = files.iter().filter_map(|file| before.remove_entry(file)).collect::<Vec<_>>();
        let mut now = stamps(files);
        now.extend(known);
        *lock(&self.known) = now;
        self.has_changed.send_replace(false);
    }
}

/// Until nobody has the files any more.
#[expect(clippy::disallowed_methods, reason = "it has a thread of its own")]
fn look_after(files: &Weak<Mutex<Stamps>>, has_changed: &watch::Sender<bool>) {
    let mut before = Stamps::new();
    loop {
        thread::sleep(LOOK);
        let Some(files) = files.upgrade() else { return };
        // A look that panicked has seen nothing.
        before = caught(Part::Configuration, Whose::NOBODYS, || look(&files, &before, has_changed)).unwrap_or_default();
    }
}

/// What is there now.
fn look(files: &Mutex<Stamps>, before: &Stamps, has_changed: &watch::Sender<bool>) -> Stamps {
    let names: Vec<_> = lock(files).keys().cloned().collect();
    let seen = stamps(names);
    let known = lock(files);
    let is_still = seen == *before;
    if is_still && seen != *known && seen.keys().eq(known.keys()) {
        has_changed.send_replace(true);
    }
    seen
}

fn lock(files: &Mutex<Stamps>) -> MutexGuard<'_, Stamps> {
    files.lock().unwrap_or_else(|e| e.into_inner())
}

/// What these files are now.
pub(super) fn stamps(files: impl IntoIterator<Item = PathBuf>) -> Stamps {
    let stamp = |file: &PathBuf| {
        let found = metadata(file).ok()?;
        let parts = [found.mtime(), found.mtime_nsec()].map(i128::from);
        Some([found.dev().into(), found.ino().into(), found.len().into(), parts[0], parts[1]])
    };
    files.into_iter().map(|file| (file.clone(), stamp(&file))).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use tokio::time::timeout;

    use super::*;

    async fn is_noticed(files: &Files) -> bool {
        timeout(10 * LOOK, files.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_file_that_is_exchanged_far_away_is_noticed_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("1", "one"), ("2", "two")] {
            fs::create_dir(at(version)).expect("a folder");
            fs::write(at(version).join("config.toml"), text).expect("a file");
        }
        // As Kubernetes does with a ConfigMap.
        symlink("1", at("..data")).expect("a link");
        symlink("..data/config.toml", at("config.toml")).expect("a link");
        let files = Files::new(BTreeSet::from([at("config.toml")])).expect("a thread");
        assert!(timeout(3 * LOOK, files.changed()).await.is_err(), "nothing happened");
        symlink("2", at("..new")).expect("a link");
        fs::rename(at("..new"), at("..data")).expect("one in the place of the other");
        assert!(is_noticed(&files).await);
        let before = stamps(files.names());
        files.follow(BTreeSet::from([at("config.toml"), at("password")]), before);
        assert!(timeout(3 * LOOK, files.changed()).await.is_err(), "it was read");
        fs::write(at("password"), "secret").expect("a file");
        assert!(is_noticed(&files).await, "a file that was not there");
    }
}
