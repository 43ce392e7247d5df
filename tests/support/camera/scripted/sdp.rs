//! What the camera describes.

/// A good description, for a test to break.
pub const VIDEO: &str = "\
v=0
o=- 1 1 IN IP4 127.0.0.1
s=camera
c=IN IP4 0.0.0.0
t=0 0
a=control:*
a=range:npt=0-
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sprop}
a=control:trackID=0
{sound}";

/// The media section of the sound.
pub const PCMU: &str = "\
m=audio 0 RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=control:trackID=1
";
