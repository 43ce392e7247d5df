//! Tells the kinds of datagrams apart that share a port (RFC 7983).

use std::net::IpAddr;

use bytes::BytesMut;

use crate::peer::transport::Remote;

/// A datagram for the viewer.
#[derive(Debug)]
pub(in crate::peer) struct Outgoing {
    /// The address of ours to send from; `None` lets the system choose.
    pub(in crate::peer) source: Option<IpAddr>,
    pub(in crate::peer) remote: Remote,
    pub(in crate::peer) data: BytesMut,
}

/// First byte 0 to 3 (RFC 7983 section 7).
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// A Binding request (RFC 8489 section 5).
pub(super) fn is_stun_request(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0x00, 0x01])
}

/// A Binding success response (RFC 8489 section 5).
pub(super) fn is_stun_response(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0x01, 0x01])
}

/// First byte 20 to 63 (RFC 7983 section 7).
pub(super) fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// First byte 128 to 191 (RFC 7983 section 7) and packet type 192 to 223 (RFC 5761 section 4).
pub(super) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

/// STUN header: type, length, magic cookie, transaction id (RFC 8489 section 5).
const STUN_HEADER: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// A transaction id of a STUN message (RFC 8489 section 5).
pub(in crate::peer) type Transaction = [u8; 12];

/// That of a datagram, if it is a STUN message.
pub(in crate::peer) fn transaction(datagram: &[u8]) -> Option<Transaction> {
    let header = datagram.get(..STUN_HEADER)?;
    (header[4..8] == STUN_COOKIE).then_some(())?;
    header[8..].try_into().ok()
}
