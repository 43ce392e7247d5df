//! A session whose packets are taken as they are, and put together here: H.264, AAC, and the messages of the metadata stream. Other
//! sound is in its packets as it is needed.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use retina::{
    Error as RetinaError,
    client::{PacketItem, Playing, Session, Stream},
    rtp::ReceivedPacket,
};

use super::{
    aac_rtp,
    h264_rtp::{self, Packet},
    media::{Item, Picture, Sound},
    tracks::Tracks,
};

/// Longest message that is put together, in bytes.
const MAX_MESSAGE: usize = 256 << 10;

/// The session.
pub(super) struct Raw {
    session: Session<Playing>,
    video: Option<usize>,
    audio: Option<usize>,
    metadata: Option<usize>,
    pictures: h264_rtp::Depacketizer,
    /// Of AAC.
    frames: Option<aac_rtp::Depacketizer>,
    message: BytesMut,
    /// Packets of the video stream lost since the last picture.
    lost: u32,
    ready: VecDeque<Item>,
}

impl Raw {
    pub(super) fn new(session: Session<Playing>, tracks: &Tracks) -> Self {
        let audio = tracks.audio.map(|(index, _)| index);
        let frames = audio.and_then(|index| aac_rtp::Depacketizer::of(&session.streams()[index]));
        let (video, metadata) = (tracks.video, tracks.metadata);
        let (pictures, message, ready) = Default::default();
        Self { session, video, audio, metadata, pictures, frames, message, lost: 0, ready }
    }

    /// The streams as the SDP describes them.
    pub(super) fn streams(&self) -> &[Stream] {
        self.session.streams()
    }

    pub(super) fn video(&self) -> Option<usize> {
        self.video
    }

    /// The next item; `None` when the camera has closed the connection.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Result<Item, RetinaError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            match self.session.next().await? {
                Err(error) => return Some(Err(error)),
                Ok(PacketItem::Rtcp(report)) => return Some(Ok(Item::Report(report))),
                Ok(PacketItem::Rtp(packet)) => {
                    let stream = Some(packet.stream_id());
                    if stream == self.video {
                        self.picture(&packet);
                    } else if stream == self.audio {
                        self.sound(packet);
                    } else if stream == self.metadata {
                        self.message(&packet);
                    }
                }
                Ok(_) => return Some(Ok(Item::Other)),
            }
        }
    }

    fn picture(&mut self, packet: &ReceivedPacket) {
        let lost = u32::from(packet.loss());
        self.lost += lost;
        let units = self.pictures.push(Packet {
            ticks: packet.timestamp().timestamp(),
            received: packet.ctx().received(),
            marker: packet.mark(),
            lost,
            payload: packet.payload(),
        });
        for unit in units {
            self.ready.push_back(Item::Picture(Picture {
                ticks: unit.ticks,
                received: unit.received,
                lost: std::mem::take(&mut self.lost),
                parameters: self.pictures.new_parameters(),
                keyframe: unit.keyframe,
                data: unit.data,
            }));
        }
    }

    fn sound(&mut self, packet: ReceivedPacket) {
        let (ticks, received) = (packet.timestamp().timestamp(), packet.ctx().received());
        let (mut lost, marker) = (u32::from(packet.loss()), packet.mark());
        let payload = packet.into_payload_bytes();
        let Some(frames) = &mut self.frames else {
            self.ready.push_back(Item::Sound(Sound { ticks, received, lost, data: payload }));
            return;
        };
        for (offset, data) in frames.push(&payload, marker, lost > 0) {
            let lost = std::mem::take(&mut lost);
            self.ready.push_back(Item::Sound(Sound { ticks: ticks.saturating_add(offset), received, lost, data }));
        }
    }

    /// A message ends with a marker (ONVIF Streaming Specification section 5.1.2.1.1). One that lacks a packet is no XML.
    fn message(&mut self, packet: &ReceivedPacket) {
        if self.message.len() + packet.payload().len() > MAX_MESSAGE {
            self.message.clear();
        }
        self.message.extend_from_slice(packet.payload());
        if packet.mark() {
            let message: Bytes = self.message.split().freeze();
            self.ready.push_back(Item::Message(message));
        }
    }
}
