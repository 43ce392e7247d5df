//! Ways in for `fuzz/`: everything that turns what a stranger, a camera or the author of a configuration sent into something
//! of ours. Only with the feature `fuzzing`, because the parsers are nobody's business otherwise; each function hands bytes to
//! the real code and panics when the code breaks a promise of its own.

pub use crate::{
    config::fuzzing::configuration,
    http::fuzzing::{channel_message, credentials, passed_on, signalling, tokens},
    peer::fuzzing::{datagrams, fragment, handshake, offer, reception},
    source::fuzzing::{camera_texts, launch_template, rtp_of_h264},
};
