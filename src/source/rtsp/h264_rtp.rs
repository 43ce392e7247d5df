//! H.264 out of RTP packets (RFC 6184), for what retina's own depacketiser cannot serve: retina hands out either frames of every
//! stream or raw packets of every stream, and it has no frames for Opus, nor for pictures whose packets break a rule or that refer
//! to several picture parameter sets. What is published to a camera comes in packets, too.
//!
//! In: packets in order, with the number lost before each. Out: access units framed by four-byte lengths. Refuses nothing:
//! what cannot be understood is left out, and the picture it belonged to with it.

use std::{collections::BTreeMap, iter, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::h264;

/// `nal_unit_type` of a single-time aggregation packet (RFC 6184 section 5.7.1).
const STAP_A: u8 = 24;
/// `nal_unit_type` of a fragmentation unit (RFC 6184 section 5.8).
const FU_A: u8 = 28;
/// A larger access unit is thrown away: no camera makes one, but one whose markers are lost would grow for ever.
const MAX_UNIT: usize = 8 << 20;
/// Picture parameter sets that are kept, those that came last. Encoders that have several at a time have two or three.
const MAX_PPS: usize = 16;

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(in crate::source) struct Packet<'a> {
    pub(in crate::source) ticks: i64,
    pub(in crate::source) received: Instant,
    pub(in crate::source) marker: bool,
    pub(in crate::source) lost: u32,
    pub(in crate::source) payload: &'a [u8],
}

/// One access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct Unit {
    pub(in crate::source) ticks: i64,
    /// When its first packet came.
    pub(in crate::source) received: Instant,
    pub(in crate::source) keyframe: bool,
    pub(in crate::source) data: Bytes,
}

/// Puts packets together.
#[derive(Debug, Default)]
pub(in crate::source) struct Depacketizer {
    sps: Option<Bytes>,
    /// By their ids, each with how many had come before it came last.
    pps: BTreeMap<u32, (u64, Bytes)>,
    pps_seen: u64,
    new_parameters: bool,
    unit: Option<Partial>,
}

/// An access unit that is not complete.
#[derive(Debug)]
struct Partial {
    ticks: i64,
    received: Instant,
    data: BytesMut,
    /// Where the fragmented NAL unit that is under way begins in `data`.
    fragment: Option<usize>,
    /// Whether it holds a coded slice; parameter sets that carry the marker (Reolink RLC-822A) are not yet a picture.
    has_slice: bool,
    keyframe: bool,
    damaged: bool,
}

impl Depacketizer {
    /// Takes the next packet. Gives the unit that ended before it without a marker, and the one that it completes.
    pub(in crate::source) fn push(&mut self, packet: Packet<'_>) -> impl Iterator<Item = Unit> + use<> {
        let other_time = self.unit.as_ref().is_some_and(|unit| unit.ticks != packet.ticks);
        let before = if other_time { self.finish() } else { None };
        let unit = self.unit.get_or_insert_with(|| Partial::new(packet.ticks, packet.received));
        if packet.lost > 0 {
            unit.damaged = true;
            unit.drop_fragment();
        }
        self.take(packet.payload);
        // A marker in the middle of a NAL unit ends nothing.
        let ends = |unit: &Partial| (unit.has_slice || unit.damaged) && unit.fragment.is_none();
        let complete = packet.marker && self.unit.as_ref().is_some_and(ends);
        let now = if complete { self.finish() } else { None };
        [before, now].into_iter().flatten()
    }

    /// The parameter sets in force if they have changed since this was last asked.
    pub(in crate::source) fn new_parameters(&mut self) -> Option<(Bytes, Vec<Bytes>)> {
        let changed = std::mem::take(&mut self.new_parameters);
        if !changed || self.pps.is_empty() {
            return None;
        }
        let sps = self.sps.clone()?;
        let id = h264::sps_id(&sps);
        // Those of a sequence that is over are of no use.
        let all = || self.pps.values().map(|(_, pps)| pps.clone());
        let is_of = |pps: &Bytes| h264::pps_ids(pps).is_some_and(|(_, of)| Some(of) == id);
        let pps: Vec<_> = all().filter(is_of).collect();
        Some((sps, if pps.is_empty() { all().collect() } else { pps }))
    }

    fn finish(&mut self) -> Option<Unit> {
        let mut unit = self.unit.take()?;
        if unit.fragment.is_some() {
            unit.damaged = true;
        }
        let usable = unit.has_slice && !unit.damaged;
        usable.then(|| Unit {
            ticks: unit.ticks,
            received: unit.received,
            keyframe: unit.keyframe,
            data: unit.data.freeze(),
        })
    }

