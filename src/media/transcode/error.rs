//! Why sound cannot be transcoded at all, and why one frame could not.

use opusic_c::ErrorCode;
use symphonia_core::errors::Error as DecoderError;

/// Why a track cannot be transcoded; asking again changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// The AudioSpecificConfig is cut short or contradicts itself.
    #[error("the camera's AAC configuration {0:02x?} cannot be read")]
    AacConfig(Box<[u8]>),
    /// An MPEG-4 audio object type (ISO/IEC 14496-3 table 1.17) other than AAC-LC, alone or inside HE-AAC.
    #[error("{} cannot be decoded; set the camera's audio to AAC-LC", object_type_name(*.0))]
    AacObjectType(u8),
    /// Frames of 960 samples, which only digital radio uses.
    #[error("AAC with frames of 960 samples cannot be decoded; set the camera's audio to AAC-LC")]
    AacFrameLength,
    /// The channel configuration (ISO/IEC 14496-3 table 1.19): 0 means that it is inside the stream.
    #[error("AAC with channel configuration {0} cannot be decoded; set the camera's audio to mono or stereo")]
    AacChannels(u8),
    /// A sample rate outside 7350 to 96000 Hz.
    #[error("sound with {0} samples per second cannot be transcoded")]
    Rate(u32),
    /// L16 with no channel or more than six.
    #[error("sound with {0} channels cannot be transcoded")]
    Channels(u8),
    /// What Opus cannot do (RFC 6716 section 2.1.1).
    #[error("Opus cannot be encoded with {0} bit/s; 6000 to 510000 are possible")]
    Bitrate(u32),
    /// The decoder refused what passed the checks above.
    #[error("the AAC decoder does not take the camera's configuration")]
    Decoder(#[source] DecoderError),
    /// libopus could not be set up: no memory.
    #[error("libopus failed: {}", .0.message())]
    Encoder(ErrorCode),
}

/// Why a frame gave no sound. The hole is concealed, and the next frame may be good.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame has no data.
    #[error("an empty frame")]
    Empty,
    /// An L16 packet that does not hold whole samples.
    #[error("{bytes} bytes are no whole number of samples of {channels} channels")]
    Length {
        /// Length of the packet.
        bytes: usize,
        /// Channels of the track.
        channels: usize,
    },
    /// The AAC decoder could not decode it.
    #[error("a damaged AAC frame")]
    Damaged(#[source] DecoderError),
    /// It was decoded to noise far above full scale, which a damaged frame does.
    #[error("a damaged AAC frame, {0} times louder than full scale")]
    Loud(f32),
    /// libopus refused a frame.
    #[error("libopus failed: {}", .0.message())]
    Encoder(ErrorCode),
    /// The last of so many bad frames in a row. Said once: until a frame is good again, further ones are not reported.
    #[error("{frames} frames in a row could not be decoded")]
    Endless {
        /// How many.
        frames: u32,
        /// What was wrong with the last one.
        #[source]
        last: Box<Self>,
    },
}

/// As people know it.
fn object_type_name(object_type: u8) -> &'static str {
    match object_type {
        1 => "AAC Main",
        3 => "AAC-SSR",
        4 => "AAC-LTP",
        17 | 19 | 20 => "error-resilient AAC",
        23 => "AAC-LD",
        39 => "AAC-ELD",
        42 => "xHE-AAC",
        _ => "this kind of MPEG-4 audio",
    }
}
