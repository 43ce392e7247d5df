//! AAC out of RTP packets (RFC 3640, mode AAC-hbr), where a session is taken packet by packet.
//!
//! In: payloads in order. Out: frames, each with its distance from the packet's time. What cannot be understood is left out.

use bytes::{Bytes, BytesMut};
use retina::{client::Stream, codec::ParametersRef};

/// Bits of a frame's header in this mode: its size and its index (RFC 3640 section 3.3.6).
const SIZE_BITS: u32 = 13;
const HEADER: usize = 2;

/// Puts frames together.
#[derive(Debug)]
pub(super) struct Depacketizer {
    /// Of a frame, in samples, which the media clock counts.
    samples: i64,
    /// A frame that takes several packets, and how long it is.
    fragment: Option<(usize, BytesMut)>,
}

impl Depacketizer {
    /// For `stream`, if it is AAC. retina describes none in another mode.
    pub(super) fn of(stream: &Stream) -> Option<Self> {
        let Some(ParametersRef::Audio(parameters)) = stream.parameters() else { return None };
        let samples = parameters.frame_length().filter(|_| stream.encoding_name() == "mpeg4-generic")?;
        Some(Self { samples: samples.get().into(), fragment: None })
    }

    /// Takes the next payload; `is_broken`: something was lost before it.
    pub(super) fn push(&mut self, payload: &Bytes, marker: bool, is_broken: bool) -> Vec<(i64, Bytes)> {
        let fragment = self.fragment.take().filter(|_| !is_broken);
        let Some((sizes, data)) = parts(payload) else { return Vec::new() };
        if let [size] = sizes[..]
            && size > data.len()
        {
            return self.part(fragment, size, &data, marker);
        }
        let mut at = 0;
        let frames = sizes.iter().zip(0..).map_while(|(size, index)| {
            let frame = data.get(at..at + size).map(|_| data.slice(at..at + size))?;
            at += size;
            Some((index * self.samples, frame))
        });
        frames.filter(|(_, frame)| !frame.is_empty()).collect()
    }

    /// A piece of a frame of `size` bytes; the last has the marker.
    fn part(
        &mut self,
        fragment: Option<(usize, BytesMut)>,
        size: usize,
        data: &[u8],
        marker: bool,
    ) -> Vec<(i64, Bytes)> {
        let mut frame = fragment.filter(|(whole, _)| *whole == size).map(|(_, frame)| frame).unwrap_or_default();
        frame.extend_from_slice(data);
        if !marker && frame.len() < size {
            self.fragment = Some((size, frame));
            return Vec::new();
        }
        // A frame whose beginning was lost is shorter.
        if frame.len() == size { vec![(0, frame.freeze())] } else { Vec::new() }
    }
}

/// The sizes of the frames, and what they are in.
fn parts(payload: &Bytes) -> Option<(Vec<usize>, Bytes)> {
    let (bits, rest) = payload.split_first_chunk::<2>()?;
    let headers = usize::from(u16::from_be_bytes(*bits)).div_ceil(8);
    let (sizes, _) = rest.get(..headers)?.as_chunks::<HEADER>();
    let size = |header: &[u8; 2]| usize::from(u16::from_be_bytes(*header) >> (u16::BITS - SIZE_BITS));
    Some((sizes.iter().map(size).collect(), payload.slice(2 + headers..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sizes: &[u16], data: &[u8]) -> Bytes {
        let bits = (sizes.len() * 16) as u16;
        let headers = sizes.iter().flat_map(|size| (size << 3).to_be_bytes());
        bits.to_be_bytes().into_iter().chain(headers).chain(data.iter().copied()).collect()
    }

    fn depacketizer() -> Depacketizer {
        Depacketizer { samples: 1_024, fragment: None }
    }

    #[test]
    fn a_packet_has_one_frame_or_several() {
        let mut line = depacketizer();
        assert_eq!(line.push(&packet(&[2], &[1, 2]), true, false), [(0, Bytes::from_static(&[1, 2]))]);
        let frames = line.push(&packet(&[1, 2, 1], &[1, 2, 3, 4]), true, false);
        let expected: [(i64, &[u8]); 3] = [(0, &[1]), (1_024, &[2, 3]), (2_048, &[4])];
        assert_eq!(frames, expected.map(|(at, data)| (at, Bytes::from_static(data))));
    }

    #[test]
    fn a_frame_may_take_several_packets() {
        let mut line = depacketizer();
        let (first, second) = (packet(&[5], &[1, 2, 3]), packet(&[5], &[4, 5]));
        assert_eq!(line.push(&first, false, false), []);
        assert_eq!(line.push(&second, true, false), [(0, Bytes::from_static(&[1, 2, 3, 4, 5]))]);
        // One of them is lost.
        assert_eq!(line.push(&first, false, false), []);
        assert_eq!(line.push(&first, false, true), []);
        assert_eq!(line.push(&second, true, false), [(0, Bytes::from_static(&[1, 2, 3, 4, 5]))]);
        assert_eq!(line.push(&second, true, false), []);
        assert_eq!(line.push(&packet(&[1], &[9]), true, false), [(0, Bytes::from_static(&[9]))]);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let mut line = depacketizer();
        for payload in [&[][..], &[0], &[0, 16], &[0, 16, 0], &[0xff, 0xff, 1, 2], &[0, 0, 1, 2], &[0, 16, 0, 0]] {
            assert_eq!(line.push(&Bytes::from_static(payload), true, false), [], "{payload:?}");
        }
        // The second frame is not whole.
        assert_eq!(line.push(&packet(&[1, 9], &[7]), true, false), [(0, Bytes::from_static(&[7]))]);
    }
}
