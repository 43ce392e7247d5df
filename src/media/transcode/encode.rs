//! Samples to Opus frames of 20 ms, each with its place in time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use opusic_c::{Application, Bitrate, Channels, ErrorCode, SampleRate};

use super::{OpusFrame, Pcm, error::TranscodeError};
use crate::media::{ClockRate, MediaTime};

/// Frames per second: 20 ms each, what browsers themselves send. With 10 ms the headers of IP, UDP and SRTP would be
/// more bits than the sound, and what is longer delays.
const FRAMES: u32 = 50;
/// Of 10. Measured with libopus 1.3.1 on one core of an x86 server, 16 kHz mono at 32 kbit/s: 0.07 % of it for 0,
/// 0.17 % for 5, and 0.75 % for 7, from where on libopus analyses whether it hears speech or music.
const COMPLEXITY: u8 = 5;
/// The largest packet of one frame, in bytes: 1275 (RFC 6716 section 3.4, R2) behind one that describes it.
const MAX_PACKET: usize = 1_276;
/// The rates that Opus encodes (RFC 6716 section 2), smallest first.
const RATES: [(u32, SampleRate); 5] = [
    (8_000, SampleRate::Hz8000),
    (12_000, SampleRate::Hz12000),
    (16_000, SampleRate::Hz16000),
    (24_000, SampleRate::Hz24000),
    (48_000, SampleRate::Hz48000),
];

/// One track's encoder.
///
/// It runs at the lowest rate that holds all of the source's spectrum, so that neither bits nor time are spent on what
/// is empty; an Opus stream has no rate of its own, receivers always play it at theirs.
pub(super) struct Encoder {
    opus: opusic_c::Encoder,
    rate: u32,
    channels: usize,
    /// By how much the decoded sound lags behind the frame it is in, in samples.
    lookahead: i64,
    /// What waits for a whole frame, channels interleaved.
    waiting: Vec<f32>,
    /// Position of the first of it.
    start: i64,
    /// Positions and their capture times, oldest first.
    captures: VecDeque<(f64, Instant)>,
    newest: Option<Instant>,
}

impl Encoder {
    pub(super) fn new(source_hz: u32, channels: u8, bitrate_bps: u32) -> Result<Self, TranscodeError> {
        let (rate, sample_rate) = RATES.into_iter().find(|(rate, _)| *rate >= source_hz).unwrap_or(RATES[4]);
        // AUDIO, because a camera hears a street, a dog or a window as often as a voice: VOIP filters low sounds and
        // shapes everything for speech. It also keeps to the MDCT coder at these bitrates, which costs a third.
        let layout = if channels == 1 { Channels::Mono } else { Channels::Stereo };
        let opus = opusic_c::Encoder::new(layout, sample_rate, Application::Audio);
        let mut opus = opus.map_err(TranscodeError::Encoder)?;
        let mut set_up = || {
            opus.set_bitrate(Bitrate::Value(bitrate_bps))?;
            opus.set_complexity(COMPLEXITY)?;
            // DTX and in-band FEC stay off, as they are in a new encoder: DTX would have receivers guess what a quiet
            // place sounds like, and FEC only exists in the speech coder, which is not used at these bitrates.
            opus.get_look_ahead()
        };
        let lookahead = i64::from(set_up().map_err(TranscodeError::Encoder)?);
        Ok(Self {
            opus,
            rate,
            channels: usize::from(channels),
            lookahead,
            waiting: Vec::new(),
            start: 0,
            captures: VecDeque::new(),
            newest: None,
        })
    }

    /// Samples per second that it takes.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// How much later sound leaves an Opus decoder than it entered here.
    pub(super) fn lookahead(&self) -> Duration {
        Duration::from_micros(self.lookahead.unsigned_abs() * 1_000_000 / u64::from(self.rate))
    }

    /// Whether nothing came in since it was made.
    pub(super) fn is_fresh(&self) -> bool {
        self.captures.is_empty()
    }

    /// Position of the next sample.
    pub(super) fn end(&self) -> i64 {
        self.start + (self.waiting.len() / self.channels) as i64
    }

    /// The next sample is at `position`. Nothing waits.
    pub(super) fn start(&mut self, position: i64) {
        self.start = position;
        self.captures.clear();
    }

    /// The sample at `position` was captured then.
    pub(super) fn captured(&mut self, position: f64, captured: Instant) {
        self.captures.push_back((position, captured));
    }

    /// Appends the frames that are complete with `pcm` to `out`.
    pub(super) fn push(&mut self, pcm: &Pcm, out: &mut VecDeque<OpusFrame>) -> Result<(), ErrorCode> {
        match pcm.planes() {
            [mono] => self.waiting.extend_from_slice(mono),
            planes => {
                let pairs = planes[0].iter().zip(&planes[1]);
                self.waiting.extend(pairs.flat_map(|(left, right)| [*left, *right]));
            }
        }
        let length = (self.rate / FRAMES) as usize;
        let mut done = 0;
        let mut result = Ok(());
        for frame in self.waiting.chunks_exact(length * self.channels) {
            let mut data = [0; MAX_PACKET];
            done += 1;
            match self.opus.encode_float_to_slice(frame, &mut data) {
                Ok(size) => {
                    let data = Bytes::copy_from_slice(&data[..size]);
                    let position = self.start - self.lookahead;
                    let ticks = position * i64::from(ClockRate::OPUS.hz() / self.rate);
                    let captured = capture_time(&mut self.captures, position as f64, self.rate, self.newest);
                    self.newest = captured.or(self.newest);
                    let time = MediaTime { ticks, rate: ClockRate::OPUS };
                    out.extend(self.newest.map(|captured| OpusFrame { data, time, captured }));
                }
                Err(error) => result = Err(error),
            }
            self.start += length as i64;
        }
        self.waiting.drain(..done * length * self.channels);
        result
    }

    /// Appends what waits to `out`, with silence behind it.
    pub(super) fn flush(&mut self, out: &mut VecDeque<OpusFrame>) -> Result<(), ErrorCode> {
        let length = (self.rate / FRAMES) as usize;
        let waiting = self.waiting.len() / self.channels;
        let mut silence = Pcm::new(self.channels as u8);
        silence.extend_silent((length - waiting) % length);
        self.push(&silence, out)
    }
}

/// When `position` was captured, by the last capture time before it; not before `newest`.
fn capture_time(
    captures: &mut VecDeque<(f64, Instant)>,
    position: f64,
    rate: u32,
    newest: Option<Instant>,
) -> Option<Instant> {
    while captures.get(1).is_some_and(|(next, _)| *next <= position) {
        captures.pop_front();
    }
    let (at, captured) = *captures.front()?;
    let distance = Duration::from_secs_f64((position - at).abs() / f64::from(rate));
    let captured = if position < at { captured.checked_sub(distance) } else { captured.checked_add(distance) }?;
    Some(newest.map_or(captured, |newest| captured.max(newest)))
}
