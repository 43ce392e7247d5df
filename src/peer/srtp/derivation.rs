//! Session keys from the master key (RFC 3711 section 4.3), with a key derivation rate of 0.

use rtc::crypto::{BlockCipherAlgorithm, CryptoError, RTCCrypto};

use super::MasterKey;

/// RFC 3711 section 4.3.2.
pub(super) const ENCRYPTION: u8 = 0;
/// RFC 3711 section 4.3.2.
pub(super) const AUTHENTICATION: u8 = 1;
/// RFC 3711 section 4.3.2.
pub(super) const SALT: u8 = 2;

const BLOCK: usize = 16;
/// Where the label stands in a block: 56 bits before the end of the 112 bits of salt.
const LABEL_AT: usize = 7;

/// `N` bytes of the keystream that belongs to `label`: AES in counter mode under the master key.
///
/// # Errors
/// When `crypto` does not do AES-128.
pub(super) fn derive<const N: usize>(
    crypto: &dyn RTCCrypto,
    master: &MasterKey,
    label: u8,
) -> Result<[u8; N], CryptoError> {
    let mut out = [0; N];
    for (count, piece) in (0u16..).zip(out.chunks_mut(BLOCK)) {
        let mut block = [0; BLOCK];
        block[..master.salt.len()].copy_from_slice(&master.salt);
        block[LABEL_AT] ^= label;
        block[BLOCK - 2..].copy_from_slice(&count.to_be_bytes());
        crypto.block_encrypt(BlockCipherAlgorithm::Aes128, &master.key, &mut block)?;
        piece.copy_from_slice(&block[..piece.len()]);
    }
    Ok(out)
}
