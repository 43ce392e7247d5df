//! A second picture parameter set (PPS), and pictures that refer to it: what x264 makes refers to the first.

use super::clip::Unit;
use super::packets::{Line, Packet};

/// As [`Line::packetize`], of an encoder that has two sets and changes between them from picture to picture. Not for CABAC, where
/// slice data begins at a whole byte.
pub fn two_sets(line: &mut Line, unit: &Unit) -> Vec<Packet> {
    let mut packets = line.parameter_sets(unit);
    if unit.keyframe {
        packets.push(line.single(&second(&unit.pps, 0)));
    }
    // Behind the number of its first macroblock and its type.
    let refer = |nal: &Vec<u8>| if nal[0] & 0x1f == 1 || nal[0] & 0x1f == 5 { second(nal, 2) } else { nal.clone() };
    let nals = if line.frame % 2 == 1 { unit.nals.iter().map(refer).collect() } else { unit.nals.clone() };
    packets.extend(line.slices(&Unit { nals, ..unit.clone() }));
    packets
}

/// The NAL unit with 1 instead of 0 for the number (ue(v), ITU-T H.264 clause 9.1) behind so many others.
fn second(nal: &[u8], behind: usize) -> Vec<u8> {
    let payload = without_escapes(&nal[1..]);
    let mut bits: Vec<bool> = payload.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1 == 1)).collect();
    while bits.last() == Some(&false) {
        bits.pop();
    }
    let mut at = 0;
    for _ in 0..behind {
        let zeros = bits[at..].iter().position(|bit| *bit).expect("a number");
        at += 2 * zeros + 1;
    }
    assert!(bits[at], "it refers to the first set");
    bits.splice(at..=at, [false, true, false]);
    bits.resize(bits.len().next_multiple_of(8), false);
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    let payload: Vec<u8> = bits.chunks(8).map(byte).collect();
    [&nal[..1], &with_escapes(&payload)].concat()
}

fn without_escapes(escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zeros = 0;
    for byte in escaped {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        bytes.push(*byte);
    }
    bytes
}

fn with_escapes(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        escaped.push(*byte);
    }
    escaped
}
