//! RTP on this side of encryption: packing access units into payloads once per camera and unpacking them again, the
//! headers that differ per viewer, and the timelines that RTP timestamps run on.

mod depacketizer;
mod extensions;
mod header;
mod packetizer;
mod timeline;

pub use depacketizer::{NalUnit, nal_units};
pub use extensions::Extensions;
pub use header::{HEADER, Header};
pub use packetizer::{MAX_PAYLOAD, pack_audio, pack_h264};
pub use timeline::{Continuity, Timeline};
