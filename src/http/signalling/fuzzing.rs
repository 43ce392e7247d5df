//! A way in for `fuzz/`.

use super::message::{Request, error};

/// Reads a text frame. What it is called in an error stays short.
pub fn signalling(text: &str) {
    if let Request::Other(kind) = Request::parse(text) {
        let told = error(&kind, "no");
        assert!(told.len() < 1_024, "{told}");
    }
}
