//! The last seconds of a camera, for clips: handles of the units of both tracks, from a keyframe on, bounded in bytes and kept
//! for a time. Nothing is copied; what viewers are sent is what is kept.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::Unit;
use crate::media::{AudioFormat, Kind};

/// How much of a camera's past is kept for clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipLimits {
    /// So much of the past is kept at least, and up to a GOP more, because a clip begins with a keyframe.
    pub length: Duration,
    /// Most bytes of memory; what is oldest goes, by whole GOPs. A GOP that is larger is not kept at all.
    pub max_bytes: usize,
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footage {
    /// Memory in use, in bytes.
    pub bytes: usize,
    /// From the first picture to the last.
    pub length: Duration,
    /// As [`ClipLimits::length`].
    pub wanted: Duration,
}

/// A piece of the past.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Pictures, keyframe first, and the sound that came with them, in the order of arrival.
    pub units: Vec<Arc<Unit>>,
    /// Of the sound, if there is any.
    pub audio: Option<AudioFormat>,
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    limits: Option<ClipLimits>,
    units: VecDeque<Arc<Unit>>,
    bytes: usize,
    audio: Option<AudioFormat>,
}

impl Ring {
    /// Counts from now on; memory that is not allowed any more is given back at once.
    pub(super) fn set_limits(&mut self, limits: Option<ClipLimits>) {
        self.limits = limits;
        if limits.is_none() {
            *self = Self::default();
        }
        self.forget();
    }

    pub(super) fn is_on(&self) -> bool {
        self.limits.is_some()
    }

    /// Takes in the next unit; `audio` is the format of sound now. Returns `false` when a GOP was too large to be kept.
    pub(super) fn push(&mut self, unit: &Arc<Unit>, audio: Option<AudioFormat>) -> bool {
        if unit.kind == Kind::Audio && self.audio != audio {
            // A clip has one format of sound, and the newer is the one that goes on.
            self.units.retain(|unit| unit.kind == Kind::Video);
            self.bytes = self.units.iter().map(|unit| unit.memory()).sum();
            self.audio = audio;
        }
        if self.units.is_empty() && !is_start(unit) {
            return true;
        }
        self.units.push_back(unit.clone());
        self.bytes += unit.memory();
        let is_due = is_start(unit) || self.limits.is_some_and(|limits| self.bytes > limits.max_bytes);
        !is_due || self.forget()
    }

    pub(super) fn measure(&self) -> Option<Footage> {
        let wanted = self.limits?.length;
        let captured = |unit: Option<&Arc<Unit>>| unit.map(|unit| unit.captured);
        let newest = self.units.iter().rev().find(|unit| unit.kind == Kind::Video);
        let (first, last) = (captured(self.units.front()), captured(newest));
        let length = first.zip(last).map(|(first, last)| last.saturating_duration_since(first));
        Some(Footage { bytes: self.bytes, length: length.unwrap_or_default(), wanted })
    }

    pub(super) fn clip(&self, length: Option<Duration>) -> Option<Clip> {
        let newest = self.units.iter().rev().find(|unit| unit.kind == Kind::Video)?.captured;
        let reaches =
            |unit: &Arc<Unit>| length.is_none_or(|length| newest.saturating_duration_since(unit.captured) >= length);
        // The youngest keyframe from which on it is long enough, else the oldest.
        let mut starts = self.units.iter().enumerate().filter(|(_, unit)| is_start(unit));
        let start = match length {
            Some(_) => starts.rfind(|(_, unit)| reaches(unit)).map_or(0, |(at, _)| at),
            None => 0,
        };
        Some(Clip { units: self.units.range(start..).cloned().collect(), audio: self.audio })
    }

    /// Lets go of the oldest GOPs that nobody asks for or that there is no memory for. Returns whether anything is left.
    fn forget(&mut self) -> bool {
        let (Some(limits), Some(newest)) = (self.limits, self.units.back().map(|unit| unit.captured)) else {
            return true;
        };
        loop {
            let next = self.units.iter().enumerate().skip(1).find(|(_, unit)| is_start(unit));
            let is_too_much = self.bytes > limits.max_bytes;
            match next {
                Some((at, unit)) if is_too_much || newest.saturating_duration_since(unit.captured) >= limits.length => {
                    let freed: usize = self.units.drain(..at).map(|unit| unit.memory()).sum();
                    self.bytes -= freed;
                }
                None if is_too_much => {
                    self.units = VecDeque::new();
                    self.bytes = 0;
                    return false;
                }
                _ => return true,
            }
        }
    }
}

