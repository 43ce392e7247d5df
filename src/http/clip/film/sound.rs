//! The sound of a clip as an MP4 has it: Opus, as it came or made of G.711. G.722 is left out.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;

use crate::{
    hub::Unit,
    media::{
        AudioCodec, AudioFormat, MediaTime,
        transcode::{G711, Options, Source, Transcoder},
    },
};

/// What becomes of it.
pub(super) enum Sound {
    /// There is none, or none that players play in an MP4.
    None,
    /// It is Opus.
    Opus,
    /// Hardly any player plays it in an MP4.
    G711(Box<Transcoding>),
}

pub(super) struct Transcoding {
    law: G711,
    transcoder: Transcoder,
}

/// One Opus packet.
pub(super) struct Frame {
    /// Of 48 kHz, of its first sample.
    pub(super) ticks: i64,
    /// When that was captured.
    pub(super) captured: Instant,
    pub(super) data: Bytes,
}

impl Sound {
    pub(super) fn of(format: Option<AudioFormat>) -> Self {
        let law = match format.map(|format| format.codec) {
            Some(AudioCodec::Opus) => return Self::Opus,
            Some(AudioCodec::Pcmu) => G711::MuLaw,
            Some(AudioCodec::Pcma) => G711::ALaw,
            Some(AudioCodec::G722) | None => return Self::None,
        };
        let source = Source::L16 { rate: AudioCodec::Pcmu.clock_rate(), channels: 1 };
        match Transcoder::new(&source, Options::default()) {
            Ok(transcoder) => Self::G711(Box::new(Transcoding { law, transcoder })),
            Err(error) => {
                debug!(%error, "a clip has no sound");
                Self::None
            }
        }
    }

    /// The packets of a unit; of one that is transcoded, those that have become whole with it.
    pub(super) fn frames(&mut self, unit: &Unit) -> Vec<Frame> {
        match self {
            Self::None => Vec::new(),
            Self::Opus => {
                let frame = |data: &Bytes| Frame { ticks: unit.ticks, captured: unit.captured, data: data.clone() };
                unit.payloads.first().map(frame).into_iter().collect()
            }
            Self::G711(transcoding) => transcoding.frames(unit),
        }
    }
}

impl Transcoding {
    pub(super) fn frames(&mut self, unit: &Unit) -> Vec<Frame> {
        let time = MediaTime { ticks: unit.ticks, rate: AudioCodec::Pcmu.clock_rate() };
        for payload in &unit.payloads {
            if let Err(error) = self.transcoder.push(&self.law.to_l16(payload), time, unit.captured, 0) {
                debug!(%error, "a packet of a clip's sound is left out");
            }
        }
        let frames = std::iter::from_fn(|| self.transcoder.pull());
        frames.map(|frame| Frame { ticks: frame.time.ticks, captured: frame.captured, data: frame.data }).collect()
    }
}
