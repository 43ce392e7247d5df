//! A clip's units as a film: which of them, and when each is shown.

mod sound;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use self::sound::Sound;
use crate::{
    hub::{Clip, Unit},
    media::{
        AudioCodec, Kind, VideoFormat, h264,
        mp4::{Film, Mp4Error, Sample, Track},
    },
};

/// By so much a track's own clock may be apart from the time of capture before it is set by that: camera clocks drift by
/// milliseconds in a clip's minutes, and what is further apart was an interruption. Less is not heard and not seen.
const LOOSE: Duration = Duration::from_millis(100);

/// A film that is ready to be sent.
pub(in crate::http) struct Ready {
    /// Its bytes, in order.
    pub(in crate::http) pieces: Vec<Bytes>,
    /// When its last picture was captured.
    pub(in crate::http) ends: SystemTime,
}

impl Ready {
    pub(super) fn size(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

/// Of all pictures that are coded by the same parameter sets as the last, up to that one, and of the sound with them: a film that
/// changes its size in the middle is played to the end by few players.
pub(super) fn of(clip: &Clip) -> Result<Ready, Mp4Error> {
    let (units, format) = coherent(&clip.units)?;
    let start = units[0].captured;
    let last = units.iter().rev().find(|unit| unit.kind == Kind::Video).map_or(start, |unit| unit.captured);
    let mut sound = Sound::of(clip.audio);
    let mut film = Film::new(format, clip.audio.map_or(1, |audio| audio.channels));
    let mut pictures = Clock::new(start, VIDEO_HZ);
    // Ticks of pictures with B-frames are those of their order on the way; the time of capture is that of their showing.
    pictures.follows_capture = is_reordered(units);
    let mut frames = Clock::new(start, AudioCodec::Opus.clock_rate().hz());
    for unit in units {
        match unit.kind {
            Kind::Video => {
                let Some(at) = pictures.at(unit.ticks, unit.captured) else { continue };
                film.push(Track::Video, Sample { at, keyframe: unit.keyframe, pieces: framed(unit) });
            }
            Kind::Audio => {
                for frame in sound.frames(unit) {
                    let Some(at) = frames.next(frame.ticks, frame.captured) else { continue };
                    film.push(Track::Audio, Sample { at, keyframe: true, pieces: vec![frame.data] });
                }
            }
        }
    }
    let now = SystemTime::now();
    let began = (now - start.elapsed()).duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Ready { pieces: film.finish(began)?, ends: now - last.elapsed() })
}

/// Ticks per second of pictures in RTP (RFC 6184 section 8.2.1).
const VIDEO_HZ: u32 = 90_000;

/// The units from the first keyframe on that has the parameter sets of the last one, without a change between them.
fn coherent(units: &[Arc<Unit>]) -> Result<(&[Arc<Unit>], VideoFormat), Mp4Error> {
    let mut found = None;
    for (at, unit) in units.iter().enumerate().rev().filter(|(_, unit)| unit.kind == Kind::Video && unit.keyframe) {
        let Some(format) = unit.parameter_sets() else { break };
        match &found {
            Some((_, newer)) if *newer != format => break,
            _ => found = Some((at, format)),
        }
    }
    let (start, format) = found.ok_or(Mp4Error::Empty)?;
    Ok((&units[start..], format))
}

fn is_reordered(units: &[Arc<Unit>]) -> bool {
    let mut captured = units.iter().filter(|unit| unit.kind == Kind::Video).map(|unit| unit.captured);
    !captured.by_ref().is_sorted()
}

/// NAL units behind their lengths, without the parameter sets, which are in the index.
fn framed(unit: &Unit) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(unit.payloads.len() + 4);
    for nal in unit.nal_units() {
        if !matches!(nal.kind(), h264::NAL_SPS | h264::NAL_PPS) {
            pieces.push(Bytes::copy_from_slice(&(nal.len() as u32).to_be_bytes()));
            pieces.extend_from_slice(nal.pieces());
        }
    }
    pieces
}

/// When a track's units are shown: by its own even ticks, set by the time of capture, which both tracks share.
struct Clock {
    start: Instant,
    hz: u32,
    /// Ticks of a unit, and ticks from the start of the film to it, where they were set last.
    anchor: Option<(i64, i64)>,
    follows_capture: bool,
    newest: Option<Duration>,
}

impl Clock {
    fn new(start: Instant, hz: u32) -> Self {
        Self { start, hz, anchor: None, follows_capture: false, newest: None }
    }

    /// `None` for what is before the film.
    fn at(&mut self, ticks: i64, captured: Instant) -> Option<Duration> {
        let since = captured.saturating_duration_since(self.start).as_nanos() as i64;
        let before = self.start.saturating_duration_since(captured).as_nanos() as i64;
        let captured = since - before;
        let by_ticks = self.anchor.map(|(anchor, at)| at.saturating_add(ticks.saturating_sub(anchor)));
        let is_near = |at: i64| self.nanos(at).abs_diff(captured) <= LOOSE.as_nanos() as u64;
        let at = match by_ticks.filter(|at| !self.follows_capture && is_near(*at)) {
            Some(at) => at,
            None => {
                let at = (i128::from(captured) * i128::from(self.hz) / 1_000_000_000) as i64;
                self.anchor = Some((ticks, at));
                at
            }
        };
        u64::try_from(self.nanos(at)).ok().map(Duration::from_nanos)
    }

    /// The same of units that are shown in the order in which they come.
    fn next(&mut self, ticks: i64, captured: Instant) -> Option<Duration> {
        let after = |newest: Duration| newest + Duration::from_nanos(self.nanos(1) as u64);
        let least = self.newest.map(after);
        let at = self.at(ticks, captured)?;
        self.newest = Some(least.map_or(at, |least| least.max(at)));
        self.newest
    }

    fn nanos(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * 1_000_000_000 / i128::from(self.hz)) as i64
    }
}

#[cfg(test)]
mod tests;
