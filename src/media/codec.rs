//! What a track carries: H.264 with its parameter sets, or sound that a browser plays as it is.

use bytes::Bytes;

use super::{ClockRate, h264};

/// H.264 as its parameter sets describe it; changes mid-stream when the camera changes resolution or profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFormat {
    /// Sequence parameter set, a NAL unit without start code (H.264 clause 7.3.2.1).
    pub sps: Bytes,
    /// Picture parameter sets, NAL units without start codes (H.264 clause 7.3.2.2): one, but for encoders that change between
    /// several from picture to picture.
    pub pps: Vec<Bytes>,
    /// Displayed width in pixels, cropping applied.
    pub width: u32,
    /// Displayed height in pixels, cropping applied.
    pub height: u32,
}

impl VideoFormat {
    /// Reads the dimensions out of `sps`.
    ///
    /// # Errors
    /// [`h264::BadSps`] when it is not a sequence parameter set that describes a picture.
    pub fn from_parameter_sets(sps: Bytes, pps: Vec<Bytes>) -> Result<Self, h264::BadSps> {
        let (width, height) = h264::dimensions(&sps)?;
        Ok(Self { sps, pps, width, height })
    }

    /// profile_idc, constraint flags and level_idc: the bytes that `profile-level-id` spells in hex (RFC 6184 section 8.1).
    pub fn profile_level_id(&self) -> [u8; 3] {
        h264::profile_level_id(&self.sps).unwrap_or([0x42, 0xe0, 0x1f])
    }
}

/// Sound that is passed through untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// RFC 7587.
    Opus,
    /// G.711 mu-law, RFC 3551.
    Pcmu,
    /// G.711 A-law, RFC 3551.
    Pcma,
    /// ITU-T G.722 at 64 kbit/s, RFC 3551.
    G722,
}

impl AudioCodec {
    /// The encoding name of its RTP payload format, as SDP's `a=rtpmap` spells it.
    pub fn encoding_name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// Its RTP clock. G.722's counts 8,000 although it has 16,000 samples per second, by a mistake of RFC 1890 that was
    /// kept (RFC 3551 section 4.5.2).
    pub fn clock_rate(self) -> ClockRate {
        match self {
            Self::Opus => ClockRate::OPUS,
            Self::Pcmu | Self::Pcma | Self::G722 => ClockRate::G711,
        }
    }

    /// What `a=rtpmap` says, which for Opus is always 2 (RFC 7587 section 7).
    pub fn rtpmap_channels(self) -> u8 {
        match self {
            Self::Opus => 2,
            Self::Pcmu | Self::Pcma | Self::G722 => 1,
        }
    }
}

/// An audio track's codec and the channels it really has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// The codec.
    pub codec: AudioCodec,
    /// 1 or 2.
    pub channels: u8,
}
