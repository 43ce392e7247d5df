//! One visit to a camera, to find out about it: the conversation that the gateway has with it, step by step and packet by
//! packet, for `camgate probe`.
//!
//! In: who is visited, and somebody who is told. Out: [`Event`]s, and the failure that the gateway would have, in the same
//! words. Video that browsers cannot play is watched too, and refused at the end.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt;
use retina::{
    client::{Described, PacketItem, Playing, Session, Stream},
    codec::{ParametersRef, VideoParametersCodec},
    rtcp::ReceivedCompoundPacket,
};
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use super::greeting::Greeting;
use super::{
    Input, Sound, TEARDOWN_LIMIT,
    failure::is_about_one_packet,
    faults::MAX_FAULTS,
    h264_rtp::{self, Depacketizer},
    receive::{FIRST_FRAME_LIMIT, FRAME_LIMIT, KEYFRAME_LIMIT, coded_sound, undecodable},
    tracks::{Tracks, Way, codec_name},
    unusable,
};
use crate::{
    media::{
        CameraName, NtpTime,
        transcode::{Options, Transcoder},
    },
    source::{
        Error, Step,
        config::{Audio, Credentials, Transport},
        error::redacted,
    },
};

/// Who is visited, and how media is asked for.
#[derive(Clone, Debug)]
pub struct Host {
    /// Whose configuration failures tell to look at.
    pub name: CameraName,
    /// As `config::parse_url` makes it.
    pub url: Url,
    /// What the camera asks for.
    pub credentials: Option<Credentials>,
    /// How RTP travels.
    pub transport: Transport,
    /// What is wanted of the sound.
    pub audio: Audio,
}

/// What happens during a visit, in this order; the last three again and again.
#[derive(Debug)]
pub enum Event<'a> {
    /// The TCP connection stands.
    Connected,
    /// A stranger was answered so.
    Greeted(Greeting),
    /// We were told what there is.
    Described {
        /// As the camera sent it.
        sdp: &'a [u8],
        /// Its media sections.
        offers: Vec<Offer>,
    },
    /// The camera starts to send.
    Playing,
    /// An RTP packet.
    Packet(Packet<'a>),
    /// An H.264 access unit.
    Picture(Picture),
    /// An RTCP sender report.
    Report {
        /// Index of the offer.
        stream: usize,
        /// The camera's clock.
        camera: NtpTime,
    },
}

/// One media section of the SDP.
#[derive(Clone, Debug)]
pub struct Offer {
    /// `video`, `audio`, `application`.
    pub media: String,
    /// As people know it: `H.264`, `AAC`.
    pub codec: String,
    /// Of its RTP timestamps.
    pub clock_rate_hz: u32,
    /// Of sound, where the SDP says it.
    pub channels: Option<u16>,
    /// `a=framerate`.
    pub frame_rate: Option<f32>,
    /// H.264: sequence and picture parameter set, where the SDP has them.
    pub parameter_sets: Option<(Bytes, Vec<Bytes>)>,
    /// In pixels, of other video whose SDP tells it.
    pub size: Option<(u32, u32)>,
    /// What the gateway does with it.
    pub fate: Fate,
}

/// For a camera that serves one client to notice that the last one has gone.
const FREED: Duration = Duration::from_secs(2);

/// What becomes of a media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Viewers get it as it is.
    Passed,
    /// Viewers get it as Opus; what of it is lost, if something is.
    Transcoded(Option<String>),
    /// Viewers do not get it, and why.
    Refused(String),
    /// There is another that is used, or nothing for viewers in it.
    Unused,
}

/// One RTP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Index of its offer.
    pub stream: usize,
    /// When it came.
    pub received: Instant,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, continued over its wraps.
    pub ticks: i64,
    /// RTP marker bit.
    pub marker: bool,
    /// Packets lost before it.
    pub lost: u32,
    /// Without the RTP header.
    pub payload: &'a [u8],
}

