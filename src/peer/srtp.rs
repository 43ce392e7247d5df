//! SRTP (RFC 3711) of the media that a session sends, in place, where the packet stands that leaves.
//!
//! A connection of `rtc` copies a packet four times on its way through eight handlers; what a gateway spends, it spends
//! there. So media does not go through it, and neither does what viewers report of it. DTLS stays with the connection,
//! and so does the RTCP that we send, with its index; the [`KeyTap`] reads the master keys off the connection's crypto
//! provider, a [`Protector`] does with ours what RFC 3711 says, a [`ControlReader`] opens RTCP with the viewer's, and a
//! [`MediaReader`] what a publisher sends.
//!
//! What must hold, because a nonce that is used for two messages gives away AES-GCM's authentication key (RFC 7714
//! section 8.4):
//!
//! - The connection never sends RTP: nobody but [`Outbound`](super::outbound::Outbound) makes any.
//! - Each SSRC of a session belongs to one `Outbound`, or to its retransmissions, and no two are the same
//!   ([`engine::Blueprint`](super::engine::Blueprint)).
//! - The index of a packet (rollover counter and sequence number) is counted up in 48 bits and outlives a `Protector`.
//! - A packet that is sent twice under one index is the same packet, bit for bit.
//! - SRTCP has keys of its own (labels 3 to 5, RFC 3711 section 4.3.2); nothing here encrypts with them.

mod control;
mod derivation;
mod key_tap;
mod media;
#[cfg(test)]
pub(super) mod tests;

use rtc::crypto::{
    AeadAlgorithm, AeadCipher, CryptoError, HmacAlgorithm, Mac, RTCCrypto, StreamCipher, StreamCipherAlgorithm,
};

use self::derivation::{AUTHENTICATION, ENCRYPTION, SALT, derive};
pub(super) use self::{
    control::ControlReader,
    key_tap::{KeyTap, MasterKey, MasterKeys},
    media::MediaReader,
};
use super::engine::Protection;

/// Bytes that AES-GCM's tag adds (RFC 7714 section 13.1); more than the 10 of HMAC-SHA1-80.
const GCM_TAG: usize = 16;
/// Bytes of a HMAC-SHA1, and how many of them a packet carries (RFC 3711 section 4.2.1).
const SHA1: usize = 20;
const SHA1_80: usize = 10;
/// RFC 3711 section 3.3.1: 32 bits of rollover counter and 16 of sequence number.
const INDEX_BITS: u32 = 48;

/// Where a packet stands in its buffer, and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Where the packet begins. It ends with the buffer.
    pub(super) start: usize,
    /// Length of the RTP header, extensions included.
    pub(super) header: usize,
    pub(super) ssrc: u32,
    /// Rollover counter and sequence number in 48 bits.
    pub(super) index: u64,
}

/// One session's media keys, one direction.
pub(super) struct Protector(Cipher);

enum Cipher {
    Gcm { aead: Box<dyn AeadCipher>, salt: [u8; 12] },
    CmHmacSha1 { cipher: Box<dyn StreamCipher>, mac: Box<dyn Mac>, salt: [u8; 14] },
}

impl Protector {
    /// Derives the session keys (RFC 3711 section 4.3).
    ///
    /// # Errors
    /// When `crypto` does not do AES-128.
    pub(super) fn new(protection: Protection, key: &MasterKey, crypto: &dyn RTCCrypto) -> Result<Self, CryptoError> {
        let encryption = derive::<16>(crypto, key, ENCRYPTION)?;
        Ok(Self(match protection {
            Protection::Gcm => Cipher::Gcm {
                aead: crypto.new_aead(AeadAlgorithm::Aes128Gcm, &encryption)?,
                salt: derive(crypto, key, SALT)?,
            },
            Protection::CmHmacSha1 => Cipher::CmHmacSha1 {
                cipher: crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &encryption)?,
                mac: crypto.new_hmac(HmacAlgorithm::Sha1, &derive::<SHA1>(crypto, key, AUTHENTICATION)?)?,
                salt: derive(crypto, key, SALT)?,
            },
        }))
    }

    /// Encrypts the payload of the packet at `place` in `buffer`, and appends its tag.
    ///
    /// # Errors
    /// When the index has run out, after which the key must not be used (RFC 3711 section 9.2), and what the cipher says.
    pub(super) fn protect(&mut self, buffer: &mut Vec<u8>, place: Place) -> Result<(), CryptoError> {
        if place.index >> INDEX_BITS != 0 {
            return Err(CryptoError::Provider("all numbers of an RTP stream are used up".into()));
        }
        match &mut self.0 {
            Cipher::Gcm { aead, salt } => {
                let mut tag = [0; GCM_TAG];
                let (header, payload) = buffer[place.start..].split_at_mut(place.header);
                aead.seal_in_place(&gcm_nonce(*salt, place), header, payload, &mut tag)?;
                buffer.extend_from_slice(&tag);
            }
            Cipher::CmHmacSha1 { cipher, mac, salt } => {
                let packet = &mut buffer[place.start..];
                cipher.apply_keystream(&counter(salt, place), &mut packet[place.header..])?;
                let mut tag = [0; SHA1];
                mac.sign(&[packet, &rollover(place).to_be_bytes()], &mut tag)?;
                buffer.extend_from_slice(&tag[..SHA1_80]);
            }
        }
        Ok(())
    }
}

/// The higher 32 of the index's 48 bits.
fn rollover(place: Place) -> u32 {
    (place.index >> 16) as u32
}

/// RFC 7714 section 8.1: two octets of zeros, SSRC, rollover counter and sequence number, XORed with the salt.
fn gcm_nonce(mut salt: [u8; 12], place: Place) -> [u8; 12] {
    mix(&mut salt[2..], place);
    salt
}

/// RFC 3711 section 4.1.1: the salt, SSRC and index, each shifted to its place, XORed; the last 16 bits count blocks.
fn counter(salt: &[u8; 14], place: Place) -> [u8; 16] {
    let mut counter = [0; 16];
    counter[..14].copy_from_slice(salt);
    mix(&mut counter[4..14], place);
    counter
}

/// XORs SSRC and index, ten octets, into `salt`.
fn mix(salt: &mut [u8], place: Place) {
    let number = place.index.to_be_bytes();
    let text = place.ssrc.to_be_bytes().into_iter().chain(number[2..].iter().copied());
    salt.iter_mut().zip(text).for_each(|(byte, other)| *byte ^= other);
}
