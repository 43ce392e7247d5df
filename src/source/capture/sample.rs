//! Reads what an appsink delivers: formats from caps, units from buffers. Pure but for the mapped memory.

use bytes::Bytes;
use gstreamer as gst;

use crate::media::{AudioCodec, AudioFormat, ClockRate, MediaTime, VideoFormat, h264};

/// Parameter sets from `codec_data`, an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1).
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn video_format(caps: &gst::CapsRef) -> Result<VideoFormat, String> {
    let structure = caps.structure(0).ok_or("the caps are empty")?;
    let data = structure.get::<gst::Buffer>("codec_data").map_err(|error| format!("no codec_data ({error})"))?;
    let data = data.map_readable().map_err(|error| error.to_string())?;
    let (sps, pps) = parameter_sets(&data)?;
    VideoFormat::from_parameter_sets(sps, pps).map_err(|error| error.to_string())
}

fn parameter_sets(record: &[u8]) -> Result<(Bytes, Vec<Bytes>), String> {
    let short = "the AVC decoder configuration is too short";
    let length_size = record.get(4).ok_or(short)? & 3;
    if length_size != 3 {
        return Err(format!(
            "NAL unit lengths have {} bytes instead of 4: put h264parse before appsink",
            length_size + 1
        ));
    }
    let mut rest = &record[5..];
    let mut sets = |mask: u8| -> Option<Vec<Bytes>> {
        let count = *rest.split_off_first()? & mask;
        let mut set = || {
            let length = u16::from_be_bytes(*rest.split_off(..2)?.first_chunk()?);
            rest.split_off(..usize::from(length)).map(Bytes::copy_from_slice)
        };
        (0..count).map(|_| set()).collect()
    };
    let sps = sets(0x1f).ok_or(short)?.into_iter().next().ok_or("there is no sequence parameter set")?;
    let pps = sets(0xff).ok_or(short)?;
    if pps.is_empty() {
        return Err("there is no picture parameter set".into());
    }
    Ok((sps, pps))
}

/// The sound's format, if it can be passed on.
pub(super) fn audio_format(caps: &gst::CapsRef) -> Option<AudioFormat> {
    let structure = caps.structure(0)?;
    let codec = match structure.name().as_str() {
        "audio/x-opus" => AudioCodec::Opus,
        "audio/x-mulaw" => AudioCodec::Pcmu,
        "audio/x-alaw" => AudioCodec::Pcma,
        _ => return None,
    };
    let channels = structure.get::<i32>("channels").unwrap_or(1).clamp(1, 2);
    Some(AudioFormat { codec, channels: channels as u8 })
}

/// Whether decoding can start with this picture.
pub(super) fn is_keyframe(buffer: &gst::BufferRef, data: &Bytes) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
        && h264::nals(data).any(|nal| h264::nal_type(&nal) == h264::NAL_IDR)
}

/// Media time of a running time in nanoseconds, rounded to the nearest tick.
pub(super) fn media_time(running: i64, rate: ClockRate) -> MediaTime {
    let ticks = (i128::from(running) * i128::from(rate.hz()) + 500_000_000).div_euclid(1_000_000_000);
    MediaTime { ticks: ticks as i64, rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_taken() {
        let record = [
            1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 2, 0, 2, 0x68, 9, 0, 1, 0x68, /* extensions */ 0xfd,
        ];
        let (sps, pps) = parameter_sets(&record).unwrap();
        assert_eq!(sps[..], [0x67, 1, 2]);
        assert_eq!(pps, [&[0x68, 9][..], &[0x68]]);
    }

    #[test]
    fn records_that_end_early_are_refused_at_every_byte() {
        let record = [1, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 2, 0x68, 9];
        for length in 0..record.len() {
            assert!(parameter_sets(&record[..length]).is_err(), "{length}");
        }
        assert!(parameter_sets(&[1, 0, 0, 0, 0xff, 0xe0, 0]).unwrap_err().contains("no sequence parameter set"));
        assert!(parameter_sets(&[1, 0, 0, 0, 0xfd, 0xe0, 0]).unwrap_err().contains("2 bytes instead of 4"));
    }

    #[test]
    fn ticks_are_rounded_to_the_nearest() {
        let ticks = |running| media_time(running, ClockRate::OPUS).ticks;
        assert_eq!((ticks(19_999_999), ticks(20_000_001), ticks(-20_000_000)), (960, 960, -960));
    }
}
