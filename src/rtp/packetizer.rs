//! Packs an access unit into RTP payloads (RFC 6184 for H.264), once per camera and not once per viewer.
//!
//! In: an access unit and the parameter sets in force. Out: payloads without RTP headers, cheap to clone. Called by
//! the hub's producer. Fragments of one NAL unit have one size but for the last, so that a unit leaves as few GSO trains.

use std::iter;

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::{VideoFormat, h264};

/// Largest payload, in bytes. A viewer's packet adds at most 12 (header) + 20 (header extensions) + 2 (original sequence
/// number of a retransmission, RFC 4588) + 16 (AES-GCM tag, RFC 7714), which makes 1,222 bytes, most of them 1,208. That fits
/// every path to a home (IPv6's minimum MTU of 1,280 less 48 bytes of IPv6 and UDP headers).
pub const MAX_PAYLOAD: usize = 1_172;

/// `nal_unit_type` of a single-time aggregation packet (RFC 6184 section 5.7.1).
const STAP_A: u8 = 24;
/// `nal_unit_type` of a fragmentation unit (RFC 6184 section 5.8).
const FU_A: u8 = 28;
/// FU indicator and FU header.
const FU_HEADERS: usize = 2;

/// Payloads of one H.264 access unit (`data` framed by four-byte lengths), in packetization-mode 1.
///
/// A keyframe starts with the parameter sets in one STAP-A that shares the IDR picture's timestamp, without which
/// Chrome does not start (pion/rtp#112). Parameter sets inside the unit are replaced by it; access unit delimiters
/// and filler carry nothing for a viewer and are left out. Empty when nothing is left.
pub fn pack_h264(data: &Bytes, keyframe: bool, format: &VideoFormat) -> Vec<Bytes> {
    let mut payloads = Vec::with_capacity(data.len() / MAX_PAYLOAD + 2);
    if keyframe {
        pack_parameter_sets(format, &mut payloads);
    }
    let before = payloads.len();
    for nal in h264::nals(data) {
        match h264::nal_type(&nal) {
            h264::NAL_SPS | h264::NAL_PPS | h264::NAL_AUD | h264::NAL_FILLER => {}
            // A slice would keep the whole access unit in memory beside the fragments of its large NAL units.
            _ if nal.len() <= MAX_PAYLOAD && data.len() > 2 * MAX_PAYLOAD => {
                payloads.push(Bytes::copy_from_slice(&nal))
            }
            _ if nal.len() <= MAX_PAYLOAD => payloads.push(nal),
            _ => fragment(&nal, &mut payloads),
        }
    }
    if payloads.len() == before {
        payloads.clear();
    }
    payloads
}

/// The payload of one audio frame: the frame itself (Opus: RFC 7587 section 4.2; G.711: RFC 3551 section 4.5.14).
pub fn pack_audio(data: &Bytes) -> Vec<Bytes> {
    if data.is_empty() { Vec::new() } else { vec![data.clone()] }
}

fn pack_parameter_sets(format: &VideoFormat, payloads: &mut Vec<Bytes>) {
    let sets = || iter::once(&format.sps).chain(&format.pps);
    let size = 1 + sets().map(|set| 2 + set.len()).sum::<usize>();
    if size > MAX_PAYLOAD {
        // Scaling matrices can make a parameter set large; then each travels alone.
        for set in sets() {
            if set.len() <= MAX_PAYLOAD { payloads.push(set.clone()) } else { fragment(set, payloads) }
        }
        return;
    }
    let importance = sets().filter_map(|set| set.first()).map(|byte| byte & 0x60).max().unwrap_or(0x60);
    let mut packet = BytesMut::with_capacity(size);
    packet.put_u8(importance | STAP_A);
    for set in sets() {
        // Shorter than a packet.
        packet.put_u16(set.len() as u16);
        packet.put_slice(set);
    }
    payloads.push(packet.freeze());
}

