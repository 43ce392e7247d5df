//! What is said, as payloads of RTP in the camera's codec.

use super::description::{Codec, Ear};
#[cfg(feature = "gstreamer")]
use crate::source::capture::speech_coder::{Frame, SpeechCoder};
use crate::{
    media::transcode::Speech,
    source::{Error, speech::Coding},
};

/// Packets in a second, of what is coded here (RFC 3551 section 4.2).
const PER_SECOND: u32 = 50;

/// Makes them.
pub(super) struct Payloads {
    codec: Codec,
    hz: u32,
    #[cfg(feature = "gstreamer")]
    coder: Option<SpeechCoder>,
}

impl Payloads {
    /// # Errors
    /// There is no encoder for what the camera takes.
    pub(super) async fn of(ear: &Ear) -> Result<Self, Error> {
        #[cfg(feature = "gstreamer")]
        let coder = match ear.codec {
            Codec::Coded(coding) => Some(SpeechCoder::open(coding, ear.hz).await?),
            Codec::G711(_) | Codec::L16 => None,
        };
        Ok(Self {
            codec: ear.codec,
            hz: ear.hz,
            #[cfg(feature = "gstreamer")]
            coder,
        })
    }

    /// Whether each is a frame that can be told from the next.
    pub(super) fn are_frames(&self) -> bool {
        self.codec == Codec::Coded(Coding::Aac)
    }

    /// The payloads of what is said, each with its time; of an encoder those that are ready.
    ///
    /// # Errors
    /// The encoder has ended.
    pub(super) fn of_speech(&mut self, speech: &Speech) -> Result<Vec<(u32, Vec<u8>)>, Error> {
        let encode: &dyn Fn(&[i16]) -> Vec<u8> = match self.codec {
            Codec::G711(law) => &move |samples| samples.iter().map(|sample| law.byte(*sample)).collect(),
            Codec::L16 => &|samples| samples.iter().flat_map(|sample| sample.to_be_bytes()).collect(),
            Codec::Coded(_) => return self.coded(speech),
        };
        // What was concealed comes with what follows it.
        let most = self.hz / PER_SECOND;
        let pieces = speech.samples.chunks(most as usize).zip(0..);
        Ok(pieces.map(|(samples, at)| (speech.time.wrapping_add(at * most), encode(samples))).collect())
    }

    #[cfg(feature = "gstreamer")]
    fn coded(&mut self, speech: &Speech) -> Result<Vec<(u32, Vec<u8>)>, Error> {
        let Some(coder) = &mut self.coder else { return Ok(Vec::new()) };
        coder.push(speech)?;
        let codec = self.codec;
        let frames = std::iter::from_fn(|| coder.next());
        Ok(frames.map(|Frame { time, data }| (time, framed(codec, &data))).collect())
    }

    #[cfg(not(feature = "gstreamer"))]
    fn coded(&mut self, _: &Speech) -> Result<Vec<(u32, Vec<u8>)>, Error> {
        Ok(Vec::new())
    }
}

/// An AAC frame has its length before it (RFC 3640 section 3.3.6): 16 bits of headers, of which 13 are the frame's size.
#[cfg(feature = "gstreamer")]
fn framed(codec: Codec, frame: &[u8]) -> Vec<u8> {
    if codec != Codec::Coded(Coding::Aac) {
        return frame.to_vec();
    }
    let size = (frame.len() as u16) << 3;
    [&16_u16.to_be_bytes()[..], &size.to_be_bytes(), frame].concat()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::media::transcode::G711;

    fn ear(codec: Codec, hz: u32) -> Ear {
        Ear { control: Url::parse("rtsp://192.0.2.7/").expect("an address"), payload_type: 97, hz, codec }
    }

    #[tokio::test]
    async fn samples_are_cut_and_coded() {
        let speech = Speech { time: u32::MAX, samples: vec![1_000; 170] };
        let law = G711::ALaw;
        let mut payloads = Payloads::of(&ear(Codec::G711(law), 8_000)).await.expect("no encoder is needed");
        let byte = law.byte(1_000);
        assert_eq!(payloads.of_speech(&speech).expect("G.711"), [(u32::MAX, vec![byte; 160]), (159, vec![byte; 10])]);
        let mut payloads = Payloads::of(&ear(Codec::L16, 16_000)).await.expect("nor here");
        assert_eq!(payloads.of_speech(&speech).expect("L16"), [(u32::MAX, [3, 0xe8].repeat(170))]);
    }

    #[cfg(feature = "gstreamer")]
    #[tokio::test]
    async fn aac_comes_in_frames_with_their_lengths() {
        let mut payloads = Payloads::of(&ear(Codec::Coded(Coding::Aac), 16_000)).await.expect("avenc_aac");
        let mut all = Vec::new();
        for time in (0..16_000).step_by(320) {
            all.extend(payloads.of_speech(&Speech { time, samples: vec![0; 320] }).expect("it runs"));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(all.len() >= 10, "{} frames of a second", all.len());
        for pair in all.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, 1_024, "{} follows {}", pair[1].0, pair[0].0);
        }
        for (_, payload) in &all {
            let size = usize::from(u16::from_be_bytes([payload[2], payload[3]]) >> 3);
            assert_eq!((payload[..2].to_vec(), size), (vec![0, 16], payload.len() - 4));
        }
    }
}
