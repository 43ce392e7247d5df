//! Header extensions of one packet in the one-byte form (RFC 8285 section 4.2).

/// Bytes of all elements together: more than the three that are sent make.
const MAX: usize = 24;
/// What a block begins with, before the number of 32-bit words that follow.
const PROFILE: u16 = 0xbede;
/// Profile and length.
const PREAMBLE: usize = 4;

/// The extensions of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    elements: [u8; MAX],
    len: usize,
}

impl Extensions {
    /// Adds one: `id` 1 to 14, `data` of 1 to 16 bytes. What there is no room for is left out.
    pub fn push(&mut self, id: u8, data: &[u8]) {
        let end = self.len + 1 + data.len();
        if let Some(room) = self.elements.get_mut(self.len..end) {
            room[0] = id << 4 | (data.len() as u8).wrapping_sub(1) & 0xf;
            room[1..].copy_from_slice(data);
            self.len = end;
        }
    }

    /// Bytes that it takes in a packet.
    pub fn size(&self) -> usize {
        if self.len == 0 { 0 } else { PREAMBLE + self.len.next_multiple_of(4) }
    }

    /// Appends it, filled up with zeros; nothing where there is none.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.len > 0 {
            let padded = self.len.next_multiple_of(4);
            out.extend_from_slice(&PROFILE.to_be_bytes());
            out.extend_from_slice(&((padded / 4) as u16).to_be_bytes());
            out.extend_from_slice(&self.elements[..padded]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8285 section 4.2, in the order in which it is drawn.
    #[test]
    fn stands_as_rfc_8285_draws_it() {
        let mut extensions = Extensions::default();
        let mut out = Vec::new();
        extensions.write(&mut out);
        assert_eq!((out.len(), extensions.size()), (0, 0));
        extensions.push(1, &[0xaa]);
        extensions.push(2, &[0xbb, 0xcc]);
        extensions.push(3, &[1, 2, 3, 4]);
        extensions.write(&mut out);
        let drawn = [0xbe, 0xde, 0, 3, 0x10, 0xaa, 0x21, 0xbb, 0xcc, 0x33, 1, 2, 3, 4, 0, 0];
        assert_eq!((&out[..], extensions.size()), (&drawn[..], drawn.len()));
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let mut extensions = Extensions::default();
        extensions.push(1, &[0; 16]);
        let before = extensions;
        extensions.push(2, &[0; 7]);
        assert_eq!(extensions, before);
    }
}
