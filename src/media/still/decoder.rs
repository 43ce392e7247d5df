//! Coded pictures to samples.

use openh264::{
    OpenH264API,
    decoder::{DecodedYUV, Decoder, DecoderConfig},
    formats::YUVSource as _,
};

use super::{Picture, StillError};
use crate::media::{
    VideoFormat,
    h264::{Coding, Colours, MAX_SIDE, Profile, macroblocks},
};

/// One coded picture on its way to the decoder.
#[derive(Debug)]
pub struct Coded<T> {
    /// What the caller knows it by.
    pub tag: T,
    /// NAL units of slices and, in a keyframe, of parameter sets, each behind a start code (H.264 annex B).
    pub data: Vec<u8>,
}

/// The newest picture that was decoded.
#[derive(Debug)]
pub struct Decoded<T> {
    /// Of the coded picture that it was made of.
    pub tag: T,
    /// Its samples.
    pub picture: Picture,
}

/// Decodes `pictures`, a keyframe first, up to the last one; each is asked for when the one before is done, so that who has no
/// time for more gives no more. From one that is damaged on, the last before it counts.
///
/// # Errors
/// [`StillError`] when there is no picture.
pub fn decode<T>(pictures: impl IntoIterator<Item = Coded<T>>, format: &VideoFormat) -> Result<Decoded<T>, StillError> {
    let colours = check(format)?;
    let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new())
        .map_err(|_| StillError::Undecodable)?;
    let mut picture = Picture { luma: Default::default(), chroma: Default::default(), colours };
    let mut newest = None;
    for coded in pictures {
        let Ok(decoded) = decoder.decode(&coded.data) else { break };
        if let Some(samples) = decoded {
            // One that is read half is none.
            newest = picture.take(&samples, format).then_some(coded.tag);
        }
        if newest.is_none() {
            break;
        }
    }
    newest.map(|tag| Decoded { tag, picture }).ok_or(StillError::Undecodable)
}

fn check(format: &VideoFormat) -> Result<Colours, StillError> {
    let (width, height) = (format.width, format.height);
    if macroblocks(width, height) > Profile::MAX_MACROBLOCKS || width.max(height) > MAX_SIDE {
        return Err(StillError::TooLarge(width, height));
    }
    let coding = Coding::of(&format.sps).map_err(|_| StillError::Undecodable)?;
    if !coding.is_420_8bit {
        return Err(StillError::RareFormat(coding.chroma[1].max(coding.chroma[2])));
    }
    if coding.has_fields {
        return Err(StillError::Interlaced);
    }
    Colours::of(&format.sps).map_err(|_| StillError::Undecodable)
}

impl Picture {
    /// Whether they are what the parameter sets promise.
    fn take(&mut self, samples: &DecodedYUV<'_>, format: &VideoFormat) -> bool {
        let (width, height) = samples.dimensions();
        let (luma_stride, cb_stride, cr_stride) = samples.strides();
        let half = (width.div_ceil(2), height.div_ceil(2));
        let [cb, cr] = &mut self.chroma;
        (width as u64, height as u64) == (u64::from(format.width), u64::from(format.height))
            && self.luma.copy((width, height), samples.y(), luma_stride)
            && cb.copy(half, samples.u(), cb_stride)
            && cr.copy(half, samples.v(), cr_stride)
    }
}
