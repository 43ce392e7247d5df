//! The header of an RTP packet (RFC 3550 section 5.1), written straight into what is sent.

use super::Extensions;

/// Bytes of a header without extensions.
pub const HEADER: usize = 12;

/// Version 2, no padding, no contributing sources.
const VERSION: u8 = 0x80;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;

/// What differs between packets and viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last packet of a picture (RFC 6184 section 5.1).
    pub marker: bool,
    /// As negotiated, 7 bits.
    pub payload_type: u8,
    /// Wraps.
    pub sequence_number: u16,
    /// In ticks of the payload's clock; wraps.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Behind the fixed part.
    pub extensions: Extensions,
}

impl Header {
    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        HEADER + self.extensions.size()
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; HEADER];
        bytes[0] = VERSION | if self.extensions.size() > 0 { EXTENSION } else { 0 };
        bytes[1] = self.payload_type | if self.marker { MARKER } else { 0 };
        bytes[2..4].copy_from_slice(&self.sequence_number.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&bytes);
        self.extensions.write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_as_rfc_3550_draws_it() {
        let header = Header {
            marker: true,
            payload_type: 102,
            sequence_number: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090a,
            extensions: Extensions::default(),
        };
        let mut out = Vec::new();
        header.write(&mut out);
        let mut extended = Header { marker: false, ..header };
        extended.extensions.push(5, &[1]);
        extended.write(&mut out);
        assert_eq!(out[..HEADER], [0x80, 0xe6, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(out[HEADER..HEADER + 2], [0x90, 0x66]);
        assert_eq!((out.len(), extended.size()), (HEADER + extended.size(), HEADER + 8));
    }
}
