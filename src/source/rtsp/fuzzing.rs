//! A way in for `fuzz/`.

use std::time::{Duration, Instant};

use url::Url;

use super::{
    backchannel::description,
    events,
    h264_rtp::{Depacketizer, Packet},
};
use crate::media::h264;

/// Bytes of an RTP header without extras (RFC 3550 section 5.1).
const HEADER: usize = 12;

/// Takes RTP packets of H.264, each behind its length in two bytes (RFC 4571), and reads of the pictures what the gateway
/// reads. Pictures come out whole.
pub fn rtp_of_h264(mut framed: &[u8]) {
    let (mut depacketizer, received) = (Depacketizer::default(), Instant::now());
    let mut pictures = h264::BFrames::default();
    let mut expected = None;
    while let Some((length, rest)) = framed.split_first_chunk::<2>() {
        let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        framed = rest;
        let Some((header, payload)) = packet.split_at_checked(HEADER) else { continue };
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let lost = expected.map_or(0, |expected| u32::from(sequence.wrapping_sub(expected)));
        expected = Some(sequence.wrapping_add(1));
        let ticks = i64::from(u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
        let marker = header[1] & 0x80 != 0;
        for unit in depacketizer.push(Packet { ticks, received, marker, lost, payload }) {
            let framed: usize = h264::nals(&unit.data).map(|nal| nal.len() + 4).sum();
            assert!(framed <= unit.data.len() && framed > 0, "what comes out has NAL units in it");
            pictures.note(&unit.data, received + Duration::from_millis(u64::from(sequence)));
        }
        if let Some((sps, _)) = depacketizer.new_parameters() {
            pictures = h264::BFrames::of(&sps);
            let _ = h264::dimensions(&sps);
            let _ = h264::profile_level_id(&sps).map(h264::Profile::of);
        }
    }
}

/// Reads what a camera says of what it notices (XML), and the description (SDP) in which its loudspeaker is looked for.
pub fn camera_texts(text: &[u8]) {
    for event in events::read(text) {
        let _ = (event.kind(), event.is_active());
        assert!(event.topic.chars().all(|c| !c.is_control()), "{event:?}");
    }
    if let Ok(base) = Url::parse("rtsp://192.0.2.9/stream") {
        let _ = description::read(text, &base);
    }
}
