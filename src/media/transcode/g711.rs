//! G.711 to samples and back (ITU-T Rec. G.711): what telephones and most cameras without AAC send, and what nearly all can be
//! talked to in.

/// Which of the two laws a byte is compressed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum G711 {
    /// PCMU.
    MuLaw,
    /// PCMA.
    ALaw,
}

impl G711 {
    /// The samples as L16 has them: 16 bits, big endian.
    pub fn to_l16(self, data: &[u8]) -> Vec<u8> {
        data.iter().flat_map(|byte| self.sample(*byte).to_be_bytes()).collect()
    }

    /// The byte for a sample of 16 bits.
    pub fn byte(self, sample: i16) -> u8 {
        let (is_positive, magnitude) = (sample >= 0, u32::from(sample.unsigned_abs()));
        let (bits, inverted) = match self {
            Self::MuLaw => {
                let biased = magnitude.min(MU_LAW_MOST) + MU_LAW_BIAS;
                // The highest bit is one of 7 to 14.
                let exponent = biased.ilog2() - 7;
                (exponent << 4 | biased >> (exponent + 3) & 0xf, 0xff)
            }
            Self::ALaw => {
                let magnitude = magnitude.min(i16::MAX as u32) >> 4;
                let exponent = magnitude.checked_ilog2().unwrap_or(0).saturating_sub(3);
                (exponent << 4 | magnitude >> exponent.saturating_sub(1) & 0xf, 0x55)
            }
        };
        let sign = if is_positive == (self == Self::MuLaw) { 0 } else { 0x80 };
        // Seven bits.
        (sign | bits as u8) ^ inverted
    }

    /// A sign, three bits of exponent and four of mantissa; of A-law, the first two exponents are one straight piece.
    fn sample(self, byte: u8) -> i16 {
        // Bits are sent inverted, so that silence has edges: all of them, or every second (tables 1 and 2).
        let bits = byte ^ if self == Self::MuLaw { 0xff } else { 0x55 };
        let (exponent, mantissa) = (bits >> 4 & 7, i16::from(bits & 0xf));
        let magnitude = match (self, exponent) {
            // Of 14 bits.
            (Self::MuLaw, _) => (((2 * mantissa + 33) << exponent) - 33) << 2,
            // Of 13 bits.
            (Self::ALaw, 0) => (2 * mantissa + 1) << 3,
            (Self::ALaw, _) => ((2 * mantissa + 33) << (exponent - 1)) << 3,
        };
        let is_positive = (bits & 0x80 == 0) == (self == Self::MuLaw);
        if is_positive { magnitude } else { -magnitude }
    }
}

/// What is added so that the exponent can be read off the highest bit, in the scale of 16 bits.
const MU_LAW_BIAS: u32 = 33 << 2;
/// What is louder is cut.
const MU_LAW_MOST: u32 = 32_635;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_survives_the_way_there_and_back() {
        for law in [G711::MuLaw, G711::ALaw] {
            let differs = (0..=255).filter(|byte| law.byte(law.sample(*byte)) != *byte).collect::<Vec<_>>();
            // Of the two zeros of the mu-law one is enough.
            assert_eq!(differs, if law == G711::MuLaw { vec![0x7f] } else { vec![] }, "{law:?}");
            assert_eq!(law.sample(law.byte(i16::MAX)), law.sample(law.byte(i16::MAX - 100)));
            assert!(law.sample(law.byte(i16::MIN)) < -32_000);
        }
    }

    #[test]
    fn the_ends_and_the_middle_are_those_of_the_recommendation() {
        let mu = |byte| G711::MuLaw.sample(byte);
        assert_eq!([mu(0xff), mu(0x7f), mu(0x80), mu(0x00), mu(0xfe), mu(0xef)], [0, 0, 32_124, -32_124, 8, 132]);
        let a = |byte| G711::ALaw.sample(byte);
        assert_eq!([a(0xd5), a(0x55), a(0xaa), a(0x2a), a(0xd4), a(0xc5)], [8, -8, 32_256, -32_256, 24, 264]);
    }

    #[test]
    fn louder_is_louder() {
        let rising = |law: G711, byte: fn(u8) -> u8| (0..128).map(|at| law.sample(byte(at))).collect::<Vec<_>>();
        assert!(rising(G711::MuLaw, |at| !at).is_sorted() && rising(G711::ALaw, |at| (at | 0x80) ^ 0x55).is_sorted());
        assert_eq!(G711::MuLaw.to_l16(&[0x80, 0xff]), [0x7d, 0x7c, 0, 0]);
    }
}
