//! The source's end of a camera: takes access units, packs each once, delivers it.

use std::sync::Arc;

use tracing::{info, warn};

use super::{Camera, Unit};
use crate::{
    media::{AccessUnit, AudioFormat, Kind, Reason, VideoFormat, h264::BFrames},
    rtp::{Continuity, pack_audio, pack_h264},
};

/// Feeds one camera. One at a time: a supervisor owns it across the camera's reconnects, so that the viewers'
/// timelines go on.
#[derive(Debug)]
pub struct Producer {
    camera: Arc<Camera>,
    video: Continuity,
    audio: Continuity,
    b_frames: BFrames,
    /// What the log has about the picture.
    told: Option<Reason>,
    /// Times that a GOP outgrew the cache, before the last keyframe.
    overflows: u64,
}

impl Producer {
    /// The one producer of `camera`.
    pub fn new(camera: Arc<Camera>) -> Self {
        Self {
            camera,
            video: Continuity::default(),
            audio: Continuity::default(),
            b_frames: BFrames::default(),
            told: None,
            overflows: 0,
        }
    }

    /// The camera it feeds.
    pub fn camera(&self) -> &Arc<Camera> {
        &self.camera
    }

    /// Parameter sets in force from the next video unit on.
    pub fn set_video(&mut self, format: VideoFormat) {
        if self.camera.formats().video.as_ref().is_none_or(|known| known.sps != format.sps) {
            self.b_frames = BFrames::of(&format.sps);
        }
        self.camera.set_formats(|formats| replace(&mut formats.video, Some(format)));
        self.tell();
    }

    /// The audio track's format, or that there is none.
    pub fn set_audio(&self, format: Option<AudioFormat>) {
        self.camera.set_formats(|formats| {
            let expected = std::mem::replace(&mut formats.audio_expected, false);
            replace(&mut formats.audio, format) || expected
        });
    }

    /// What of the sound does not come through; `None` for nothing.
    pub fn set_audio_note(&self, note: Option<Reason>) {
        self.camera.set_formats(|formats| replace(&mut formats.audio_note, note));
    }

    /// Packs and delivers a unit; never waits. A unit that cannot be packed is counted and dropped.
    pub fn publish(&mut self, unit: &AccessUnit) {
        if unit.kind == Kind::Video {
            self.watch_order(unit);
        }
        let payloads = match unit.kind {
            Kind::Video => {
                let formats = self.camera.formats();
                formats.video.as_ref().map(|format| pack_h264(&unit.data, unit.keyframe, format))
            }
            Kind::Audio => Some(pack_audio(&unit.data)),
        };
        let Some(payloads) = payloads.filter(|payloads| !payloads.is_empty()) else {
            self.camera.counters.unusable.add(1);
            return;
        };
        let line = match unit.kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        let ticks = line.place(unit.time, unit.captured);
        let bytes = payloads.iter().map(|payload| payload.len()).sum();
        self.camera.deliver(|number| Unit {
            number,
            kind: unit.kind,
            keyframe: unit.keyframe,
            ticks,
            captured: unit.captured,
            payloads,
            bytes,
        });
        if unit.kind == Kind::Video {
            self.watch_keyframes(unit);
        }
    }

    /// Tells when B-frames come and go.
    fn watch_order(&mut self, unit: &AccessUnit) {
        let b_frames = self.b_frames.note(&unit.data, unit.captured);
        let before = self.camera.formats().b_frames;
        if b_frames == before {
            return;
        }
        self.camera.set_formats(|formats| {
            formats.b_frames = b_frames;
            true
        });
        self.tell();
    }

    /// Tells when keyframes are so far apart that newcomers wait, and when they are no more.
    fn watch_keyframes(&mut self, unit: &AccessUnit) {
        let overflows = self.camera.counters.cache_overflows.total();
        let is_known = self.told.as_ref().is_some_and(|told| told.code == "long-gop");
        if overflows > self.overflows && !is_known {
            self.tell_of(self.camera.keyframe_note(unit.captured));
        } else if unit.keyframe {
            if overflows == self.overflows && is_known {
                self.tell();
            }
            self.overflows = overflows;
        }
    }

    fn tell(&mut self) {
        let note = self.camera.formats().video_note();
        self.tell_of(note);
    }

    /// Once for each change.
    fn tell_of(&mut self, note: Option<Reason>) {
        if self.told == note {
            return;
        }
        let name = self.camera.name();
        match &note {
            Some(reason) => {
                warn!(camera = %name, code = reason.code, %reason, "browsers may not show the picture")
            }
            None => info!(camera = %name, "nothing keeps browsers from showing the picture any more"),
        }
        self.told = note;
    }

    /// Sound will come, in a format that only its first frame tells.
    pub fn expect_audio(&self) {
        self.camera.set_formats(|formats| !std::mem::replace(&mut formats.audio_expected, true));
    }
}

/// Whether `place` changed.
fn replace<T: PartialEq>(place: &mut Option<T>, value: Option<T>) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}

#[cfg(test)]
mod tests;
