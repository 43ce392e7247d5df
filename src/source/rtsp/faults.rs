//! Packets that cannot be used: when they are skipped, and when the session is not worth going on with.
//!
//! In: each error that retina gives about a packet, each unit that came whole. Out: the failure to end the session with, once
//! it is clear that a track will not come back in it.

use std::time::{Duration, Instant};

use super::tracks::Tracks;
use crate::{media::Kind, source::Error};

/// So many packets in a row that cannot be understood mean that the stream itself cannot be.
pub(super) const MAX_FAULTS: u32 = 50;
/// How long packets of another source, or far out of their order, may come while a track is silent. A camera that has
/// changed its source in the middle of a session goes on like that, and only another session ends it; what is left of an
/// older session comes beside good packets. Longer than from picture to picture at two a second.
const FOREIGN_LIMIT: Duration = Duration::from_millis(600);

/// What went wrong since the last unit that came whole.
#[derive(Debug, Default)]
pub(super) struct Faults {
    count: u32,
    last: Option<Error>,
    foreign: Option<Foreign>,
}

/// A time in which packets of another source come.
#[derive(Debug)]
struct Foreign {
    since: Instant,
    /// Whether good ones came, too.
    video: bool,
    audio: bool,
}

impl Faults {
    /// A packet that cannot be used. The failure, if the session is to end.
    pub(super) fn add(&mut self, failure: Error, is_foreign: bool, now: Instant) -> Result<(), Error> {
        self.count += 1;
        if self.count >= MAX_FAULTS {
            return Err(failure);
        }
        if is_foreign {
            let foreign = self.foreign.get_or_insert(Foreign { since: now, video: false, audio: false });
            if now.saturating_duration_since(foreign.since) > FOREIGN_LIMIT {
                return Err(failure);
            }
        }
        self.last = Some(failure);
        Ok(())
    }

    /// A unit came whole.
    pub(super) fn good(&mut self, kind: Kind, tracks: &Tracks) {
        if kind == Kind::Video || tracks.video.is_none() {
            (self.count, self.last) = (0, None);
        }
        if let Some(foreign) = &mut self.foreign {
            match kind {
                Kind::Video => foreign.video = true,
                Kind::Audio => foreign.audio = true,
            }
            if (foreign.video || tracks.video.is_none()) && (foreign.audio || tracks.audio.is_none()) {
                self.foreign = None;
            }
        }
    }

    /// What to say when the camera closes the connection now.
    pub(super) fn last(self) -> Option<Error> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        media::{AudioCodec, AudioFormat},
        source::rtsp::tracks::Way,
    };

    fn tracks() -> Tracks {
        let sound = Way::Passed(AudioFormat { codec: AudioCodec::Pcmu, channels: 1 });
        Tracks { video: Some(0), audio: Some((1, sound)), metadata: None, unusable_sound: None }
    }

    fn add(faults: &mut Faults, is_foreign: bool, now: Instant) -> bool {
        faults.add(Error::HungUp, is_foreign, now).is_ok()
    }

    #[test]
    fn a_picture_between_packets_of_an_older_session_keeps_it() {
        let (mut faults, mut now) = (Faults::default(), Instant::now());
        for _ in 0..1_000 {
            now += Duration::from_millis(40);
            assert!(add(&mut faults, true, now));
            faults.good(Kind::Video, &tracks());
            faults.good(Kind::Audio, &tracks());
        }
    }

    #[test]
    fn a_picture_from_another_source_ends_it_though_there_is_sound() {
        let (mut faults, start) = (Faults::default(), Instant::now());
        let survived = (0..100_u32).take_while(|at| {
            faults.good(Kind::Audio, &tracks());
            add(&mut faults, true, start + Duration::from_millis(100) * *at)
        });
        assert_eq!(survived.count(), 7);
    }

    #[test]
    fn sound_from_another_source_ends_it_though_there_is_a_picture() {
        let (mut faults, start) = (Faults::default(), Instant::now());
        let survived = (0..100_u32).take_while(|at| {
            faults.good(Kind::Video, &tracks());
            add(&mut faults, true, start + Duration::from_millis(100) * *at)
        });
        assert_eq!(survived.count(), 7);
    }

    #[test]
    fn a_flood_of_nonsense_ends_it_at_once() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        assert_eq!((0..100).take_while(|_| add(&mut faults, false, now)).count(), MAX_FAULTS as usize - 1);
    }
}
