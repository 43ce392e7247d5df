//! Opens the RTCP that a viewer sends (SRTCP, RFC 3711 section 3.4).
//!
//! On its way through a connection of `rtc` a report of a hundred bytes passes eight handlers, each with a queue of its own,
//! and every handler's timers are looked at: 15 to 20 us of the 60 that a browser's feedback cost.

use rtc::{
    crypto::RTCCrypto,
    rtcp,
    shared::error::Error,
    srtp::{context::Context, option::srtcp_replay_protection, protection_profile::ProtectionProfile},
};

use super::MasterKey;
use crate::peer::engine::Protection;

/// Packets that may overtake each other (RFC 3711 section 3.3.2 asks for 64 at least).
const REPLAY_WINDOW: usize = 64;
/// A viewer reports under one SSRC or, with several streams, a few. The rest is room for forged ones, which are only found
/// out later: they must not crowd out the viewer's own.
const MAX_REPORTERS: usize = 256;

/// As `rtc` calls it.
pub(super) fn profile_of(protection: Protection) -> ProtectionProfile {
    match protection {
        Protection::Gcm => ProtectionProfile::AeadAes128Gcm,
        Protection::CmHmacSha1 => ProtectionProfile::Aes128CmHmacSha1_80,
    }
}

/// What opens one viewer's RTCP.
pub(in crate::peer) struct ControlReader {
    context: Context,
    /// SSRCs that it came from. For each the context remembers what it has seen, before it finds out that a packet is forged.
    reporters: Vec<[u8; 4]>,
}

impl ControlReader {
    /// # Errors
    /// When `crypto` does not do AES-128.
    pub(in crate::peer) fn new(protection: Protection, key: &MasterKey, crypto: &dyn RTCCrypto) -> Result<Self, Error> {
        let profile = profile_of(protection);
        let salt = &key.salt[..profile.salt_len()];
        let replay = srtcp_replay_protection(REPLAY_WINDOW);
        let context = Context::new(&key.key, salt, profile, None, Some(replay), crypto)?;
        Ok(Self { context, reporters: Vec::new() })
    }

    /// The packets of a compound, or none when it is not the viewer's, came before, or does not parse: that is the sender's
    /// fault and no reason to end the session.
    pub(in crate::peer) fn read(&mut self, datagram: &[u8]) -> Vec<Box<dyn rtcp::Packet>> {
        if !self.may_be_known(datagram) {
            return Vec::new();
        }
        let opened = self.context.decrypt_rtcp(datagram);
        opened.and_then(|mut compound| rtcp::packet::unmarshal(&mut compound)).unwrap_or_default()
    }

    fn may_be_known(&mut self, datagram: &[u8]) -> bool {
        let Some(reporter) = datagram.get(4..8).and_then(|ssrc| <[u8; 4]>::try_from(ssrc).ok()) else { return false };
        let known = self.reporters.contains(&reporter);
        if !known && self.reporters.len() < MAX_REPORTERS {
            self.reporters.push(reporter);
            return true;
        }
        known
    }
}
