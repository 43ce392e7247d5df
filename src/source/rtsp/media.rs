//! What a playing session gives, whichever way it is taken from retina: frames that retina put together, or, for a camera
//! whose sound is Opus or whose pictures retina does not understand, raw packets that are put together in [`raw`](super::raw).

use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use retina::{
    Error as RetinaError,
    client::{Demuxed, Playing, Session, Stream},
    codec::{CodecItem, ParametersRef, VideoParametersCodec},
    rtcp::ReceivedCompoundPacket,
};

use super::{raw::Raw, tracks::Tracks};
use crate::media::h264;

/// One thing that came from the camera.
pub(super) enum Item {
    /// A picture.
    Picture(Picture),
    /// A frame or packet of sound.
    Sound(Sound),
    /// A message of the metadata stream.
    Message(Bytes),
    /// RTCP.
    Report(ReceivedCompoundPacket),
    /// Something of no use.
    Other,
}

/// One access unit of the video stream.
pub(super) struct Picture {
    pub(super) ticks: i64,
    /// When its first packet came: how long the others take depends on the picture's size.
    pub(super) received: Instant,
    /// Packets lost before or in it.
    pub(super) lost: u32,
    /// Parameter sets in force from this picture on, if they have changed.
    pub(super) parameters: Option<(Bytes, Vec<Bytes>)>,
    pub(super) keyframe: bool,
    pub(super) data: Bytes,
}

/// One frame of the audio stream.
pub(super) struct Sound {
    pub(super) ticks: i64,
    pub(super) received: Instant,
    pub(super) lost: u32,
    pub(super) data: Bytes,
}

/// A session that plays.
pub(super) enum Media {
    /// retina puts frames together.
    Framed { demuxed: Box<Demuxed>, video: Option<usize> },
    /// We do.
    Raw(Box<Raw>),
}

impl Media {
    /// Takes `session`, raw if retina makes no frames of its sound, or cannot put its pictures together.
    ///
    /// # Errors
    /// retina's, when it has no depacketiser for a stream that was set up.
    pub(super) fn open(session: Session<Playing>, tracks: &Tracks, is_odd: bool) -> Result<Self, RetinaError> {
        if tracks.is_raw() || is_odd {
            return Ok(Self::Raw(Box::new(Raw::new(session, tracks))));
        }
        Ok(Self::Framed { demuxed: Box::new(session.demuxed()?), video: tracks.video })
    }

    /// Whether retina puts frames together.
    pub(super) fn is_framed(&self) -> bool {
        matches!(self, Self::Framed { .. })
    }

    /// The streams as the SDP describes them.
    pub(super) fn streams(&self) -> &[Stream] {
        match self {
            Self::Framed { demuxed, .. } => demuxed.streams(),
            Self::Raw(raw) => raw.streams(),
        }
    }

    /// The video's parameter sets, as the SDP has them or, framed, as they are now.
    pub(super) fn parameters(&self) -> Option<(Bytes, Vec<Bytes>)> {
        let video = match self {
            Self::Framed { video, .. } => *video,
            Self::Raw(raw) => raw.video(),
        };
        parameters(&self.streams()[video?])
    }

    /// The next item; `None` when the camera has closed the connection.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Result<Item, RetinaError>> {
        match self {
            Self::Framed { demuxed, video } => {
                let item = demuxed.next().await?;
                Some(item.map(|item| framed(item, demuxed, *video)))
            }
            Self::Raw(raw) => raw.next().await,
        }
    }
}

fn framed(item: CodecItem, demuxed: &Demuxed, video: Option<usize>) -> Item {
    match item {
        CodecItem::VideoFrame(frame) => {
            let changed = frame.has_new_parameters();
            let parameters = video.filter(|_| changed).and_then(|video| parameters(&demuxed.streams()[video]));
            let (ticks, received) = (frame.timestamp().timestamp(), frame.start_ctx().received());
            let (lost, complete) = (frame.loss().into(), frame.is_random_access_point());
            let data = Bytes::from(frame.into_data());
            // retina also calls a unit without any picture in it a random access point.
            let keyframe = complete && h264::nals(&data).any(|nal| h264::nal_type(&nal) == h264::NAL_IDR);
            Item::Picture(Picture { ticks, received, lost, parameters, keyframe, data })
        }
        CodecItem::AudioFrame(frame) => Item::Sound(Sound {
            ticks: frame.timestamp().timestamp(),
            received: frame.ctx().received(),
            lost: frame.loss().into(),
            data: Bytes::copy_from_slice(frame.data()),
        }),
        CodecItem::Rtcp(report) => Item::Report(report),
        CodecItem::MessageFrame(message) => Item::Message(Bytes::copy_from_slice(message.data())),
        _ => Item::Other,
    }
}

fn parameters(stream: &Stream) -> Option<(Bytes, Vec<Bytes>)> {
    let Some(ParametersRef::Video(parameters)) = stream.parameters() else { return None };
    let VideoParametersCodec::H264 { sps, pps } = parameters.codec_params() else { return None };
    Some((sps.clone(), vec![pps.clone()]))
}
