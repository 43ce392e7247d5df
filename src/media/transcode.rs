//! Sound that browsers cannot play, made into Opus: AAC and L16 in, Opus out. The other way round [`SpeechDecoder`], for cameras
//! that are talked to.
//!
//! One [`Transcoder`] is one camera's audio track. In: coded frames as the camera sent them, each with its media time
//! and capture time. Out: Opus frames of 20 ms that lie on a timeline of 48 kHz without gaps, as long as the camera's
//! sound has none. Nothing here does I/O, awaits, starts threads or reads a clock; decoding and encoding a frame takes
//! well below a millisecond, so the caller decides where that happens.
//!
//! **Delay.** What is added to the camera's own delay, worst case: 20 ms for an Opus frame to fill, 6.5 ms of Opus
//! lookahead, and half a resampling kernel (4 ms at 8 kHz, 2 ms at 16 kHz, 0.4 ms at 44.1 kHz; 0.3 ms at 48 kHz). So at
//! most 31 ms; `benches/audio.rs` measures it.
//!
//! **Lip sync.** A frame's time and capture time belong to the first sample that a decoder gives for it: the lookahead
//! is subtracted. AAC has a delay of its own (1024 samples and more between what an encoder takes and what a decoder
//! gives); the camera's timestamps are to be of the decoded samples (ISO/IEC 14496-1, composition time), and nothing in
//! a stream tells whether they are.
//!
//! **Left out.** G.726: crates.io has no maintained decoder, only a binding to spandsp, a telephony library in C. What
//! HE-AAC loses, and which kinds of AAC are refused, is in [`Reduction`] and [`TranscodeError`].

mod aac;
mod conceal;
mod encode;
mod error;
mod g711;
mod l16;
mod line;
mod pcm;
mod resample;
mod speech;

use std::{
    collections::VecDeque,
    fmt, mem,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{
    conceal::Conceal,
    encode::Encoder,
    line::{Line, Place},
    pcm::Pcm,
    resample::Resampler,
};
pub use self::{
    error::{FrameError, TranscodeError},
    g711::G711,
    speech::{Speech, SpeechDecoder},
};
use super::{AudioCodec, AudioFormat, ClockRate, MediaTime};

/// So many bad frames in a row mean that no frame can be decoded: 0.4 to 6 s of sound.
const ENDLESS: u32 = 50;
/// Bits per second that make speech and most else sound like the camera's own AAC, without a wish of the user's.
const MONO_BITRATE: u32 = 32_000;
/// The same for stereo.
const STEREO_BITRATE: u32 = 48_000;
/// Source rates in hertz that are accepted: those of AAC. L16 is offered by cameras at 8000 to 48000.
const RATES: std::ops::RangeInclusive<u32> = 7_350..=96_000;

/// What the camera sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Raw AAC access units, one a frame: no ADTS header, no LATM.
    Aac {
        /// The AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1), which RTP's SDP and GStreamer's codec_data hold.
        config: Bytes,
    },
    /// RFC 3551 L16: big endian, channels interleaved, whole samples.
    L16 {
        /// Samples per second.
        rate: ClockRate,
        /// 1 to 6; more than two become stereo.
        channels: u8,
    },
}

/// What the user can choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Bits per second, 6000 to 510000; `None`: 32000 for mono, 48000 for stereo.
    pub bitrate_bps: Option<u32>,
}

/// What of the camera's sound does not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reduction {
    /// HE-AAC, of which the AAC-LC part is played.
    #[error("HE-AAC is played without its upper frequencies, up to {up_to_hz} Hz; AAC-LC would be played in full")]
    HeAac {
        /// The highest frequency, in hertz.
        up_to_hz: u32,
    },
    /// HE-AAC v2, of which the AAC-LC part is played.
    #[error("HE-AAC v2 is played in mono and up to {up_to_hz} Hz; AAC-LC would be played in full")]
    HeAacV2 {
        /// The highest frequency, in hertz.
        up_to_hz: u32,
    },
}

/// 20 ms of sound.
#[derive(Clone, Debug)]
pub struct OpusFrame {
    /// One Opus packet (RFC 6716 section 3).
    pub data: Bytes,
    /// When its first decoded sample is to be presented, in ticks of 48 kHz. Starts with the source's media time; grows
    /// by 960 from frame to frame, or by more behind a hole.
    pub time: MediaTime,
    /// When that sample was captured. Never goes back.
    pub captured: Instant,
}

/// One track's way from the camera's codec to Opus.
pub struct Transcoder {
    decoder: Decoder,
    format: AudioFormat,
    reduction: Option<Reduction>,
    line: Line,
    conceal: Conceal,
    resampler: Resampler,
    encoder: Encoder,
    out: VecDeque<OpusFrame>,
    /// Frames in a row that could not be decoded.
    bad: u32,
    /// Source samples; kept for its memory.
    pcm: Pcm,
    /// Samples to encode; kept for its memory.
    resampled: Pcm,
}

enum Decoder {
    Aac(Box<aac::Decoder>),
    L16 { channels: u8 },
}

