//! AAC access units to samples, with symphonia.
//!
//! In: an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1), then raw access units, no ADTS and no LATM. Out: 1024
//! samples for each. What is decoded is AAC-LC. HE-AAC is AAC-LC at half the sample rate with a recipe for the upper
//! half of the spectrum (SBR, v1) and for making stereo from mono (PS, v2) in places that an AAC-LC decoder skips; that
//! decoder is what runs here, so HE-AAC sounds duller, and its v2 is mono. [`Reduction`] says so. Everything else is
//! refused.

use symphonia_codec_aac::AacDecoder;
use symphonia_core::{
    audio::{Audio, GenericAudioBufferRef},
    codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_AAC},
    packet::PacketRef,
    units::{Duration, Timestamp},
};

use super::{
    Pcm, Reduction,
    error::{FrameError, TranscodeError},
};

/// Samples per second of the sampling frequency indexes (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Samples that an access unit gives, of which all are a mix with the one before.
pub(super) const UNIT_SAMPLES: usize = 1_024;
/// A decoded sample above this is damage: encoders clip at 1, and quantisation adds a few dB at most. As Opus and
/// every browser clip at 1, playing it would be a burst of full-scale noise.
const LOUDEST: f32 = 4.0;

/// What an AudioSpecificConfig says about the AAC-LC part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// Samples per second of the AAC-LC part.
    pub(super) hz: u32,
    /// 1 or 2.
    pub(super) channels: u8,
    pub(super) reduction: Option<Reduction>,
}

impl Config {
    pub(super) fn parse(config: &[u8]) -> Result<Self, TranscodeError> {
        let mut bits = Bits { data: config, at: 0 };
        bits.config().unwrap_or_else(|| Err(TranscodeError::AacConfig(config.into())))
    }

    /// The AudioSpecificConfig of the AAC-LC part alone.
    fn core(self) -> Box<[u8]> {
        const AAC_LC: u64 = 2;
        let channels = u64::from(self.channels);
        match RATES.iter().position(|&rate| rate == self.hz) {
            Some(index) => ((AAC_LC << 11 | (index as u64) << 7 | channels << 3) as u16).to_be_bytes().into(),
            None => {
                let bits = AAC_LC << 35 | 15 << 31 | u64::from(self.hz) << 7 | channels << 3;
                bits.to_be_bytes()[3..].into()
            }
        }
    }
}

/// How an access unit of two channels that are coded together begins (`channel_pair_element`, ISO/IEC 14496-3 table 4.85).
const CHANNEL_PAIR: u8 = 1;

/// One track's decoder.
pub(super) struct Decoder {
    config: Config,
    decoder: AacDecoder,
    /// Of what comes, whatever the configuration says.
    channels: u8,
}

impl Decoder {
    pub(super) fn new(config: Config) -> Result<Self, TranscodeError> {
        Ok(Self { config, decoder: Self::of(config)?, channels: config.channels })
    }

    fn of(config: Config) -> Result<AacDecoder, TranscodeError> {
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AAC).with_extra_data(config.core());
        let decoder = AacDecoder::try_new(&parameters, &AudioDecoderOptions::default());
        decoder.map_err(TranscodeError::Decoder)
    }

    /// Appends an access unit's samples to `out`, which is empty and has the configuration's channels.
    pub(super) fn decode(&mut self, unit: &[u8], out: &mut Pcm) -> Result<(), FrameError> {
        if unit.is_empty() {
            return Err(FrameError::Empty);
        }
        // Not a stream that symphonia keeps time of: every field but the data is unused by the decoder.
        let packet = PacketRef::new(0, Timestamp::from(0), Duration::ZERO, unit);
        // Some cameras say one channel and send two. What is only damaged decodes neither way.
        let channels = if unit[0] >> 5 == CHANNEL_PAIR { 2 } else { 1 };
        if self.config.channels == 1
            && self.channels != channels
            && let Ok(mut other) = Self::of(Config { channels, ..self.config })
            && other.decode_ref(&packet).is_ok()
        {
            other.reset();
            (self.decoder, self.channels) = (other, channels);
        }
        let decoded = self.decoder.decode_ref(&packet).map_err(FrameError::Damaged)?;
        let GenericAudioBufferRef::F32(decoded) = decoded else {
            unreachable!("symphonia decodes AAC to 32-bit floats")
        };
        let mut planes = decoded.iter_planes();
        match (out.planes_mut(), self.channels) {
            ([mono], 2) => {
                let (left, right) = (planes.next().unwrap_or_default(), planes.next().unwrap_or_default());
                mono.extend(left.iter().zip(right).map(|(left, right)| (left + right) / 2.0));
            }
            (all, _) => all.iter_mut().zip(planes).for_each(|(plane, samples)| plane.extend_from_slice(samples)),
        }
        let peak = out.peak();
        if peak > LOUDEST {
            // The noise would go on in the half of the window that the next frame adds.
            self.decoder.reset();
            return Err(FrameError::Loud(peak));
        }
        Ok(())
    }
}

