//! What somebody says, from a browser's Opus to samples: for cameras that are talked to, and for loudspeakers.
//!
//! In: Opus packets in order, each with its RTP time. Out: mono samples at the rate that is wanted, which libopus decodes to
//! directly, so that nothing is resampled. What was lost is concealed for a moment; a longer hole stays one in the time.

use opusic_c::{Channels, Decoder, SampleRate};

use super::TranscodeError;

/// Ticks of Opus' RTP clock in a second (RFC 7587 section 4.1).
const TICKS: u32 = 48_000;
/// What is concealed at a time: 20 ms, which is what browsers put into a packet.
const FRAME_TICKS: u32 = 960;
/// Longest hole that is concealed; libopus fades to silence by then.
const MAX_CONCEALED: u32 = 5 * FRAME_TICKS;
/// Longest packet (RFC 6716 section 2.1.4), in ticks.
const LONGEST: u32 = 120 * TICKS / 1_000;

/// Samples that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speech {
    /// When the first is to be heard, in samples since the first that was said.
    pub time: u32,
    /// Mono, 16 bits.
    pub samples: Vec<i16>,
}

/// One speaker's way from Opus to samples.
pub struct SpeechDecoder {
    decoder: Decoder,
    hz: u32,
    /// RTP times of the first packet, and of what would follow the last.
    begin_and_next: Option<(u32, u32)>,
}

impl SpeechDecoder {
    /// For samples at `hz`: 8000, 12000, 16000, 24000 or 48000.
    ///
    /// # Errors
    /// At another rate, or when libopus has no memory.
    pub fn new(hz: u32) -> Result<Self, TranscodeError> {
        let rate = match hz {
            8_000 => SampleRate::Hz8000,
            12_000 => SampleRate::Hz12000,
            16_000 => SampleRate::Hz16000,
            24_000 => SampleRate::Hz24000,
            48_000 => SampleRate::Hz48000,
            _ => return Err(TranscodeError::Rate(hz)),
        };
        let decoder = Decoder::new(Channels::Mono, rate).map_err(TranscodeError::Encoder)?;
        Ok(Self { decoder, hz, begin_and_next: None })
    }

    /// Decodes the next packet, whose RTP time is `timestamp`. `None` for one that cannot be decoded, is a repetition, or empty.
    pub fn decode(&mut self, packet: &[u8], timestamp: u32) -> Option<Speech> {
        let (begin, next) = *self.begin_and_next.get_or_insert((timestamp, timestamp));
        let hole = timestamp.wrapping_sub(next);
        if packet.is_empty() || hole > u32::MAX / 2 {
            return None;
        }
        let frames = if hole <= MAX_CONCEALED { hole / FRAME_TICKS } else { 0 };
        let mut samples = Vec::new();
        for _ in 0..frames {
            self.append(&[], FRAME_TICKS, &mut samples);
        }
        let samples_before = samples.len();
        self.append(packet, LONGEST, &mut samples);
        let ticks_per_sample = TICKS / self.hz;
        // As many as fit into `LONGEST`.
        let lasted = (samples.len() - samples_before) as u32 * ticks_per_sample;
        self.begin_and_next = Some((begin, timestamp.wrapping_add(lasted)));
        let start = timestamp.wrapping_sub(frames * FRAME_TICKS).wrapping_sub(begin);
        let samples: Vec<_> = samples.into_iter().map(u16::cast_signed).collect();
        (!samples.is_empty()).then_some(Speech { time: start / ticks_per_sample, samples })
    }

    /// Adds what `packet` holds, at most `ticks` of it; without a packet what may have been in one. Nothing where it is no Opus.
    fn append(&mut self, packet: &[u8], ticks: u32, samples: &mut Vec<u16>) {
        let most = (ticks / (TICKS / self.hz)) as usize;
        // What libopus does not take is as good as lost: the next packet is concealed up to.
        let _ = self.decoder.decode_to_vec(packet, samples, most, false);
    }
}

impl std::fmt::Debug for SpeechDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpeechDecoder").field("hz", &self.hz).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use opusic_c::{Application, Encoder};

    use super::*;

    /// Packets of a tone of 1 kHz, 20 ms each.
    fn packets(count: usize) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(Channels::Mono, SampleRate::Hz48000, Application::Voip).expect("an encoder");
        let packet = |index: usize| {
            let sample = |at: usize| (TAU * 1_000.0 * at as f32 / TICKS as f32).sin() * 0.5;
            let samples: Vec<f32> = (index * 960..(index + 1) * 960).map(sample).collect();
            let mut packet = Vec::with_capacity(1_500);
            encoder.encode_float_to_vec(&samples, &mut packet).expect("a packet");
            packet
        };
        (0..count).map(packet).collect()
    }

    fn crossings(samples: &[i16]) -> usize {
        samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count()
    }

    #[test]
    fn a_tone_comes_out_at_the_rate_that_is_asked_for() {
        for hz in [8_000, 16_000, 48_000] {
            let mut decoder = SpeechDecoder::new(hz).expect("a rate of Opus");
            let start = u32::MAX - 2_000;
            let times = (0..).map(|index| start.wrapping_add(index * FRAME_TICKS));
            let speech: Vec<_> =
                packets(50).iter().zip(times).map(|(p, at)| decoder.decode(p, at).expect("sound")).collect();
            let follows = speech.windows(2).all(|pair| pair[1].time == pair[0].time + pair[0].samples.len() as u32);
            assert!(follows && speech[0].time == 0, "across the wrap");
            let samples: Vec<_> = speech.into_iter().flat_map(|speech| speech.samples).collect();
            assert_eq!(samples.len(), hz as usize);
            assert!((985..=1_001).contains(&crossings(&samples)), "{} of {hz}", crossings(&samples));
        }
        assert!(SpeechDecoder::new(44_100).is_err());
    }

    #[test]
    fn short_holes_are_concealed_and_long_ones_stay() {
        let packets = packets(4);
        let mut decoder = SpeechDecoder::new(8_000).expect("a rate of Opus");
        let mut decode = |index: usize, at: u32| decoder.decode(&packets[index], at).map(|s| (s.time, s.samples.len()));
        assert_eq!(decode(0, 0), Some((0, 160)));
        assert_eq!(decode(1, 3 * FRAME_TICKS), Some((160, 480)), "two packets are missing");
        assert_eq!(decode(1, FRAME_TICKS), None, "it comes too late");
        assert_eq!(decode(2, TICKS), Some((8_000, 160)), "nothing was said");
        assert_eq!(decoder.decode(&[0xff; 3], TICKS + FRAME_TICKS), None, "no Opus");
        assert_eq!(decoder.decode(&[], TICKS + FRAME_TICKS), None, "nothing");
    }
}
