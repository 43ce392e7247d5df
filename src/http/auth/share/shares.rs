//! The shares that there are: kept in a file, which `camgate share` writes too, and looked at again whenever it matters.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::hmac;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{sync::watch, time::sleep};
use tracing::warn;

use super::{Maker, Share, ShareId, ShareToken, Wish};
use crate::http::auth::state_dir::{StateDir, StateError};

/// The file.
const FILE: &str = "shares.json";
/// What the key is for.
const PURPOSE: &str = "share tokens";
/// Shares at one time. Only who may share makes some.
const MAX_SHARES: usize = 1_000;
/// Between two looks at the file on behalf of a session: how much later a command ends it.
const LOOK: Duration = Duration::from_secs(1);

/// Why a share cannot be made or ended.
#[derive(Debug, Error)]
pub enum ShareError {
    /// It cannot be kept.
    #[error("{0}")]
    State(StateError),
    /// The file has been written by somebody else.
    #[error("{FILE} in [http] state_dir is not what camgate writes there ({0}); remove it to end all links")]
    Unreadable(serde_json::Error),
    /// There are too many.
    #[error("there are {MAX_SHARES} links already: end some first")]
    Full,
}

/// Makes shares, knows their tokens, counts who watches.
pub struct Shares {
    state: Arc<StateDir>,
    seen: Mutex<Seen>,
    /// That there are others than before.
    changed: watch::Sender<()>,
    seats: Arc<Mutex<HashMap<ShareId, u32>>>,
}

/// What was in the file when it was looked at.
#[derive(Default)]
struct Seen {
    stamp: Option<[i64; 4]>,
    shares: HashMap<ShareId, Arc<Share>>,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    shares: Vec<Share>,
}

/// What a token turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http::auth) enum Recognised {
    /// One of a share that goes on.
    Live(Arc<Share>),
    /// One of a share that is over.
    Ended,
    /// None of ours.
    Forged,
}

/// Somebody watches, until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Seat {
    seats: Arc<Mutex<HashMap<ShareId, u32>>>,
    share: ShareId,
}

impl Shares {
    /// Those in this folder, for a command that makes and ends some.
    pub fn open(folder: &Path) -> Self {
        Self::new(Arc::new(StateDir::new(folder)))
    }

    pub(in crate::http::auth) fn new(state: Arc<StateDir>) -> Self {
        Self { state, seen: Mutex::default(), changed: watch::Sender::default(), seats: Arc::default() }
    }

