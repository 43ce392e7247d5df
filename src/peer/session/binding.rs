//! Binding requests and their answers (RFC 8489, RFC 8445 section 7.3), where the agent of `rtc` makes none.

use std::net::SocketAddr;

use rtc::{
    crypto::RTCCrypto,
    shared::error::Error,
    stun::{
        fingerprint::FINGERPRINT,
        integrity::MessageIntegrity,
        message::{BINDING_SUCCESS, Message, Setter},
        xoraddr::XorMappedAddress,
    },
};

/// The success response to `request`, which came from `from`, under the password of whoever was asked.
///
/// # Errors
/// When `request` is no STUN message.
pub(super) fn success(request: &[u8], from: SocketAddr, pwd: &str, crypto: &dyn RTCCrypto) -> Result<Vec<u8>, Error> {
    let mut asked = Message { raw: request.to_vec(), ..Message::default() };
    asked.decode()?;
    built(&[
        Box::new(asked),
        Box::new(BINDING_SUCCESS),
        Box::new(XorMappedAddress { ip: from.ip(), port: from.port() }),
        integrity(pwd, crypto),
        Box::new(FINGERPRINT),
    ])
}

/// MESSAGE-INTEGRITY (RFC 8489 section 14.5) under a short-term password.
pub(super) fn integrity<'a>(pwd: &str, crypto: &'a dyn RTCCrypto) -> Box<dyn Setter + 'a> {
    Box::new(MessageIntegrity::new_short_term_integrity_with_provider(pwd.to_owned(), crypto))
}

/// A message of these parts, in this order.
///
/// # Errors
/// When one of them is too long.
pub(super) fn built(parts: &[Box<dyn Setter + '_>]) -> Result<Vec<u8>, Error> {
    let mut message = Message::new();
    message.build(parts)?;
    Ok(message.raw)
}