/// One access unit.
#[derive(Clone, Debug)]
pub struct Picture {
    /// RTP timestamp, continued over its wraps.
    pub ticks: i64,
    /// When its first packet came.
    pub received: Instant,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// NAL units framed by four-byte lengths, without parameter sets.
    pub data: Bytes,
    /// Parameter sets in force from here on, if they came in band and are not those before.
    pub parameter_sets: Option<(Bytes, Vec<Bytes>)>,
}

/// Visits the camera of `host` until `notice` says that it is enough, until `leave`, or until a failure; tears the session
/// down.
///
/// # Errors
/// What keeps the gateway from showing the camera. Video that is not H.264 is an error only when everything else went well.
pub async fn visit(
    host: &Host,
    leave: &CancellationToken,
    notice: &mut impl FnMut(Instant, Event<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let sound = Sound { policy: host.audio, bitrate_bps: None };
    let input = Input::new(host.name.clone(), host.url.clone(), host.credentials.clone(), host.transport, sound);
    let result = tokio::select! {
        biased;
        () = leave.cancelled() => Ok(()),
        ended = input.look(notice) => ended,
    };
    input.torn_down(TEARDOWN_LIMIT).await;
    result
}

impl Input {
    async fn look(&self, notice: &mut impl FnMut(Instant, Event<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        self.door.addresses().await?;
        let (connected, greeting) = self.greet().await?;
        let _ = notice(connected, Event::Connected);
        if let Some(greeting) = greeting {
            let _ = notice(Instant::now(), Event::Greeted(greeting));
        }
        let mut session = match self.describe().await {
            // A camera for one client may still have the greeting's connection open.
            Err(Error::Full { .. } | Error::HungUpAt { .. }) => {
                sleep(FREED).await;
                self.describe().await?
            }
            described => described?,
        };
        let chosen = Tracks::choose(session.streams(), self.sound.policy);
        let mut offers: Vec<_> = session.streams().iter().map(Offer::of).collect();
        if let Ok(tracks) = &chosen {
            tell_fates(&mut offers, tracks, session.streams(), self.sound.policy);
        }
        let _ = notice(Instant::now(), Event::Described { sdp: session.sdp(), offers });
        let (tracks, refusal) = match chosen {
            Ok(tracks) => (tracks, None),
            Err(refusal @ Error::Codec { .. }) => {
                let video = session.streams().iter().position(|stream| stream.media() == "video");
                (Tracks { video, ..Tracks::default() }, Some(refusal))
            }
            Err(refusal) => return Err(refusal),
        };
        let watched = self.see(&mut session, &tracks).await;
        let watched = match watched {
            Ok(()) => match self.start(session).await {
                Ok(session) => {
                    let _ = notice(Instant::now(), Event::Playing);
                    Watch { input: self, session, tracks, is_h264: refusal.is_none() }.run(notice).await
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        refusal.map_or(watched, Err)
    }

    async fn see(&self, session: &mut Session<Described>, tracks: &Tracks) -> Result<(), Error> {
        if let Some(index) = tracks.video {
            self.setup(session, index).await??;
        }
        if let Some((index, _)) = tracks.audio {
            let answer = self.setup(session, index).await?;
            if tracks.video.is_none() {
                answer?;
            }
        }
        Ok(())
    }
}

struct Watch<'a> {
    input: &'a Input,
    session: Session<Playing>,
    tracks: Tracks,
    is_h264: bool,
}

impl Watch<'_> {
    async fn run(&mut self, notice: &mut impl FnMut(Instant, Event<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let start = tokio::time::Instant::now();
        let (mut due, mut silent) = (start + FIRST_FRAME_LIMIT, true);
        let mut keyframe_due = (self.is_h264 && self.tracks.video.is_some()).then(|| start + KEYFRAME_LIMIT);
        let mut depacketizer = Depacketizer::default();
        let mut faults = 0;
        let main = self.tracks.video.or_else(|| self.tracks.audio.map(|(index, _)| index));
        loop {
            if keyframe_due.is_some_and(|due| tokio::time::Instant::now() > due) {
                return Err(Error::NoKeyframe { limit: KEYFRAME_LIMIT });
            }
            let Ok(next) = timeout_at(due, self.session.next()).await else {
                return Err(self.input.overdue(silent));
            };
            let packet = match next {
                None => return Err(Error::HungUp),
                Some(Err(error)) => {
                    faults += 1;
                    if faults >= MAX_FAULTS || !is_about_one_packet(&error) {
                        return Err(self.input.failure(&error, Step::Media));
                    }
                    continue;
                }
                Some(Ok(PacketItem::Rtp(packet))) => packet,
                Some(Ok(PacketItem::Rtcp(report))) => {
                    if let Some(camera) = camera_time(&report) {
                        let report = Event::Report { stream: report.stream_id(), camera };
                        if notice(Instant::now(), report).is_break() {
                            return Ok(());
                        }
                    }
                    continue;
                }
                Some(Ok(_)) => continue,
            };
            faults = 0;
            let packet = Packet {
                stream: packet.stream_id(),
                received: packet.ctx().received(),
                sequence: packet.sequence_number(),
                ticks: packet.timestamp().timestamp(),
                marker: packet.mark(),
                lost: packet.loss().into(),
                payload: packet.payload(),
            };
            if Some(packet.stream) == main {
                (due, silent) = (tokio::time::Instant::now() + FRAME_LIMIT, false);
            }
            let mut enough = notice(packet.received, Event::Packet(packet)).is_break();
            if self.is_h264 && Some(packet.stream) == self.tracks.video {
                let Packet { ticks, received, marker, lost, payload, .. } = packet;
                for unit in depacketizer.push(h264_rtp::Packet { ticks, received, marker, lost, payload }) {
                    keyframe_due = keyframe_due.filter(|_| !unit.keyframe);
                    let picture = Picture {
                        ticks: unit.ticks,
                        received: unit.received,
                        keyframe: unit.keyframe,
                        data: unit.data,
                        parameter_sets: depacketizer.new_parameters(),
                    };
                    enough |= notice(Instant::now(), Event::Picture(picture)).is_break();
                }
            }
            if enough {
                return Ok(());
            }
        }
    }
}

fn camera_time(compound: &ReceivedCompoundPacket) -> Option<NtpTime> {
    let report = compound.pkts().next()?.as_sender_report().ok().flatten()?;
    Some(NtpTime(report.ntp_timestamp().0))
}

impl Offer {
    fn of(stream: &Stream) -> Self {
        let (mut parameter_sets, mut size) = (None, None);
        if let Some(ParametersRef::Video(video)) = stream.parameters() {
            match video.codec_params() {
                VideoParametersCodec::H264 { sps, pps } => parameter_sets = Some((sps.clone(), vec![pps.clone()])),
                _ => size = Some(video.pixel_dimensions()),
            }
        }
        Self {
            media: redacted(stream.media()).unwrap_or_default(),
            codec: redacted(&codec_name(stream)).unwrap_or_default(),
            clock_rate_hz: stream.clock_rate_hz(),
            channels: stream.channels().map(u16::from),
            frame_rate: stream.framerate(),
            parameter_sets,
            size,
            fate: Fate::Unused,
        }
    }
}

fn tell_fates(offers: &mut [Offer], tracks: &Tracks, streams: &[Stream], policy: Audio) {
    if let Some(index) = tracks.video {
        offers[index].fate = Fate::Passed;
    }
    match tracks.audio {
        Some((index, Way::Passed(_))) => offers[index].fate = Fate::Passed,
        Some((index, way @ (Way::Transcoded(_) | Way::Expanded(..)))) => {
            let transcoder = coded_sound(&streams[index], way)
                .and_then(|source| Transcoder::new(&source, Options::default()).map_err(|error| undecodable(&error)));
            offers[index].fate = match transcoder {
                Ok(transcoder) => Fate::Transcoded(transcoder.reduction().map(|reduction| reduction.to_string())),
                Err(reason) => Fate::Refused(reason.to_string()),
            };
        }
        None => {
            let sound = offers.iter_mut().find(|offer| offer.media == "audio");
            if let (Some(sound), Some(unused)) = (sound, &tracks.unusable_sound) {
                sound.fate = Fate::Refused(unusable(unused, policy).to_string());
            }
        }
    }
}