    /// Makes one for whoever runs the gateway.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn make(&self, wish: Wish) -> Result<(Share, ShareToken), ShareError> {
        self.make_for(Maker::Operator, wish, SystemTime::now())
    }

    pub(in crate::http) fn make_for(
        &self,
        by: Maker,
        wish: Wish,
        now: SystemTime,
    ) -> Result<(Share, ShareToken), ShareError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.state.key(PURPOSE).map_err(ShareError::State)?);
        let (id, made) = (ShareId(rand::random()), seconds(now));
        let Wish { camera, lasts, viewers, publish, note } = wish;
        let share = Share { id, camera, made, expires: made + lasts.as_secs(), viewers, publish, note, by };
        self.edit(now, |shares| {
            let has_room = shares.len() < MAX_SHARES;
            if has_room {
                shares.push(share.clone());
            }
            has_room.then_some(()).ok_or(ShareError::Full)
        })?;
        Ok((share, ShareToken::sign(&key, id)))
    }

    /// Ends a share; tells whether there was one.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn end(&self, id: ShareId) -> Result<bool, ShareError> {
        self.edit(SystemTime::now(), |shares| {
            let before = shares.len();
            shares.retain(|share| share.id != id);
            Ok(shares.len() < before)
        })
    }

    /// Those that go on, oldest first.
    pub fn list(&self) -> Vec<Arc<Share>> {
        let now = SystemTime::now();
        let seen = self.look();
        let mut shares: Vec<_> = seen.shares.values().filter(|share| share.expires() > now).cloned().collect();
        shares.sort_by_key(|share| (share.made, share.id.0));
        shares
    }

    /// What a text is that is meant to be a token.
    pub(in crate::http::auth) fn recognise(&self, text: &str, now: SystemTime) -> Recognised {
        let key = self.state.known_key(PURPOSE);
        let id = key.and_then(|key| ShareToken::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), text));
        let Some(id) = id else { return Recognised::Forged };
        let share = self.look().shares.get(&id).filter(|share| share.expires() > now).cloned();
        share.map_or(Recognised::Ended, Recognised::Live)
    }

    /// The token of a share.
    pub(in crate::http::auth) fn token(&self, share: &Share) -> Option<ShareToken> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.state.known_key(PURPOSE)?);
        Some(ShareToken::sign(&key, share.id))
    }

    /// A place to watch for somebody with the link.
    ///
    /// # Errors
    /// How many there are, all of which are taken.
    pub(in crate::http::auth) fn seat(&self, share: &Share) -> Result<Seat, u32> {
        let mut seats = lock(&self.seats);
        let taken = seats.entry(share.id).or_default();
        if let Some(all) = share.viewers.filter(|all| *taken >= all.get()) {
            return Err(all.get());
        }
        *taken += 1;
        Ok(Seat { seats: self.seats.clone(), share: share.id })
    }

    /// How many watch.
    pub(in crate::http) fn watching(&self, id: ShareId) -> u32 {
        lock(&self.seats).get(&id).copied().unwrap_or_default()
    }

    /// Completes when a share ends, by itself or before its time.
    pub(in crate::http::auth) async fn over(&self, share: &Share) {
        let mut changed = self.changed.subscribe();
        loop {
            let expires = self.look().shares.get(&share.id).map(|share| share.expires());
            let left = expires.and_then(|expires| expires.duration_since(SystemTime::now()).ok()).unwrap_or_default();
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                // The sender lives as long as this does.
                _ = changed.changed() => {}
            }
        }
    }

    /// What is in the file now. One that cannot be read shows nobody anything.
    fn look(&self) -> MutexGuard<'_, Seen> {
        let mut seen = lock(&self.seen);
        let stamp = self.state.stamp(FILE);
        if seen.stamp != stamp {
            let file = self.load().unwrap_or_else(|error| {
                warn!("{error}. Until then no link works");
                File::default()
            });
            seen.shares = file.shares.into_iter().map(|share| (share.id, Arc::new(share))).collect();
            seen.stamp = stamp;
            self.changed.send_replace(());
        }
        seen
    }

    /// Changes the file while nobody else does. Shares that are over by themselves go by the way.
    fn edit<T>(
        &self,
        now: SystemTime,
        change: impl FnOnce(&mut Vec<Share>) -> Result<T, ShareError>,
    ) -> Result<T, ShareError> {
        let edited = self.state.alone(|| {
            let edit = || {
                let mut file = self.load()?;
                file.shares.retain(|share| share.expires() > now);
                let changed = change(&mut file.shares)?;
                let bytes = serde_json::to_vec_pretty(&file).map_err(ShareError::Unreadable)?;
                self.state.replace(FILE, &bytes).map_err(ShareError::State)?;
                Ok(changed)
            };
            Ok(edit())
        });
        let edited = edited.map_err(ShareError::State)?;
        drop(self.look());
        edited
    }

    fn load(&self) -> Result<File, ShareError> {
        match self.state.read(FILE).map_err(ShareError::State)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(ShareError::Unreadable),
            None => Ok(File::default()),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = lock(&self.seats);
        if let Some(taken) = seats.get_mut(&self.share) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.share);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn wish(viewers: Option<u32>) -> Wish {
        Wish::new("front", HOUR, viewers, "plumber").expect("a good wish")
    }

    fn is_live(shares: &Shares, token: &ShareToken, now: SystemTime) -> bool {
        matches!(shares.recognise(token.expose(), now), Recognised::Live(_))
    }

    #[test]
    fn a_link_outlives_the_program_and_so_does_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let (gateway, now) = (Shares::open(folder.path()), SystemTime::now());
        assert_eq!(gateway.recognise("cgs_AAAA", now), Recognised::Forged);
        // A command, while the gateway runs.
        let command = Shares::open(folder.path());
        let (share, token) = command.make(wish(None)).expect("a share");
        let (other, kept) = command.make(wish(None)).expect("a share");
        assert!(is_live(&gateway, &token, now) && is_live(&gateway, &kept, now));
        assert_eq!(gateway.recognise(token.expose(), now + HOUR), Recognised::Ended);
        assert!(Shares::open(folder.path()).end(share.id).expect("no fault"));
        assert!(!command.end(share.id).expect("no fault"), "once");
        for shares in [&gateway, &command, &Shares::open(folder.path())] {
            assert_eq!(shares.recognise(token.expose(), now), Recognised::Ended);
            assert!(is_live(shares, &kept, now));
            assert_eq!(shares.list().iter().map(|share| share.id).collect::<Vec<_>>(), [other.id]);
        }
        let file = std::fs::read_to_string(folder.path().join(FILE)).expect("a file");
        assert!(file.contains(&other.id.to_string()) && !file.contains(&kept.expose()[16..]), "{file}");
        let elsewhere = Shares::open(tempfile::tempdir().expect("a folder").path());
        assert_eq!(elsewhere.recognise(kept.expose(), now), Recognised::Forged);
    }

    #[test]
    fn a_file_that_others_have_written_shows_nobody_anything_and_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let shares = Shares::open(folder.path());
        let (_, token) = shares.make(wish(None)).expect("a share");
        std::fs::write(folder.path().join(FILE), "{").expect("a file");
        assert_eq!(shares.recognise(token.expose(), SystemTime::now()), Recognised::Ended);
        let error = shares.make(wish(None)).expect_err("it would overwrite it").to_string();
        assert!(error.contains("shares.json"), "{error}");
    }

    #[test]
    fn there_are_only_so_many_and_those_that_are_over_make_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let (shares, now) = (Shares::open(folder.path()), SystemTime::now());
        let share = shares.make(wish(None)).expect("a share").0;
        let many = (0..MAX_SHARES as u64).map(|number| Share { id: ShareId(number), ..share.clone() });
        let text = serde_json::to_vec(&File { shares: many.collect() }).expect("a text");
        std::fs::write(folder.path().join(FILE), text).expect("a file");
        assert!(matches!(shares.make(wish(None)), Err(ShareError::Full)));
        shares.make_for(Maker::Operator, wish(None), now + HOUR * 2).expect("room");
        assert_eq!(shares.load().expect("a file").shares.len(), 1);
    }

    #[test]
    fn only_so_many_watch_at_one_time() {
        let shares = Shares::new(Arc::new(StateDir::forgotten()));
        let (one, _) = shares.make(wish(Some(1))).expect("a share");
        let (any, _) = shares.make(wish(None)).expect("a share");
        let first = shares.seat(&one).expect("a seat");
        assert_eq!(shares.seat(&one).map(drop), Err(1));
        let _others: Vec<_> = (0..100).map(|_| shares.seat(&any).expect("a seat")).collect();
        assert_eq!((shares.watching(one.id), shares.watching(any.id)), (1, 100));
        drop(first);
        drop(shares.seat(&one).expect("it is free again"));
        assert_eq!(shares.watching(one.id), 0);
    }

    #[tokio::test]
    async fn the_end_of_a_share_can_be_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (shares, now) = (Shares::open(folder.path()), SystemTime::now());
        let (share, _) = shares.make(wish(None)).expect("a share");
        assert!(timeout(LOOK * 2, shares.over(&share)).await.is_err(), "it goes on");
        tokio::join!(shares.over(&share), async { shares.end(share.id).expect("no fault") });
        let (share, _) = shares.make(wish(None)).expect("a share");
        // By a command.
        tokio::join!(shares.over(&share), async { Shares::open(folder.path()).end(share.id).expect("no fault") });
        let (past, _) = shares.make_for(Maker::Operator, wish(None), now - HOUR * 2).expect("a share");
        shares.over(&past).await;
    }
}
