//! Where somebody talks to the people before a camera: an [`Intake`] for sound, one speaker at a time, and who that is.
//!
//! In: what a viewer's microphone sends. Out: the same, to what the camera is talked to by (`source::talk`), and for everybody
//! whether the camera can be talked to, and who does.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Intake, NotTaken, Publication, Takeover, Tracks};

/// Whether a camera is talked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Talking {
    /// How long one may talk; `None`: nobody may.
    pub limit: Option<Duration>,
    /// Somebody does.
    pub is_busy: bool,
    /// That user's name, where there are users.
    pub speaker: Option<String>,
}

/// A camera's ear.
#[derive(Debug, Default)]
pub struct Talk {
    intake: Intake,
    state: watch::Sender<Talking>,
}

impl Talk {
    /// Whether somebody may talk, and for how long. Without a limit whoever does has to stop.
    pub fn open(&self, limit: Option<Duration>) {
        self.intake.open(limit.map(|_| Takeover::Refused));
        self.state.send_if_modified(|state| std::mem::replace(&mut state.limit, limit) != limit);
    }

    /// Who talks, to wait for changes of it.
    pub fn state(&self) -> watch::Receiver<Talking> {
        self.state.subscribe()
    }

    /// Where the sound comes in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Takes the floor for `user`, until what is returned is dropped.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn begin(&self, user: Option<String>, now: Instant) -> Result<Publication, NotTaken> {
        self.intake.publish(Tracks { video: false, audio: true }, user, now)
    }

    /// Notes who talks, until the guard is dropped.
    pub fn hold(&self, speaker: Option<&str>) -> impl Drop + use<'_> {
        let note = |is_busy, speaker: Option<String>| {
            self.state.send_modify(|state| (state.is_busy, state.speaker) = (is_busy, speaker));
        };
        note(true, speaker.map(str::to_owned));
        Held(move || note(false, None))
    }
}

struct Held<F: Fn()>(F);

impl<F: Fn()> Drop for Held<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Over;

    #[test]
    fn one_talks_at_a_time_and_everybody_knows_who() {
        let (talk, now) = (Talk::default(), Instant::now());
        assert_eq!(talk.begin(None, now).err(), Some(NotTaken::NotPublished), "nobody may");
        talk.open(Some(Duration::from_secs(60)));
        let anna = talk.begin(Some("anna".into()), now).expect("the first");
        assert_eq!(talk.begin(None, now).err(), Some(NotTaken::Occupied));
        let read = talk.intake().read().expect("it is there");
        let held = talk.hold(read.user());
        let state = talk.state().borrow().clone();
        assert_eq!((state.is_busy, state.speaker.as_deref()), (true, Some("anna")));
        drop(held);
        assert_eq!(*talk.state().borrow(), Talking { limit: state.limit, ..Talking::default() });
        talk.open(None);
        assert_eq!(anna.over(), Some(Over::NotPublished));
    }
}