    fn take(&mut self, payload: &[u8]) {
        match h264::nal_type(payload) {
            // With a start code before everything.
            0 if payload.starts_with(&[0, 0]) => self.nal(payload),
            1..=23 => self.nal(payload),
            STAP_A => {
                let mut rest = &payload[1..];
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes(*length));
                    let Some((nal, after)) = after.split_at_checked(length) else { return };
                    self.nal(nal);
                    rest = after;
                }
            }
            FU_A => self.fragment(payload),
            _ => {}
        }
    }

    /// Takes a NAL unit, or several with start codes between them, which some cameras (V380) take for one.
    fn nal(&mut self, stream: &[u8]) {
        for nal in pieces(stream) {
            self.piece(nal);
        }
    }

    fn piece(&mut self, nal: &[u8]) {
        match h264::nal_type(nal) {
            h264::NAL_SPS => self.new_parameters |= replace(&mut self.sps, nal),
            h264::NAL_PPS => self.new_parameters |= self.replace_pps(nal),
            kind => {
                if let Some(unit) = &mut self.unit {
                    unit.drop_fragment();
                    unit.begin(kind, nal);
                    unit.end();
                }
            }
        }
    }

    /// Whether it is a new one.
    fn replace_pps(&mut self, nal: &[u8]) -> bool {
        let id = h264::pps_ids(nal).map_or(0, |(id, _)| id);
        self.pps_seen += 1;
        if let Some((seen, known)) = self.pps.get_mut(&id) {
            *seen = self.pps_seen;
            let is_new = *known != nal;
            if is_new {
                *known = Bytes::copy_from_slice(nal);
            }
            return is_new;
        }
        let oldest = self.pps.iter().min_by_key(|(_, (seen, _))| *seen).map(|(id, _)| *id);
        if let Some(oldest) = oldest.filter(|_| self.pps.len() >= MAX_PPS) {
            self.pps.remove(&oldest);
        }
        self.pps.insert(id, (self.pps_seen, Bytes::copy_from_slice(nal)));
        true
    }

    fn fragment(&mut self, payload: &[u8]) {
        let (Some(unit), [indicator, header, body @ ..]) = (&mut self.unit, payload) else { return };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        if start {
            unit.drop_fragment();
            let nal_header = indicator & 0xe0 | header & 0x1f;
            unit.begin(header & 0x1f, &[nal_header]);
        }
        if unit.fragment.is_none() {
            unit.damaged = true;
            return;
        }
        unit.data.put_slice(body);
        if end && let Some(stream) = unit.take_stream() {
            self.nal(&stream);
        } else if end {
            unit.end();
        }
    }
}

impl Partial {
    fn new(ticks: i64, received: Instant) -> Self {
        Self {
            ticks,
            received,
            data: BytesMut::new(),
            fragment: None,
            has_slice: false,
            keyframe: false,
            damaged: false,
        }
    }

    /// Opens a NAL unit with its first bytes.
    fn begin(&mut self, kind: u8, bytes: &[u8]) {
        if self.data.len() > MAX_UNIT {
            self.damaged = true;
            self.data.clear();
        }
        self.fragment = Some(self.data.len());
        self.data.put_u32(0);
        self.data.put_slice(bytes);
        self.has_slice |= (1..=h264::NAL_IDR).contains(&kind);
        self.keyframe |= kind == h264::NAL_IDR;
    }

    /// Closes the NAL unit that is open: writes its length.
    fn end(&mut self) {
        let Some(at) = self.fragment.take() else { return };
        let length = u32::try_from(self.data.len() - at - 4).unwrap_or(u32::MAX);
        self.data[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes back the NAL unit that is open if it is several, or has zeros behind it.
    fn take_stream(&mut self) -> Option<BytesMut> {
        let from = self.fragment? + 4;
        let nal = self.data.get(from..)?;
        if pieces(nal).next().is_some_and(|first| first.len() == nal.len()) {
            return None;
        }
        let stream = self.data.split_off(from);
        self.data.truncate(from - 4);
        self.fragment = None;
        Some(stream)
    }

    /// The rest of an open NAL unit will not come.
    fn drop_fragment(&mut self) {
        if let Some(at) = self.fragment.take() {
            self.data.truncate(at);
            self.damaged = true;
        }
    }
}

/// The NAL units between start codes, without the zeros behind them (ISO/IEC 14496-10 annex B).
fn pieces(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        while !rest.is_empty() {
            let code = rest.windows(3).position(|bytes| bytes == [0, 0, 1]);
            let (piece, after) = code.map_or((rest, &[][..]), |at| (&rest[..at], &rest[at + 3..]));
            rest = after;
            if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
                return Some(&piece[..=last]);
            }
        }
        None
    })
}

