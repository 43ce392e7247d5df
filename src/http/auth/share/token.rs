//! The token in a link: the share's id, and a signature of it (HMAC-SHA256, cut to 128 bits as RFC 2104 section 5 allows) that
//! only the gateway can make. 36 letters that no URL has to escape, so that a QR code of the link stays small.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use super::ShareId;

/// What tokens of links begin with, so that programs and people tell them from others.
const PREFIX: &str = "cgs_";
/// Bytes of the id and of the signature.
const ID: usize = 8;
const SIGNATURE: usize = 16;

/// What shows a camera to whoever has it. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ShareToken(String);

impl ShareToken {
    /// The token of a share.
    pub(super) fn sign(key: &hmac::Key, id: ShareId) -> Self {
        let bytes = [&id.0.to_be_bytes()[..], &hmac::sign(key, &id.0.to_be_bytes()).as_ref()[..SIGNATURE]].concat();
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Whether a text is meant to be one.
    pub(in crate::http::auth) fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The share whose token `text` is; `None` if we have not made it. Takes as long whatever is wrong with its signature.
    pub(super) fn verify(key: &hmac::Key, text: &str) -> Option<ShareId> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (id, signature) = bytes.split_first_chunk::<ID>()?;
        let right = hmac::sign(key, id);
        // `ring` compares in constant time only whole signatures: these two are the same if what they sign is.
        let given = hmac::sign(key, signature);
        hmac::verify(key, &right.as_ref()[..SIGNATURE], given.as_ref()).ok()?;
        Some(ShareId(u64::from_be_bytes(*id)))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ShareToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    #[test]
    fn nobody_makes_or_changes_a_token() {
        let (ours, id) = (key(b"ours"), ShareId(0x0123_4567_89ab_cdef));
        let token = ShareToken::sign(&ours, id);
        let text = token.expose();
        assert_eq!(text.len(), 36);
        assert_eq!(format!("{token:?}"), "***");
        assert_eq!(ShareToken::verify(&ours, text), Some(id));
        assert_eq!(ShareToken::verify(&key(b"theirs"), text), None);
        for at in PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(ShareToken::verify(&ours, &changed), None, "{at}");
        }
        let short = &text[..text.len() - 1];
        for wrong in ["", PREFIX, "cgs_AAAA", "cgs_ä", short, &format!("{text}A"), &format!("{text}="), &text[4..]] {
            assert_eq!(ShareToken::verify(&ours, wrong), None, "{wrong}");
        }
        // The id alone, with a signature of no length or of more than its length.
        let signature = hmac::sign(&ours, &id.0.to_be_bytes());
        for length in [0, 1, 15, 17, 32] {
            let bytes = [&id.0.to_be_bytes()[..], &signature.as_ref()[..length]].concat();
            let wrong = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
            assert_eq!(ShareToken::verify(&ours, &wrong), None, "{length}");
        }
    }
}
