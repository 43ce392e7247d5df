//! Pictures of which a camera takes each slice for one: it marks each slice as the end of a picture.
//!
//! In: what was put together by markers and times. Out: whole pictures. Costs nothing as long as every picture begins at its
//! beginning; from the first that does not, each waits for the next, which tells that it is whole.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::{MediaTime, h264};

/// What is joined to one picture at most, in bytes. No camera makes a larger one; beyond, it is handed out as it is.
const MAX_PICTURE: usize = 8 << 20;

/// A picture, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) time: MediaTime,
    pub(super) captured: Instant,
    pub(super) keyframe: bool,
    /// Framed by four-byte lengths.
    pub(super) data: Bytes,
}

/// Joins slices.
#[derive(Debug, Default)]
pub(super) struct Slices {
    /// This camera parts them.
    parted: bool,
    held: Option<Picture>,
}

impl Slices {
    /// Takes the next piece. Returns the picture that is whole by it.
    pub(super) fn join(&mut self, piece: Picture) -> Option<Picture> {
        let continues = h264::first_macroblock(&piece.data).is_some_and(|first| first > 0);
        if !continues {
            return if self.parted { self.held.replace(piece) } else { Some(piece) };
        }
        // What the first one belonged to is gone already.
        self.parted = true;
        let Some(held) = self.held.take() else { return Some(piece) };
        let mut data = BytesMut::with_capacity(held.data.len() + piece.data.len());
        data.put_slice(&held.data);
        data.put_slice(&piece.data);
        let joined = Picture { keyframe: held.keyframe || piece.keyframe, data: data.freeze(), ..held };
        if joined.data.len() > MAX_PICTURE {
            return Some(joined);
        }
        self.held = Some(joined);
        None
    }

    /// What was held back.
    pub(super) fn take(&mut self) -> Option<Picture> {
        self.held.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::ClockRate;

    /// A slice that begins at macroblock 0, or 120.
    fn piece(start: Instant, ticks: i64, keyframe: bool, first: bool) -> Picture {
        let kind = if keyframe { 0x65 } else { 0x41 };
        let nal: &[u8] = if first { &[kind, 0x88] } else { &[kind, 0x03, 0xcc] };
        let data = [&(nal.len() as u32).to_be_bytes(), nal].concat().into();
        let time = MediaTime { ticks, rate: ClockRate::VIDEO };
        Picture { time, captured: start, keyframe, data }
    }

    #[test]
    fn whole_pictures_do_not_wait() {
        let (mut slices, start) = (Slices::default(), Instant::now());
        for ticks in 0..10 {
            let picture = piece(start, ticks, ticks == 0, true);
            assert_eq!(slices.join(picture.clone()), Some(picture));
        }
        assert_eq!(slices.take(), None);
    }

    #[test]
    fn parted_pictures_are_joined_from_the_second_on() {
        let (mut slices, start) = (Slices::default(), Instant::now());
        assert!(slices.join(piece(start, 0, true, true)).is_some());
        assert!(slices.join(piece(start, 0, true, false)).is_some());
        for ticks in 1..5 {
            let before = slices.join(piece(start, ticks, ticks == 3, true));
            if let Some(before) = before {
                assert_eq!(h264::nals(&before.data).count(), 3);
                assert_eq!((before.time.ticks, before.keyframe), (ticks - 1, ticks == 4));
            } else {
                assert_eq!(ticks, 1);
            }
            assert_eq!(slices.join(piece(start, ticks, ticks == 3, false)), None);
            assert_eq!(slices.join(piece(start, ticks, ticks == 3, false)), None);
        }
        assert_eq!(slices.take().map(|last| last.time.ticks), Some(4));
    }

    #[test]
    fn pieces_without_end_are_bounded() {
        let (mut slices, start) = (Slices::default(), Instant::now());
        slices.join(piece(start, 0, true, false));
        slices.join(piece(start, 0, true, true));
        let mut large = piece(start, 0, false, false);
        large.data = [&(1_000_000_u32.to_be_bytes())[..], &[0x41, 0x03, 0xcc], &vec![1; 999_997]].concat().into();
        let joined = (0..20).filter(|_| slices.join(large.clone()).is_some()).count();
        assert!(joined > 1, "{joined}");
    }
}
