//! RTP packets (RFC 3550, RFC 6184) and RTCP reports, right or wrong.

use super::Unit;

/// Largest payload of the default packets: Ethernet's frame less the headers.
pub const MTU: usize = 1_400;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// One packet, each field as it is sent.
#[derive(Clone, Debug)]
pub struct Packet {
    pub payload: Vec<u8>,
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// With padding, an extension and a contributing source, as ONVIF cameras may.
    pub extended: bool,
}

impl Packet {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, u8::from(self.marker) << 7 | self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        if self.extended {
            bytes[0] |= 0x31;
            bytes.extend([0, 0, 0, 1]);
            // ONVIF's replay extension has this number (streaming specification, section 6.3).
            bytes.extend([0xab, 0xac, 0, 1, 0, 0, 0, 0]);
        }
        bytes.extend(&self.payload);
        if self.extended {
            bytes.extend([0, 0, 3]);
        }
        bytes
    }
}

/// One track of one session: what its next packet is numbered with. A hook may change every field.
#[derive(Clone, Debug)]
pub struct Line {
    pub ssrc: u32,
    pub payload_type: u8,
    /// Of the next packet.
    pub sequence: u16,
    /// Of the access unit or sound that is being sent.
    pub timestamp: u32,
    /// How many were sent before it in this session.
    pub frame: u64,
    /// How many sessions this camera played before this one.
    pub session: usize,
}

impl Line {
    /// The next packet with this payload.
    pub fn packet(&mut self, payload: Vec<u8>, marker: bool) -> Packet {
        let Self { ssrc, payload_type, sequence, timestamp, .. } = *self;
        self.sequence = sequence.wrapping_add(1);
        Packet { payload, marker, payload_type, sequence, timestamp, ssrc, extended: false }
    }

    /// As most cameras do it: parameter sets before each keyframe in packets of their own, slices whole or fragmented, the
    /// marker on the last packet.
    pub fn packetize(&mut self, unit: &Unit) -> Vec<Packet> {
        let mut packets = self.parameter_sets(unit);
        packets.extend(self.slices(unit));
        packets
    }

    /// As a camera does it that takes the marker for something else: each packet has one.
    pub fn marked(&mut self, unit: &Unit) -> Vec<Packet> {
        let mut packets = self.parameter_sets(unit);
        packets.extend(unit.nals.iter().flat_map(|nal| self.fu_a(nal, 100)));
        packets.iter_mut().for_each(|packet| packet.marker = true);
        packets
    }

    /// SPS and PPS in packets of their own, of a keyframe; nothing of another picture.
    pub fn parameter_sets(&mut self, unit: &Unit) -> Vec<Packet> {
        if unit.keyframe { vec![self.single(&unit.sps), self.single(&unit.pps)] } else { Vec::new() }
    }

    /// The picture without parameter sets.
    pub fn slices(&mut self, unit: &Unit) -> Vec<Packet> {
        let mut packets: Vec<_> = unit.nals.iter().flat_map(|nal| self.nal(nal, MTU)).collect();
        if let Some(last) = packets.last_mut() {
            last.marker = true;
        }
        packets
    }

    /// A NAL unit, fragmented if it is larger than `size`.
    pub fn nal(&mut self, nal: &[u8], size: usize) -> Vec<Packet> {
        if nal.len() <= size { vec![self.single(nal)] } else { self.fu_a(nal, size) }
    }

    /// A NAL unit in a packet of its own (RFC 6184 section 5.6).
    pub fn single(&mut self, nal: &[u8]) -> Packet {
        self.packet(nal.to_vec(), false)
    }

    /// Several NAL units in one packet (section 5.7.1).
    pub fn stap_a(&mut self, nals: &[&[u8]]) -> Packet {
        let mut payload = vec![STAP_A | 0x60];
        for nal in nals {
            payload.extend((nal.len() as u16).to_be_bytes());
            payload.extend(*nal);
        }
        self.packet(payload, false)
    }

    /// A NAL unit in fragments of at most `size` (section 5.8).
    pub fn fu_a(&mut self, nal: &[u8], size: usize) -> Vec<Packet> {
        let pieces: Vec<_> = nal[1..].chunks(size).collect();
        let last = pieces.len() - 1;
        let fragment = |(at, piece): (usize, &&[u8])| {
            let start = if at == 0 { FU_START } else { 0 };
            let end = if at == last { FU_END } else { 0 };
            let mut payload = vec![FU_A | nal[0] & 0x60, start | end | nal[0] & 0x1f];
            payload.extend(*piece);
            self.packet(payload, false)
        };
        pieces.iter().enumerate().map(fragment).collect()
    }
}

/// These NAL units as a byte stream (annex B).
pub fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect()
}

/// A sender report with a CNAME (RFC 3550 sections 6.4.1 and 6.5). `ntp` is 32.32 seconds since 1900.
pub fn sender_report(ssrc: u32, ntp: u64, rtp: u32) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(ssrc.to_be_bytes());
    report.extend(ntp.to_be_bytes());
    report.extend(rtp.to_be_bytes());
    report.extend([0; 8]);
    report.extend([0x81, 202, 0, 3]);
    report.extend(ssrc.to_be_bytes());
    report.extend([1, 3, b'c', b'a', b'm', 0, 0, 0]);
    report
}

/// Says that a source leaves (section 6.6).
pub fn bye(ssrc: u32) -> Vec<u8> {
    let mut bye = vec![0x81, 203, 0, 1];
    bye.extend(ssrc.to_be_bytes());
    bye
}

/// Data between the messages of an RTSP connection (RFC 2326 section 10.12).
pub fn interleaved(channel: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'$', channel];
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}
