//! Ways in for `fuzz/`: what strangers write into headers and messages.

pub use super::{auth::fuzzing::credentials, signalling::fuzzing::signalling};
