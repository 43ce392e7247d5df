//! One coded picture, or one coded stretch of sound, as a source hands it to the hub.

use std::time::Instant;

use bytes::Bytes;

use super::MediaTime;

/// Which of a camera's two tracks something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// The coded data of one instant on one track (H.264: ITU-T H.264 clause 3.1, "access unit").
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// The track it belongs to.
    pub kind: Kind,
    /// When it is to be presented, on the camera's own media clock.
    pub time: MediaTime,
    /// When it was captured, on this machine's monotonic clock: the source's best estimate. Both tracks of a camera
    /// use one mapping, so the difference between a picture's and a sound's `captured` is the camera's own.
    pub captured: Instant,
    /// Whether decoding can start here (H.264: it holds an IDR picture). Always `true` for audio.
    pub keyframe: bool,
    /// H.264: NAL units, each behind its length as a four-byte big-endian integer. Audio: one codec frame or packet.
    pub data: Bytes,
}