fn fragment(nal: &Bytes, payloads: &mut Vec<Bytes>) {
    let header = nal[0];
    let body = nal.slice(1..);
    let count = body.len().div_ceil(MAX_PAYLOAD - FU_HEADERS);
    let size = body.len().div_ceil(count);
    // One allocation for all fragments of the NAL unit; each payload is a slice of it.
    let mut all = BytesMut::with_capacity(body.len() + count * FU_HEADERS);
    for (index, piece) in body.chunks(size).enumerate() {
        let start = u8::from(index == 0) << 7;
        let end = u8::from(index + 1 == count) << 6;
        all.put_u8(header & 0xe0 | FU_A);
        all.put_u8(start | end | header & 0x1f);
        all.put_slice(piece);
    }
    let all = all.freeze();
    let stride = size + FU_HEADERS;
    payloads.extend((0..all.len()).step_by(stride).map(|at| all.slice(at..all.len().min(at + stride))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format() -> VideoFormat {
        VideoFormat {
            sps: Bytes::from_static(&[0x67, 1, 2, 3]),
            pps: vec![Bytes::from_static(&[0x68, 4])],
            width: 16,
            height: 16,
        }
    }

    fn framed(nals: &[&[u8]]) -> Bytes {
        let mut data = BytesMut::new();
        for nal in nals {
            data.put_u32(nal.len() as u32);
            data.put_slice(nal);
        }
        data.freeze()
    }

    #[test]
    fn a_keyframe_starts_with_both_parameter_sets_in_one_stap_a() {
        let data = framed(&[&[9, 0xf0], &[0x67, 9, 9], &[0x68, 9], &[0x65, 7]]);
        let payloads = pack_h264(&data, true, &format());
        assert_eq!(payloads[0], [0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 4].as_slice());
        assert_eq!(payloads[1], [0x65, 7].as_slice());
        assert_eq!(payloads.len(), 2);
    }

    #[test]
    fn several_picture_parameter_sets_travel_together() {
        let format = VideoFormat { pps: vec![vec![0x68, 4].into(), vec![0x68, 5, 6].into()], ..format() };
        let payloads = pack_h264(&framed(&[&[0x65, 7]]), true, &format);
        assert_eq!(payloads[0], [0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 4, 0, 3, 0x68, 5, 6].as_slice());
        let large = VideoFormat { pps: vec![vec![0x68; 700].into(), vec![0x68; 701].into()], ..format };
        let lengths: Vec<_> = pack_h264(&framed(&[&[0x65, 7]]), true, &large).iter().map(Bytes::len).collect();
        assert_eq!(lengths, [4, 700, 701, 2]);
    }

    #[test]
    fn fragments_have_one_size_and_come_back_together() {
        let mut nal: Vec<u8> = (0..5_000u32).map(|i| i as u8).collect();
        nal[0] = 0x41;
        let payloads = pack_h264(&framed(&[&nal]), false, &format());
        assert_eq!(payloads.len(), 5);
        assert!(payloads.iter().all(|p| p.len() <= MAX_PAYLOAD));
        assert!(payloads.windows(2).take(3).all(|pair| pair[0].len() == pair[1].len()));
        assert!(payloads[4].len() <= payloads[3].len());
        assert_eq!(payloads[0][..2], [0x5c, 0x81]);
        assert_eq!(payloads[2][..2], [0x5c, 0x01]);
        assert_eq!(payloads[4][..2], [0x5c, 0x41]);
        let body: Vec<u8> = payloads.iter().flat_map(|p| p[2..].to_vec()).collect();
        assert_eq!(body, nal[1..]);
    }

    #[test]
    fn a_nal_unit_of_exactly_the_limit_stays_whole() {
        let mut nal = vec![0u8; MAX_PAYLOAD];
        nal[0] = 0x41;
        assert_eq!(pack_h264(&framed(&[&nal]), false, &format()).len(), 1);
        nal.push(0);
        assert_eq!(pack_h264(&framed(&[&nal]), false, &format()).len(), 2);
    }

    #[test]
    fn a_unit_of_delimiters_packs_to_nothing() {
        assert!(pack_h264(&framed(&[&[9, 0xf0]]), false, &format()).is_empty());
        assert!(pack_h264(&framed(&[&[0x67, 1]]), true, &format()).is_empty());
    }

    #[test]
    fn huge_parameter_sets_travel_alone() {
        let mut format = format();
        let mut sps = vec![1u8; 2_000];
        sps[0] = 0x67;
        format.sps = sps.into();
        let payloads = pack_h264(&framed(&[&[0x65, 7]]), true, &format);
        assert_eq!(payloads.len(), 4);
        assert!(payloads.iter().all(|p| p.len() <= MAX_PAYLOAD));
    }
}
