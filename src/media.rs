//! The nouns of coded media: access units, codecs, time, names, and why something does not play.
//!
//! Nothing here does I/O, awaits, or reads a clock: an [`Instant`](std::time::Instant) appears only as data that a
//! source put there. Every other layer may import this one; it imports nothing of ours.

mod access_unit;
mod codec;
mod event;
pub mod h264;
pub mod mp4;
mod name;
mod reason;
pub mod still;
mod time;
pub mod transcode;

pub use access_unit::{AccessUnit, Kind};
pub use codec::{AudioCodec, AudioFormat, VideoFormat};
pub use event::CameraEvent;
pub use name::{BadCameraName, CameraName};
pub use reason::Reason;
pub use time::{ClockRate, MediaTime, NtpTime};
