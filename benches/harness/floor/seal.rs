//! SRTP with nothing around it: what of the work is arithmetic.

use rtc::crypto::{self, AeadAlgorithm, AeadCipher, HmacAlgorithm, Mac, StreamCipher, StreamCipherAlgorithm};

use super::super::crowd::Protection;

const HEADER: usize = 12;
/// The tag of AES-GCM.
const TAG: usize = 16;
/// What is left of the tag of HMAC-SHA1 (RFC 3711 section 4.2).
const SHORT_TAG: usize = 10;

/// Protects one viewer's packets.
pub enum Seal {
    Gcm(Box<dyn AeadCipher>),
    Cm(Box<dyn StreamCipher>, Box<dyn Mac>),
}

impl Seal {
    pub fn new(protection: Protection, key: u8) -> Self {
        let provider = crypto::default_provider().expect("a crypto provider");
        let (crypto, key) = (provider.crypto(), [key; 16]);
        match protection {
            Protection::Gcm => {
                Self::Gcm(crypto.new_aead(AeadAlgorithm::Aes128Gcm, &key).expect("AES-128-GCM is known"))
            }
            Protection::Cm => Self::Cm(
                crypto.new_stream_cipher(StreamCipherAlgorithm::Aes128Ctr, &key).expect("AES-128-CTR is known"),
                crypto.new_hmac(HmacAlgorithm::Sha1, &key).expect("HMAC-SHA1 is known"),
            ),
        }
    }

    /// Appends a protected packet of `size` bytes to the train.
    pub fn append(&mut self, sequence: u64, header: &[u8; HEADER], payload: &[u8], size: usize, train: &mut Vec<u8>) {
        let tag_length = if matches!(self, Self::Gcm(_)) { TAG } else { SHORT_TAG };
        train.extend_from_slice(header);
        let start = train.len();
        train.extend_from_slice(&payload[..size - HEADER - tag_length]);
        let end = train.len();
        train.extend_from_slice(&[0; TAG][..tag_length]);
        let (body, tag) = train[start..].split_at_mut(end - start);
        match self {
            Self::Gcm(cipher) => {
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&sequence.to_be_bytes());
                cipher.seal_in_place(&nonce, header, body, tag).expect("the sizes are right");
            }
            Self::Cm(cipher, mac) => {
                let mut iv = [0; 16];
                iv[6..14].copy_from_slice(&sequence.to_be_bytes());
                cipher.apply_keystream(&iv, body).expect("the sizes are right");
                let (mut whole, rollover) = ([0; 20], [0; 4]);
                mac.sign(&[&header[..], &*body, &rollover[..]], &mut whole).expect("the sizes are right");
                tag.copy_from_slice(&whole[..SHORT_TAG]);
            }
        }
    }
}
