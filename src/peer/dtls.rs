//! Reads two things off a viewer's DTLS handshake: whether it offers AES-GCM for SRTP, before the handshake begins, and how far
//! a datagram carries the handshake.
//!
//! A DTLS server of `rtc` takes the first profile of the client's list that it knows, and Chromium lists AES-CM-HMAC-SHA1
//! first, which costs 1.3 us more per packet. So a session starts out knowing AES-GCM only, and learns here, from the
//! ClientHello in the clear, when it has to be rebuilt for a viewer that cannot do it (GStreamer 1.22's webrtcbin).

/// DTLS record of type handshake (RFC 6347 section 4.1).
const HANDSHAKE: u8 = 22;
/// Record header: type, version, epoch, sequence number, length.
const RECORD_HEADER: usize = 13;
/// Handshake header: type, length, message sequence, fragment offset, fragment length.
const HANDSHAKE_HEADER: usize = 12;
/// Handshake message type.
const CLIENT_HELLO: u8 = 1;
/// Extension type (RFC 5764 section 9).
const USE_SRTP: u16 = 14;
/// Protection profile (RFC 7714 section 14.2).
const AEAD_AES_128_GCM: u16 = 7;
/// A longer ClientHello is not waited for. With a post-quantum key share it has 1.7 kB.
const MAX_HELLO: usize = 8_192;

/// Collects a ClientHello from its fragments.
#[derive(Debug, Default)]
pub(super) struct HelloReader {
    body: Vec<u8>,
}

impl HelloReader {
    /// Takes a datagram of the viewer's; `Some` once a ClientHello is complete: whether it offers AES-128-GCM.
    pub(super) fn read(&mut self, datagram: &[u8]) -> Option<bool> {
        let mut rest = datagram;
        while let Some((record, after)) = split_record(rest) {
            rest = after;
            let Some(fragment) = Fragment::parse(record) else { continue };
            if fragment.offset == 0 {
                self.body.clear();
            }
            if fragment.offset != self.body.len() || fragment.length > MAX_HELLO {
                continue;
            }
            self.body.extend_from_slice(fragment.bytes);
            if self.body.len() == fragment.length {
                return offers_gcm(&self.body).or(Some(false));
            }
        }
        None
    }
}

/// How far a datagram carries the handshake: the sequence number of its last message in the clear, and the offset of the
/// fragment (RFC 6347 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    message: u16,
    offset: usize,
}

impl Position {
    /// `None` for a datagram without a handshake message in the clear.
    pub(super) fn of(datagram: &[u8]) -> Option<Self> {
        let mut rest = datagram;
        let mut newest = None;
        while let Some((record, after)) = split_record(rest) {
            rest = after;
            let Some(header) = record.get(..HANDSHAKE_HEADER) else { continue };
            let message = u16::from_be_bytes([header[4], header[5]]);
            newest = newest.max(Some(Self { message, offset: uint24(header, 6) }));
        }
        newest
    }
}

fn uint24(header: &[u8], at: usize) -> usize {
    usize::from(header[at]) << 16 | usize::from(header[at + 1]) << 8 | usize::from(header[at + 2])
}

/// A part of a ClientHello.
struct Fragment<'a> {
    length: usize,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn parse(record: &'a [u8]) -> Option<Self> {
        let (header, bytes) = record.split_at_checked(HANDSHAKE_HEADER)?;
        let (length, offset, here) = (uint24(header, 1), uint24(header, 6), uint24(header, 9));
        let plausible = header[0] == CLIENT_HELLO && here <= bytes.len() && offset + here <= length;
        plausible.then(|| Self { length, offset, bytes: &bytes[..here] })
    }
}

/// The content of the first record when it is an unencrypted handshake, and what follows it.
fn split_record(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = datagram.split_at_checked(RECORD_HEADER)?;
    let epoch = u16::from_be_bytes([header[3], header[4]]);
    let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
    (header[0] == HANDSHAKE && epoch == 0).then_some(())?;
    rest.split_at_checked(length)
}

/// Walks the ClientHello (RFC 6347 section 4.2.1) to its `use_srtp` extension; `None` where it is malformed.
fn offers_gcm(hello: &[u8]) -> Option<bool> {
    let mut at = Cursor(hello);
    at.skip(2 + 32)?;
    let session_id = at.u8()?;
    at.skip(session_id.into())?;
    let cookie = at.u8()?;
    at.skip(cookie.into())?;
    let cipher_suites = at.u16()?;
    at.skip(cipher_suites.into())?;
    let compression_methods = at.u8()?;
    at.skip(compression_methods.into())?;
    at.u16()?;
    while !at.0.is_empty() {
        let kind = at.u16()?;
        let length = at.u16()?;
        let body = at.skip(length.into())?;
        if kind == USE_SRTP {
            let profiles = body.get(2..2 + usize::from(Cursor(body).u16()?))?;
            return Some(profiles.chunks_exact(2).any(|profile| profile == AEAD_AES_128_GCM.to_be_bytes()));
        }
    }
    Some(false)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip(&mut self, n: usize) -> Option<&'a [u8]> {
        let (skipped, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(skipped)
    }

    fn u8(&mut self) -> Option<u8> {
        self.skip(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.skip(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(profiles: &[u16]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let list: Vec<u8> = profiles.iter().flat_map(|profile| profile.to_be_bytes()).collect();
        let mut extensions = vec![0, 23, 0, 0];
        extensions.extend([0, 14, 0, list.len() as u8 + 3, 0, list.len() as u8]);
        extensions.extend(&list);
        extensions.push(0);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        body
    }

    fn record(body: &[u8], offset: usize, here: usize) -> Vec<u8> {
        let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend((here as u16 + 12).to_be_bytes());
        record.extend([1, 0, 0, body.len() as u8, 0, 0, 0, 0, offset as u8, 0, 0, here as u8]);
        record.extend(&body[offset..offset + here]);
        record
    }

    #[test]
    fn finds_gcm_wherever_it_stands() {
        for (profiles, gcm) in [(&[1u16, 7][..], true), (&[8, 7, 1], true), (&[1], false), (&[8], false)] {
            let body = hello(profiles);
            assert_eq!(HelloReader::default().read(&record(&body, 0, body.len())), Some(gcm), "{profiles:?}");
        }
    }

    #[test]
    fn puts_fragments_together() {
        let body = hello(&[1, 7]);
        let mut reader = HelloReader::default();
        assert_eq!(reader.read(&record(&body, 0, 40)), None);
        assert_eq!(reader.read(&record(&body, 40, body.len() - 40)), Some(true));
        let mut both = record(&body, 0, 40);
        both.extend(record(&body, 40, body.len() - 40));
        assert_eq!(HelloReader::default().read(&both), Some(true));
    }

    #[test]
    fn a_fragment_carries_on_from_the_one_before() {
        let body = hello(&[1, 7]);
        let (first, second) = (record(&body, 0, 40), record(&body, 40, body.len() - 40));
        let both = [first.clone(), second.clone()].concat();
        assert!(Position::of(&first) < Position::of(&second));
        assert_eq!(Position::of(&both), Position::of(&second));
        assert_eq!(Position::of(&[20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]), None);
    }

    #[test]
    fn garbage_is_no_hello_and_a_cut_hello_offers_nothing() {
        assert_eq!(HelloReader::default().read(&[]), None);
        assert_eq!(HelloReader::default().read(&[22; 40]), None);
        let body = hello(&[7]);
        let cut = &body[..body.len() - 6];
        assert_eq!(HelloReader::default().read(&record(cut, 0, cut.len())), Some(false));
    }
}
