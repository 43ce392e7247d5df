//! Reads the SRTP master keys off a connection's crypto provider.
//!
//! `rtc` does not hand out what DTLS exported (RFC 5764 section 4.2). But it derives the session keys of its own SRTP
//! contexts with the provider's block cipher, which nothing else in it uses: our direction first, and of each the label 0
//! first, whose input is the salt as it is (`rtc-srtp` 0.21.1, key_derivation.rs and context/mod.rs). Should another
//! version do it in another order, no viewer could decrypt anything, which every end-to-end test would show.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher, CryptoAlgorithm,
    CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey, RTCCrypto, RTCCryptoProvider,
    RTCRandom, SignatureScheme, SigningKey, StreamCipher, StreamCipherAlgorithm,
};

/// What RFC 5764 section 4.2 exports for one direction. AES-GCM's salt is two octets shorter, which are zeros here.
#[derive(Clone)]
pub(in crate::peer) struct MasterKey {
    pub(super) key: [u8; 16],
    pub(super) salt: [u8; 14],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(feature = "fuzzing")]
impl MasterKey {
    /// For what is not opened.
    pub(in crate::peer) fn blank() -> Self {
        Self { key: [0; 16], salt: [0; 14] }
    }
}

/// The keys of both directions.
pub(in crate::peer) struct MasterKeys {
    pub(in crate::peer) ours: MasterKey,
    pub(in crate::peer) theirs: MasterKey,
}

/// A provider that does what another does, and remembers the keys. One per connection.
pub(in crate::peer) struct KeyTap {
    inner: Arc<dyn RTCCryptoProvider>,
    keys: Mutex<Tapped>,
}

#[derive(Default)]
enum Tapped {
    #[default]
    Nothing,
    Ours(MasterKey),
    Both(MasterKeys),
    /// They were taken; what follows is not ours.
    Taken,
}

impl KeyTap {
    pub(in crate::peer) fn new(inner: Arc<dyn RTCCryptoProvider>) -> Self {
        Self { inner, keys: Mutex::default() }
    }

    /// The keys, once, after the handshake.
    pub(in crate::peer) fn take(&self) -> Option<MasterKeys> {
        let mut tapped = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *tapped, Tapped::Taken) {
            Tapped::Both(keys) => Some(keys),
            Tapped::Taken => None,
            too_early => {
                *tapped = too_early;
                None
            }
        }
    }

    fn note(&self, key: &[u8], block: &[u8]) {
        let (Ok(key), Some(salt)) = (key.try_into(), block.first_chunk()) else { return };
        let key = MasterKey { key, salt: *salt };
        let mut tapped = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        *tapped = match std::mem::take(&mut *tapped) {
            Tapped::Nothing => Tapped::Ours(key),
            Tapped::Ours(ours) if ours.key != key.key => Tapped::Both(MasterKeys { ours, theirs: key }),
            known => known,
        };
    }
}

impl RTCCryptoProvider for KeyTap {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.inner.random()
    }
}

impl RTCCrypto for KeyTap {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.inner.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner.crypto().hash(algorithm, data)
    }

    fn block_encrypt(&self, algorithm: BlockCipherAlgorithm, key: &[u8], block: &mut [u8]) -> Result<(), CryptoError> {
        self.note(key, block);
        self.inner.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.inner.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.inner.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        self.inner.crypto().new_aead(algorithm, key)
    }

    fn new_cbc(&self, algorithm: CbcAlgorithm, key: &[u8]) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.inner.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(&self, algorithm: KeyExchangeAlgorithm) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.inner.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(&self, scheme: SignatureScheme) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(&self, scheme: SignatureScheme, key: &[u8]) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner.crypto().import_signing_key(scheme, key)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.inner.crypto().verify_signature(scheme, public_key, message, signature)
    }
}