/// Reads bits, most significant first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32; `None` past the end.
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.data.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    /// AudioSpecificConfig (ISO/IEC 14496-3 table 1.15); `None` when it ends early or a value in it is reserved.
    fn config(&mut self) -> Option<Result<Config, TranscodeError>> {
        let mut object_type = self.object_type()?;
        let hz = self.rate()?;
        let channels = self.take(4)? as u8;
        let (mut sbr, mut ps) = (matches!(object_type, 5 | 29), object_type == 29);
        if sbr {
            self.rate()?;
            object_type = self.object_type()?;
        }
        if object_type != 2 {
            return Some(Err(TranscodeError::AacObjectType(object_type)));
        }
        let short = self.take(1)? == 1;
        // dependsOnCoreCoder and extensionFlag, both of which are not for AAC-LC.
        if self.take(2)? != 0 {
            return None;
        }
        if short {
            return Some(Err(TranscodeError::AacFrameLength));
        }
        if !matches!(channels, 1 | 2) {
            return Some(Err(TranscodeError::AacChannels(channels)));
        }
        if !sbr {
            (sbr, ps) = self.extension().unwrap_or_default();
        }
        let reduction = match (sbr, ps) {
            (_, true) => Some(Reduction::HeAacV2 { up_to_hz: hz / 2 }),
            (true, false) => Some(Reduction::HeAac { up_to_hz: hz / 2 }),
            (false, false) => None,
        };
        Some(Ok(Config { hz, channels, reduction }))
    }

    fn object_type(&mut self) -> Option<u8> {
        let short = self.take(5)?;
        let object_type = if short == 31 { 32 + self.take(6)? } else { short };
        Some(object_type as u8)
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => RATES.get(index as usize).copied(),
        }
    }

    /// Whether there is SBR and PS, in the backward compatible way of saying it, behind everything else.
    fn extension(&mut self) -> Option<(bool, bool)> {
        if self.take(11)? != 0x2b7 || self.object_type()? != 5 || self.take(1)? == 0 {
            return None;
        }
        self.rate()?;
        let ps = self.take(11) == Some(0x548) && self.take(1) == Some(1);
        Some((true, ps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cameras_send() {
        let dahua = Config::parse(&[0x14, 0x08]).unwrap();
        assert_eq!(dahua, Config { hz: 16_000, channels: 1, reduction: None });
        let axis = Config::parse(&[0x11, 0x90]).unwrap();
        assert_eq!(axis, Config { hz: 48_000, channels: 2, reduction: None });
        let odd_rate = Config::parse(&[0x17, 0x80, 0x1f, 0x40, 0x08]).unwrap();
        assert_eq!(odd_rate, Config { hz: 16_000, channels: 1, reduction: None });
        let unlisted = Config { hz: 10_000, channels: 2, reduction: None };
        assert_eq!(Config::parse(&unlisted.core()).unwrap(), unlisted);
    }

    #[test]
    fn he_aac_is_known_however_it_is_said() {
        let v1 = Some(Reduction::HeAac { up_to_hz: 8_000 });
        let v2 = Some(Reduction::HeAacV2 { up_to_hz: 8_000 });
        // Hierarchical: object type 5 or 29, 16 kHz, extension 32 kHz, then object type 2.
        assert_eq!(Config::parse(&[0x2c, 0x12, 0x88, 0x00]).unwrap().reduction, v1);
        assert_eq!(Config::parse(&[0xec, 0x0a, 0x88, 0x00]).unwrap().reduction, v2);
        // Backward compatible: AAC-LC, then 0x2b7 and so on.
        assert_eq!(Config::parse(&[0x14, 0x10, 0x56, 0xe5, 0xa8]).unwrap().reduction, v1);
        assert_eq!(Config::parse(&[0x14, 0x08, 0x56, 0xe5, 0xaa, 0x90, 0x00]).unwrap().reduction, v1);
        assert_eq!(Config::parse(&[0x14, 0x08, 0x56, 0xe5, 0xad, 0x48, 0x80]).unwrap().reduction, v2);
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let refusal = |config: &[u8]| Config::parse(config).unwrap_err().to_string();
        assert!(refusal(&[0xb9, 0x88, 0x00]).contains("AAC-LD"), "{}", refusal(&[0xb9, 0x88, 0x00]));
        assert!(refusal(&[0xf8, 0xe6, 0x40]).contains("AAC-ELD"));
        assert!(refusal(&[0x11, 0xb0]).contains("channel configuration 6"));
        assert!(refusal(&[0x11, 0x80]).contains("channel configuration 0"));
        assert!(refusal(&[0x11, 0x94]).contains("960"));
        assert!(refusal(&[0x11]).contains("[11]"));
        assert!(refusal(&[]).contains("cannot be read"));
    }
}
