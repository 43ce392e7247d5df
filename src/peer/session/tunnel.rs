//! The way between a session's connection and its ICE agents.
//!
//! A connection of `rtc` answers every restart with the credentials that it was built with, and has no pair, so that all
//! media stops, until the restart is through. So ICE runs beside it ([`Ice`](super::ice::Ice)), and the connection
//! itself believes in one pair of addresses, for good, whose other end is this file.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use rtc::{
    crypto::RTCCrypto,
    ice::attributes::use_candidate::UseCandidateAttr,
    peer_connection::{RTCPeerConnection, transport::RTCIceCandidate},
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, TransportProtocol, error::Error},
    stun::{
        attributes::ATTR_USERNAME,
        fingerprint::FINGERPRINT,
        message::{BINDING_REQUEST, TransactionId},
        textattrs::Username,
    },
};

use super::{
    binding::{built, integrity, success},
    datagram::is_stun_request,
};
use crate::peer::{engine::host_candidate, ice_description::IceCredentials, transport::Transport};

/// The two ends. Nothing is ever sent between them; port 9 discards (RFC 863).
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
const THERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 9);

/// What the connection is told a datagram came by.
pub(super) fn transport() -> TransportContext {
    TransportContext { local_addr: HERE, peer_addr: THERE, transport_protocol: TransportProtocol::UDP, ecn: None }
}

/// Plays the viewer's part of ICE to a connection that has answered, up to the nomination.
///
/// # Errors
/// What `rtc` does not like about it; the connection is then of no use.
pub(super) fn open(
    connection: &mut RTCPeerConnection,
    ours: &IceCredentials,
    theirs: &IceCredentials,
    crypto: &dyn RTCCrypto,
    now: std::time::Instant,
) -> Result<(), Error> {
    connection.add_local_candidate(RTCIceCandidate::from(&host_candidate(HERE, Transport::Udp)?).to_json()?)?;
    let username = Username::new(ATTR_USERNAME, format!("{}:{}", ours.ufrag, theirs.ufrag));
    let nomination = built(&[
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId::new()),
        Box::new(username),
        Box::new(UseCandidateAttr::new()),
        integrity(&ours.pwd, crypto),
        Box::new(FINGERPRINT),
    ])?;
    let read = |connection: &mut RTCPeerConnection, message: &[u8]| {
        connection.handle_read(TaggedBytesMut { now, transport: transport(), message: BytesMut::from(message) })
    };
    // It takes a nomination only after its own check of the pair has come through.
    read(connection, &nomination)?;
    while let Some(out) = connection.poll_write() {
        if out.transport.local_addr != HERE || !is_stun_request(&out.message) {
            continue;
        }
        let answer = success(&out.message, HERE, &theirs.pwd, crypto)?;
        read(connection, &answer)?;
    }
    read(connection, &nomination)?;
    while connection.poll_write().is_some() {}
    Ok(())
}
