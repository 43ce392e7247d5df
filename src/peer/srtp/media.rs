//! Opens the media that a publisher sends (SRTP, RFC 3711 section 3.3).

use rtc::{
    crypto::RTCCrypto,
    rtp,
    shared::{error::Error, marshal::Unmarshal},
    srtp::{
        context::Context,
        option::{srtcp_replay_protection, srtp_replay_protection},
    },
};

use super::{MasterKey, control::profile_of};
use crate::peer::engine::Protection;

/// Packets that may overtake each other: a publisher that repeats what was lost under its own number does so half a second
/// later, and sends up to 5,000 packets in a second.
const REPLAY_WINDOW: usize = 4_096;
/// SSRCs that a publisher may send under, before and after it changed them. For each the context remembers what it has seen,
/// before it finds out that a packet is forged.
const MAX_SENDERS: usize = 64;

/// What opens one publisher's media.
pub(in crate::peer) struct MediaReader {
    context: Context,
    senders: Vec<u32>,
}

impl MediaReader {
    /// # Errors
    /// When `crypto` does not do AES-128.
    pub(in crate::peer) fn new(protection: Protection, key: &MasterKey, crypto: &dyn RTCCrypto) -> Result<Self, Error> {
        let profile = profile_of(protection);
        let salt = &key.salt[..profile.salt_len()];
        let (replay, control) = (srtp_replay_protection(REPLAY_WINDOW), srtcp_replay_protection(1));
        let context = Context::new(&key.key, salt, profile, Some(replay), Some(control), crypto)?;
        Ok(Self { context, senders: Vec::new() })
    }

    /// The packet in the clear, without padding, or `None` when it is not the publisher's, came before, or does not parse.
    pub(in crate::peer) fn read(&mut self, datagram: &[u8]) -> Option<rtp::Packet> {
        let header = rtp::Header::unmarshal(&mut &*datagram).ok()?;
        if !self.senders.contains(&header.ssrc) {
            if self.senders.len() >= MAX_SENDERS {
                return None;
            }
            self.senders.push(header.ssrc);
        }
        let mut opened = self.context.decrypt_rtp_with_header(datagram, &header).ok()?.freeze();
        rtp::Packet::unmarshal(&mut opened).ok()
    }
}