fn is_start(unit: &Arc<Unit>) -> bool {
    unit.kind == Kind::Video && unit.keyframe
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::*;
    use crate::media::AudioCodec;

    const OPUS: Option<AudioFormat> = Some(AudioFormat { codec: AudioCodec::Opus, channels: 1 });

    /// A unit each 100 ms; a picture is a keyframe each second.
    fn unit(start: Instant, number: u64, kind: Kind) -> Arc<Unit> {
        Arc::new(Unit {
            number,
            kind,
            keyframe: kind == Kind::Audio || number.is_multiple_of(10),
            ticks: number as i64 * 9_000,
            captured: start + Duration::from_millis(number * 100),
            payloads: vec![Bytes::from(vec![0; 1_000])],
            bytes: 1_000,
        })
    }

    fn ring(seconds: u64, max_bytes: usize) -> Ring {
        let mut ring = Ring::default();
        ring.set_limits(Some(ClipLimits { length: Duration::from_secs(seconds), max_bytes }));
        ring
    }

    fn numbers(ring: &Ring, length: Option<u64>) -> (u64, u64) {
        let clip = ring.clip(length.map(Duration::from_secs)).expect("a clip");
        (clip.units[0].number, clip.units[clip.units.len() - 1].number)
    }

    #[test]
    fn it_begins_with_a_keyframe_and_is_as_long_as_wished() {
        let start = Instant::now();
        let mut ring = ring(3, usize::MAX);
        assert!(ring.clip(None).is_none());
        for number in 5..=65 {
            assert!(ring.push(&unit(start, number, Kind::Video), None));
        }
        assert_eq!(numbers(&ring, None), (30, 65), "three seconds and what is left of a GOP");
        assert_eq!(numbers(&ring, Some(1)), (50, 65));
        assert_eq!(numbers(&ring, Some(0)), (60, 65));
        assert_eq!(numbers(&ring, Some(60)), (30, 65), "no more than there is");
        assert_eq!(ring.measure().map(|footage| footage.length), Some(Duration::from_millis(3_500)));
    }

    #[test]
    fn memory_is_bounded_by_whole_gops() {
        let start = Instant::now();
        let each = unit(start, 0, Kind::Video).memory();
        let mut ring = ring(60, 25 * each);
        for number in 0..=100 {
            assert!(ring.push(&unit(start, number, Kind::Video), None));
            assert!(ring.bytes <= 25 * each && ring.bytes == ring.units.len() * each);
        }
        assert_eq!(numbers(&ring, None), (80, 100));
        ring.set_limits(Some(ClipLimits { length: Duration::from_secs(1), max_bytes: 11 * each }));
        assert_eq!(numbers(&ring, None), (90, 100), "at once");
        for number in 101..=109 {
            ring.push(&unit(start, number, Kind::Video), None);
        }
        ring.set_limits(None);
        assert!(ring.clip(None).is_none() && ring.measure().is_none() && ring.bytes == 0);
    }

    #[test]
    fn a_gop_that_is_too_large_is_not_kept() {
        let start = Instant::now();
        let each = unit(start, 0, Kind::Video).memory();
        let mut ring = ring(60, 5 * each);
        let kept: Vec<_> = (0..=9).map(|number| ring.push(&unit(start, number, Kind::Video), None)).collect();
        assert_eq!(kept.iter().filter(|kept| !**kept).count(), 1, "told once");
        assert!(ring.clip(None).is_none() && ring.bytes == 0);
        assert!(ring.push(&unit(start, 10, Kind::Video), None));
        assert_eq!(numbers(&ring, None), (10, 10));
    }

    #[test]
    fn sound_is_kept_with_its_pictures_and_in_one_format() {
        let start = Instant::now();
        let mut ring = ring(60, usize::MAX);
        assert!(ring.push(&unit(start, 0, Kind::Audio), OPUS));
        assert!(ring.clip(None).is_none(), "no picture");
        for number in 10..20 {
            ring.push(&unit(start, number, Kind::Video), OPUS);
            ring.push(&unit(start, number, Kind::Audio), OPUS);
        }
        assert_eq!(ring.clip(None).map(|clip| (clip.units.len(), clip.audio)), Some((20, OPUS)));
        let other = Some(AudioFormat { codec: AudioCodec::Pcma, channels: 1 });
        ring.push(&unit(start, 20, Kind::Audio), other);
        assert_eq!(ring.clip(None).map(|clip| (clip.units.len(), clip.audio)), Some((11, other)));
        assert_eq!(ring.bytes, ring.units.iter().map(|unit| unit.memory()).sum::<usize>());
    }
}
