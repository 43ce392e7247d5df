//! Samples that are no L16 and hold the same: G.711 as browsers do not know it (16 kHz, stereo: Dahua, Hikvision), and what
//! Hikvision's cameras call `PCM`.
//!
//! In: what a packet holds. Out: L16 (RFC 3551 section 4.5.11) of the same rate and channels, for the transcoder.

use bytes::Bytes;

use crate::media::transcode::G711;

/// How each sample is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// G.711, eight bits.
    MuLaw,
    /// The same, the other law.
    ALaw,
    /// Sixteen bits, the low ones first.
    LittleEndian,
}

impl Samples {
    /// The same samples as L16; half a sample at the end is left out.
    pub(super) fn l16(self, data: &[u8]) -> Bytes {
        match self {
            Self::MuLaw => G711::MuLaw.to_l16(data).into(),
            Self::ALaw => G711::ALaw.to_l16(data).into(),
            Self::LittleEndian => data.chunks_exact(2).flat_map(|pair| [pair[1], pair[0]]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_becomes_big_endian() {
        assert_eq!(Samples::LittleEndian.l16(&[0x01, 0x02, 0x03, 0x04, 0x05])[..], [2, 1, 4, 3]);
        assert_eq!(Samples::MuLaw.l16(&[0xff, 0x80])[..], [0, 0, 0x7d, 0x7c]);
        assert_eq!(Samples::ALaw.l16(&[0x55])[..], (-8_i16).to_be_bytes());
    }
}