impl Transcoder {
    /// A transcoder for a track that starts now.
    ///
    /// # Errors
    /// When the source is of a kind that cannot be decoded, or the bitrate is out of range.
    pub fn new(source: &Source, options: Options) -> Result<Self, TranscodeError> {
        let (decoder, hz, channels, reduction) = match source {
            Source::Aac { config } => {
                let config = aac::Config::parse(config)?;
                check_rate(config.hz)?;
                let decoder = Decoder::Aac(Box::new(aac::Decoder::new(config)?));
                (decoder, config.hz, config.channels, config.reduction)
            }
            Source::L16 { rate, channels } => {
                check_rate(rate.hz())?;
                if !(1..=l16::MAX_CHANNELS).contains(channels) {
                    return Err(TranscodeError::Channels(*channels));
                }
                (Decoder::L16 { channels: *channels }, rate.hz(), (*channels).min(2), None)
            }
        };
        let bitrate = options.bitrate_bps.unwrap_or(if channels == 1 { MONO_BITRATE } else { STEREO_BITRATE });
        if !(6_000..=510_000).contains(&bitrate) {
            return Err(TranscodeError::Bitrate(bitrate));
        }
        let encoder = Encoder::new(hz, channels, bitrate)?;
        let unsettled = if matches!(decoder, Decoder::Aac(_)) { aac::UNIT_SAMPLES } else { 0 };
        Ok(Self {
            decoder,
            format: AudioFormat { codec: AudioCodec::Opus, channels },
            reduction,
            line: Line::new(encoder.rate()),
            conceal: Conceal::new(hz, channels, unsettled),
            resampler: Resampler::new(channels, hz, encoder.rate()),
            encoder,
            out: VecDeque::new(),
            bad: 0,
            pcm: Pcm::new(channels),
            resampled: Pcm::new(channels),
        })
    }

    /// What comes out: Opus, and the channels that are heard.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// What is lost on the way although nothing fails; for the log and the page.
    pub fn reduction(&self) -> Option<Reduction> {
        self.reduction
    }

    /// By how much later sound leaves the viewer's Opus decoder than it went into a frame; [`OpusFrame::time`] accounts
    /// for it.
    pub fn lookahead(&self) -> Duration {
        self.encoder.lookahead()
    }

    /// Takes the camera's next frame. `time` and `captured` are of its first sample; `lost` is how many frames before
    /// it are known to be missing. Holes of up to 200 ms are concealed; longer ones stay holes in the output's time.
    ///
    /// # Errors
    /// When the frame could not be decoded. It counts as lost and is concealed when the next good one comes; go on
    /// pushing. After [`FrameError::Endless`] bad frames are silently dropped until one is good.
    pub fn push(&mut self, frame: &[u8], time: MediaTime, captured: Instant, lost: u32) -> Result<(), FrameError> {
        self.pcm.clear();
        if let Err(error) = self.decoder.decode(frame, &mut self.pcm) {
            return self.count_bad(error);
        }
        let lost = lost > 0 || mem::take(&mut self.bad) > 0;
        self.connect(time, captured, lost).map_err(FrameError::Encoder)
    }

    /// The next Opus frame that is ready.
    pub fn pull(&mut self) -> Option<OpusFrame> {
        self.out.pop_front()
    }

    fn count_bad(&mut self, error: FrameError) -> Result<(), FrameError> {
        self.bad = self.bad.saturating_add(1);
        match self.bad {
            ..ENDLESS => Err(error),
            ENDLESS => Err(FrameError::Endless { frames: ENDLESS, last: Box::new(error) }),
            _ => Ok(()),
        }
    }

    /// Puts the decoded samples where they belong and encodes them.
    fn connect(&mut self, time: MediaTime, captured: Instant, lost: bool) -> Result<(), opusic_c::ErrorCode> {
        let mut made_up = Pcm::new(self.format.channels);
        let mut cut = 0.0;
        match self.line.place(time, captured, self.lands(), lost) {
            Place::Follow => {}
            Place::Fill(samples) => {
                self.conceal.fill((samples * self.resampler.ratio()).round() as usize, &mut made_up);
            }
            Place::Cut(samples) => {
                cut = samples;
                self.conceal.fill(0, &mut made_up);
                self.pcm.drop_front((samples * self.resampler.ratio()).round() as usize);
            }
            Place::Start(position) => self.start(position)?,
        }
        self.feed(&made_up)?;
        self.encoder.captured(self.lands() - cut, captured);
        self.resampler.set_slew(self.line.slew());
        let mut pcm = mem::replace(&mut self.pcm, Pcm::new(self.format.channels));
        self.conceal.join(&mut pcm);
        let result = self.feed(&pcm);
        self.pcm = pcm;
        result
    }

    /// Where the next source sample belongs, in samples at the encoder's rate.
    fn lands(&self) -> f64 {
        self.encoder.end() as f64 + self.resampler.pending()
    }

    fn feed(&mut self, pcm: &Pcm) -> Result<(), opusic_c::ErrorCode> {
        self.resampled.clear();
        self.resampler.push(pcm, &mut self.resampled);
        self.encoder.push(&self.resampled, &mut self.out)
    }

    /// Ends what there is softly; the next sample is at `position`.
    fn start(&mut self, position: i64) -> Result<(), opusic_c::ErrorCode> {
        if self.encoder.is_fresh() {
            self.encoder.start(position);
            return Ok(());
        }
        let mut tail = Pcm::new(self.format.channels);
        self.conceal.end(&mut tail);
        self.feed(&tail)?;
        self.resampled.clear();
        self.resampler.flush(&mut self.resampled);
        self.encoder.push(&self.resampled, &mut self.out)?;
        self.encoder.flush(&mut self.out)?;
        self.encoder.start(position.max(self.encoder.end()));
        Ok(())
    }
}

impl fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcoder").field("format", &self.format).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Decoder {
    fn decode(&mut self, frame: &[u8], out: &mut Pcm) -> Result<(), FrameError> {
        match self {
            Self::Aac(decoder) => decoder.decode(frame, out),
            Self::L16 { channels } => l16::decode(frame, *channels, out),
        }
    }
}

fn check_rate(hz: u32) -> Result<(), TranscodeError> {
    if RATES.contains(&hz) { Ok(()) } else { Err(TranscodeError::Rate(hz)) }
}

#[cfg(test)]
mod tests;
