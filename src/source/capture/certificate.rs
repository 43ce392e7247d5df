//! Which certificate a camera that speaks TLS may show: the special placeholder `{certificate}`.
//!
//! Its value is `trusted`, a certificate that is signed by an authority this machine trusts and made out to the
//! camera's name; or the SHA-256 fingerprint of the one certificate that is the camera's, as most cameras sign their
//! own. There is no value that accepts everything. Nothing here needs GStreamer; `tls` checks what is shown.

use std::fmt;

/// The value that asks for no fingerprint.
pub(super) const TRUSTED: &str = "trusted";

/// What stands in the pipeline in place of the placeholder: every kind of fault is one. With a pinned fingerprint too,
/// as only a fault makes GStreamer ask about a certificate.
pub(super) const PROPERTY: &str = "tls-validation-flags=validate-all";

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Reads 64 hexadecimal digits, with or without colons between the bytes, as openssl and browsers show them.
    fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let well_placed = !text.contains(':') || text.split(':').all(|byte| byte.len() == 2);
        if digits.len() != 64 || !well_placed {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<_> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&bytes.join(":"))
    }
}

/// Reads the value of the placeholder. `None` inside is [`TRUSTED`].
///
/// # Errors
/// What is wrong with it.
pub(super) fn pin(value: &str) -> Result<Option<Fingerprint>, String> {
    if value == TRUSTED {
        return Ok(None);
    }
    let fault = || format!("is neither \"{TRUSTED}\" nor a SHA-256 fingerprint (64 hexadecimal digits)");
    Fingerprint::parse(value).map(Some).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_shown() {
        let shown = (0..32).map(|byte| format!("{:02X}", byte * 7)).collect::<Vec<_>>();
        let plain = pin(&shown.concat().to_lowercase()).unwrap();
        assert_eq!(pin(&shown.join(":")), Ok(plain));
        assert_eq!(plain.unwrap().to_string(), shown.join(":"));
        assert_eq!(pin("trusted"), Ok(None));
    }

    #[test]
    fn everything_else_is_refused() {
        let digits = "ab".repeat(32);
        let long = format!("{digits}cd");
        let spread = format!("{}:", &digits[..63]);
        for value in ["", "any", "none", "sha256", &digits[..62], &long, &spread, &digits.replace('a', "g")] {
            assert!(pin(value).is_err(), "{value}");
        }
    }
}
