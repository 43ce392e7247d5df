//! L16: uncompressed samples, sixteen bits, big endian, channels interleaved (RFC 3551 section 4.5.11).

use super::{Pcm, error::FrameError};

/// How each channel goes into the left and the right one, in the order of RFC 3551 section 4.1, for three to six
/// channels. Centre channels go into both at 3 dB less (ITU-R BS.775), and all are scaled so that nothing can clip.
const DOWNMIX: [&[[f32; 2]]; 4] = [
    &[[0.59, 0.0], [0.0, 0.59], [0.41, 0.41]],
    &[[0.42, 0.0], [0.29, 0.29], [0.0, 0.42], [0.29, 0.29]],
    &[[0.42, 0.0], [0.0, 0.42], [0.29, 0.29], [0.29, 0.0], [0.0, 0.29]],
    &[[0.27, 0.0], [0.27, 0.0], [0.19, 0.19], [0.0, 0.27], [0.0, 0.27], [0.27, 0.27]],
];

/// Most channels that RFC 3551 gives an order for.
pub(super) const MAX_CHANNELS: u8 = 6;

/// Appends the samples of `packet`, which has `channels` of them, to `out`.
pub(super) fn decode(packet: &[u8], channels: u8, out: &mut Pcm) -> Result<(), FrameError> {
    let channels = usize::from(channels);
    if packet.is_empty() {
        return Err(FrameError::Empty);
    }
    if !packet.len().is_multiple_of(2 * channels) {
        return Err(FrameError::Length { bytes: packet.len(), channels });
    }
    for block in packet.chunks_exact(2 * channels) {
        let sample = |channel: usize| {
            f32::from(i16::from_be_bytes([block[2 * channel], block[2 * channel + 1]])) / -f32::from(i16::MIN)
        };
        for (index, plane) in out.planes_mut().iter_mut().enumerate() {
            plane.push(match channels.checked_sub(3).and_then(|more| DOWNMIX.get(more)) {
                None => sample(index.min(channels - 1)),
                Some(weights) => weights.iter().enumerate().map(|(from, weight)| weight[index] * sample(from)).sum(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_big_endian_and_interleaved() {
        let mut out = Pcm::new(2);
        decode(&[0x40, 0x00, 0x80, 0x00, 0xc0, 0x00, 0x00, 0x01], 2, &mut out).unwrap();
        assert_eq!(out.planes(), [vec![0.5, -0.5], vec![-1.0, 1.0 / 32_768.0]]);
    }

    #[test]
    fn a_cut_packet_is_refused() {
        let mut out = Pcm::new(2);
        let refusal = decode(&[0; 6], 2, &mut out).unwrap_err();
        assert!(matches!(refusal, FrameError::Length { bytes: 6, channels: 2 }));
        assert!(matches!(decode(&[], 1, &mut out), Err(FrameError::Empty)));
        assert_eq!(out.len(), 0);
    }

    #[test]
    fn more_channels_become_two_that_cannot_clip() {
        for channels in 3..=MAX_CHANNELS {
            let mut out = Pcm::new(2);
            let loud = [0x80, 0x00].repeat(usize::from(channels));
            decode(&loud, channels, &mut out).unwrap();
            assert!(out.planes().iter().all(|plane| (-1.01..-0.95).contains(&plane[0])), "{channels}: {out:?}");
        }
    }
}
