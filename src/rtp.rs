//! RTP on this side of encryption: packing access units into payloads once per camera, and the timelines that
//! RTP timestamps run on.

mod packetizer;
mod timeline;

pub use packetizer::{MAX_PAYLOAD, pack_audio, pack_h264};
pub use timeline::{Continuity, Timeline};
