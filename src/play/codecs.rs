//! What the viewer offers: H.264 first, as most gateways have it, then every other codec that arrives in browsers.

use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use webrtc::{error::Result, peer_connection::MediaEngine};

/// Encoding name and fmtp, in the order of preference. The H.264 profiles are those of browsers: Constrained Baseline,
/// Baseline, Main, High; both packetization modes (RFC 6184 section 6.2), the better one first.
const VIDEO: [(&str, &str); 9] = [
    ("H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    ("H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    ("H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    ("H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"),
    ("H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    ("VP8", ""),
    ("VP9", "profile-id=0"),
    ("AV1", "level-idx=5;profile=0;tier=0"),
    ("H265", ""),
];
/// Encoding name, clock rate, channels, fmtp, payload type.
const AUDIO: [(&str, u32, u16, &str, u8); 4] = [
    ("opus", 48_000, 2, "minptime=10;useinbandfec=1", 120),
    ("G722", 8_000, 1, "", 9),
    ("PCMU", 8_000, 1, "", 0),
    ("PCMA", 8_000, 1, "", 8),
];
/// Of the first video codec; each takes two, its own and that of its retransmissions.
const FIRST_VIDEO_PAYLOAD_TYPE: u8 = 96;

/// Registers them all, video with retransmission (RFC 4588).
///
/// # Errors
/// When the stack refuses a codec.
pub(super) fn register(media: &mut MediaEngine) -> Result<()> {
    for (index, (name, fmtp)) in VIDEO.iter().enumerate() {
        let payload_type = FIRST_VIDEO_PAYLOAD_TYPE + 2 * index as u8;
        media.register_codec(codec("video", name, 90_000, 0, fmtp, payload_type), RtpCodecKind::Video)?;
        let apt = format!("apt={payload_type}");
        media.register_codec(codec("video", "rtx", 90_000, 0, &apt, payload_type + 1), RtpCodecKind::Video)?;
    }
    for (name, clock_rate, channels, fmtp, payload_type) in AUDIO {
        media.register_codec(codec("audio", name, clock_rate, channels, fmtp, payload_type), RtpCodecKind::Audio)?;
    }
    Ok(())
}

/// Feedback (NACK, PLI, transport-cc) is added to all of a kind by the interceptors.
fn codec(
    kind: &str,
    name: &str,
    clock_rate: u32,
    channels: u16,
    fmtp: &str,
    payload_type: u8,
) -> RTCRtpCodecParameters {
    let mime_type = format!("{kind}/{name}");
    let rtp_codec =
        RTCRtpCodec { mime_type, clock_rate, channels, sdp_fmtp_line: fmtp.to_owned(), rtcp_feedback: Vec::new() };
    RTCRtpCodecParameters { rtp_codec, payload_type }
}
