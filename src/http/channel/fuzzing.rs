//! A way in for `fuzz/`.

use super::message::read;
use crate::peer::MAX_PIECE;

/// Reads a message of a viewer's. What refuses it can be sent.
pub fn channel_message(text: &str) {
    if let Err(error) = read(text) {
        let told = serde_json::to_string(&error).expect("texts and numbers");
        assert!(told.len() < MAX_PIECE, "{told}");
    }
}
