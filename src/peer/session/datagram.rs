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
