//! G.711 to samples (ITU-T Rec. G.711): what telephones and most cameras without AAC send.

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

#[cfg(test)]
mod tests {
    use super::*;

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
