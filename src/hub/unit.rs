//! An access unit packed for sending: what the hub fans out.

use std::time::Instant;

use bytes::Bytes;

use crate::media::Kind;

/// One access unit as RTP payloads, shared by every viewer of its camera.
#[derive(Debug)]
pub struct Unit {
    /// Number of the unit within its camera, both tracks counted together; no gaps.
    pub number: u64,
    /// Its track.
    pub kind: Kind,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Place on the track's continuous timeline, in ticks of the track's clock.
    pub ticks: i64,
    /// When it was captured, on this machine's monotonic clock.
    pub captured: Instant,
    /// RTP payloads in sending order, at least one, each at most [`crate::rtp::MAX_PAYLOAD`] bytes.
    pub payloads: Vec<Bytes>,
    /// Sum of the payloads' lengths.
    pub bytes: usize,
}