/// Whether `place` changed.
fn replace(place: &mut Option<Bytes>, nal: &[u8]) -> bool {
    let changed = place.as_deref() != Some(nal);
    if changed {
        *place = Some(Bytes::copy_from_slice(nal));
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Line {
        depacketizer: Depacketizer,
        received: Instant,
    }

    impl Line {
        fn new() -> Self {
            Self { depacketizer: Depacketizer::default(), received: Instant::now() }
        }

        fn push(&mut self, ticks: i64, marker: bool, payload: &[u8]) -> Option<(i64, bool, Vec<u8>)> {
            self.lossy(ticks, marker, 0, payload)
        }

        fn lossy(&mut self, ticks: i64, marker: bool, lost: u32, payload: &[u8]) -> Option<(i64, bool, Vec<u8>)> {
            let packet = Packet { ticks, received: self.received, marker, lost, payload };
            let mut units = self.depacketizer.push(packet).map(|unit| (unit.ticks, unit.keyframe, unit.data.to_vec()));
            let unit = units.next();
            assert_eq!(units.next(), None);
            unit
        }
    }

    #[test]
    fn a_keyframe_of_every_kind_of_packet() {
        let mut line = Line::new();
        assert_eq!(line.push(0, false, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2]), None);
        assert_eq!(line.depacketizer.new_parameters(), Some((vec![0x67, 1].into(), vec![vec![0x68, 2].into()])));
        assert_eq!(line.depacketizer.new_parameters(), None);
        assert_eq!(line.push(0, false, &[0x06, 9]), None);
        assert_eq!(line.push(0, false, &[0x7c, 0x85, 1, 2]), None);
        assert_eq!(line.push(0, false, &[0x7c, 0x05, 3]), None);
        let unit = line.push(0, true, &[0x7c, 0x45, 4]);
        assert_eq!(unit, Some((0, true, vec![0, 0, 0, 2, 0x06, 9, 0, 0, 0, 5, 0x65, 1, 2, 3, 4])));
    }

    /// V380 puts parameter sets and picture into one packet, or one fragmented unit, with start codes between them.
    #[test]
    fn start_codes_part_what_is_one_packet() {
        let stream = [0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65, 3, 0, 0];
        let whole = Some((0, true, vec![0, 0, 0, 2, 0x65, 3]));
        let mut line = Line::new();
        assert_eq!(line.push(0, true, &stream), whole);
        assert_eq!(line.depacketizer.new_parameters(), Some((vec![0x67, 1].into(), vec![vec![0x68, 2].into()])));
        let mut line = Line::new();
        let (first, last) = stream[1..].split_at(3);
        assert_eq!(line.push(0, false, &[&[0x7c, 0x87][..], first].concat()), None);
        assert_eq!(line.push(0, true, &[&[0x7c, 0x47][..], last].concat()), whole);
        assert_eq!(line.depacketizer.new_parameters(), Some((vec![0x67, 1].into(), vec![vec![0x68, 2].into()])));
    }

    #[test]
    fn start_codes_may_come_first() {
        let mut line = Line::new();
        assert_eq!(line.push(0, false, &[0, 0, 0, 1, 0x67, 1]), None);
        assert_eq!(line.push(0, false, &[0, 0, 1, 0x68, 2]), None);
        assert_eq!(line.depacketizer.new_parameters(), Some((vec![0x67, 1].into(), vec![vec![0x68, 2].into()])));
        // The first zero is taken for the header of what is fragmented.
        assert_eq!(line.push(0, false, &[0x1c, 0x80, 0, 0, 1, 0x65]), None);
        assert_eq!(line.push(0, true, &[0x1c, 0x40, 3]), Some((0, true, vec![0, 0, 0, 2, 0x65, 3])));
    }

    /// Pictures may refer to several, by their ids; those of a sequence that is over are left out.
    #[test]
    fn several_picture_parameter_sets_are_kept() {
        // x264's for 322x182, of sequence 0.
        let sps = [
            0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00,
            0x03, 0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
        ];
        // Sets 0 and 1 of it, and set 2 of sequence 1.
        let (zero, one, two) = ([0x68, 0b1100_1110], [0x68, 0b0101_1110], [0x68, 0b0110_1011]);
        let mut line = Line::new();
        for nal in [&sps[..], &one, &two, &zero, &one] {
            line.push(0, false, nal);
        }
        let sets = |pps: &[&[u8]]| Some((sps.to_vec().into(), pps.iter().map(|pps| pps.to_vec().into()).collect()));
        assert_eq!(line.depacketizer.new_parameters(), sets(&[&zero, &one]));
        line.push(0, false, &zero);
        assert_eq!(line.depacketizer.new_parameters(), None);
        let other = [0x68, 0b1100_1111];
        line.push(0, false, &other);
        assert_eq!(line.depacketizer.new_parameters(), sets(&[&other, &one]));
        // An encoder that counts on and on: the last ones are kept. ue(v) of eight zeros: 255 and what follows.
        for id in 0..100 {
            line.push(0, false, &[0x68, 0, 0b1000_0000 | id >> 1, id << 7 | 0b0111_1111]);
        }
        let ids: Vec<_> = line.depacketizer.pps.keys().copied().collect();
        assert_eq!(ids, (255 + 100 - MAX_PPS as u32..255 + 100).collect::<Vec<_>>());
    }

    #[test]
    fn markers_within_a_nal_unit_end_nothing() {
        let mut line = Line::new();
        assert_eq!(line.push(0, true, &[0x7c, 0x85, 1]), None);
        assert_eq!(line.push(0, true, &[0x7c, 0x05, 2]), None);
        assert_eq!(line.push(0, true, &[0x7c, 0x45, 3]), Some((0, true, vec![0, 0, 0, 4, 0x65, 1, 2, 3])));
    }

    #[test]
    fn a_missing_marker_is_made_up_for_by_the_next_time() {
        let mut line = Line::new();
        assert_eq!(line.push(0, false, &[0x41, 1]), None);
        assert_eq!(line.push(3_000, false, &[0x41, 2]), Some((0, false, vec![0, 0, 0, 2, 0x41, 1])));
    }

    #[test]
    fn two_units_may_end_with_one_packet() {
        let mut line = Line::new();
        assert_eq!(line.push(0, false, &[0x41, 1]), None);
        let received = line.received;
        let packet = Packet { ticks: 3_000, received, marker: true, lost: 0, payload: &[0x41, 2] };
        let ticks: Vec<_> = line.depacketizer.push(packet).map(|unit| unit.ticks).collect();
        assert_eq!(ticks, [0, 3_000]);
    }

    /// Reolink RLC-822A sends its parameter sets with the marker of a picture.
    #[test]
    fn parameter_sets_with_a_marker_are_no_picture() {
        let mut line = Line::new();
        assert_eq!(line.push(0, true, &[0x67, 1]), None);
        assert_eq!(line.push(0, true, &[0x68, 2]), None);
        assert_eq!(line.push(0, true, &[0x65, 3]), Some((0, true, vec![0, 0, 0, 2, 0x65, 3])));
    }

    #[test]
    fn a_picture_with_a_hole_is_left_out_and_the_next_is_whole() {
        let mut line = Line::new();
        assert_eq!(line.push(0, false, &[0x7c, 0x85, 1]), None);
        assert_eq!(line.lossy(0, true, 1, &[0x7c, 0x45, 3]), None);
        assert_eq!(line.push(3_000, true, &[0x41, 2]), Some((3_000, false, vec![0, 0, 0, 2, 0x41, 2])));
        assert_eq!(line.push(6_000, true, &[0x7c, 0x05, 3]), None, "a fragment without a start");
        assert_eq!(line.push(9_000, true, &[0x41, 4]), Some((9_000, false, vec![0, 0, 0, 2, 0x41, 4])));
    }

    #[test]
    fn garbage_makes_no_unit_and_no_panic() {
        let mut line = Line::new();
        for payload in [&[][..], &[0x78], &[0x78, 0], &[0x78, 0xff, 0xff, 1], &[0x7c], &[0x7c, 0x85], &[0x1f, 1]] {
            assert_eq!(line.push(0, false, payload), None);
        }
        assert_eq!(line.push(0, true, &[0xff; 9]), None);
    }

    #[test]
    fn a_unit_without_end_is_bounded() {
        let mut line = Line::new();
        let slice = vec![0x41; 60_000];
        for _ in 0..1_000 {
            assert_eq!(line.push(0, false, &slice), None);
        }
        assert!(line.depacketizer.unit.as_ref().is_some_and(|unit| unit.data.len() < MAX_UNIT + 100_000));
    }
}
