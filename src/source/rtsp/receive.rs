//! Takes media from a session that plays, until it ends.
//!
//! Never waits for anything but the camera. A packet that cannot be understood is counted and skipped, because the
//! picture comes back with the next keyframe and the session would not.

use std::time::Duration;

use bytes::Bytes;
use retina::{
    client::{Playing, Session, Stream},
    codec::ParametersRef,
    rtcp::ReceivedCompoundPacket,
};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{
    Input,
    failure::is_about_one_packet,
    media::{Item, Media, Picture, Sound},
    tracks::{Tracks, Way},
};
use crate::{
    media::{
        ClockRate, Kind, MediaTime, NtpTime, Reason, VideoFormat,
        transcode::{Options, Source, TranscodeError},
    },
    source::{
        Error, Step,
        clock::Clock,
        config::Transport,
        feed::{Feed, audio_packets},
        transcoding::{Coded, Transcoding},
    },
};

/// From PLAY to the first frame. Cameras that start their encoder only now take up to 4 s.
pub(super) const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(10);
/// From one frame to the next. The slowest rate that cameras offer for video is one frame in 5 s.
pub(super) const FRAME_LIMIT: Duration = Duration::from_secs(10);
/// From PLAY to the first keyframe. Cameras send one at once or within their interval, which is 1 to 10 s; "smart"
/// codecs stretch it to 20 s.
pub(super) const KEYFRAME_LIMIT: Duration = Duration::from_secs(30);
/// So many packets in a row that cannot be understood mean that the stream itself cannot be.
pub(super) const MAX_FAULTS: u32 = 50;

/// Publishes everything until the camera fails.
pub(super) async fn receive(
    input: &mut Input,
    session: Session<Playing>,
    tracks: &Tracks,
    feed: &mut Feed<'_>,
) -> Result<(), Error> {
    let media = Media::open(session, tracks).map_err(|error| input.failure(&error, Step::Play))?;
    let (format, transcoding) = match tracks.audio {
        None => (None, None),
        Some((_, Way::Passed(format))) => (Some(format), None),
        Some((index, Way::Transcoded(_))) => {
            let transcoding = transcoding(input, &media.streams()[index]);
            (transcoding.as_ref().map(Transcoding::format), transcoding)
        }
    };
    if let Some(reduction) = transcoding.as_ref().and_then(Transcoding::reduction) {
        input.tell(Reason::new("sound-reduced", reduction));
    }
    feed.tracks(tracks.video.is_some(), format);
    feed.set_audio_note(input.note.take());
    let mut receiver = Receiver { input, tracks, feed, media, transcoding, clock: Clock::default() };
    if let Some(parameters) = receiver.media.parameters() {
        receiver.use_parameters(parameters);
    }
    receiver.run().await
}

struct Receiver<'a, 'p> {
    input: &'a mut Input,
    tracks: &'a Tracks,
    feed: &'a mut Feed<'p>,
    media: Media,
    transcoding: Option<Transcoding>,
    clock: Clock,
}

/// Starts what makes a stream's sound into Opus; `None`, and the reason in the log, when it cannot be done.
fn transcoding(input: &mut Input, stream: &Stream) -> Option<Transcoding> {
    let source = coded_sound(stream).map_err(|reason| input.tell(reason)).ok()?;
    let options = Options { bitrate_bps: input.sound.bitrate_bps };
    let started = Transcoding::start(&input.camera, &source, options);
    started.map_err(|error| input.tell(undecodable(&error))).ok()
}

impl Input {
    /// No media came in time: none at all, or no more.
    pub(super) fn overdue(&self, silent: bool) -> Error {
        let peer = self.peer.clone();
        let hint = match self.transport {
            Transport::Udp => ": a firewall may block UDP, try transport = \"tcp\"",
            Transport::Tcp => ": restart the camera, or try another stream of it in url",
        };
        if silent {
            Error::Silent { peer, limit: FIRST_FRAME_LIMIT, hint }
        } else {
            Error::Stalled { peer, limit: FRAME_LIMIT }
        }
    }
}

/// What is to be transcoded.
///
/// # Errors
/// Why there is no sound.
pub(super) fn coded_sound(stream: &Stream) -> Result<Source, Reason> {
    let unknown = || Reason::new("sound-unsupported", "no sound: the camera does not describe it");
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else { return Err(unknown()) };
    if stream.encoding_name() == "mpeg4-generic" {
        return Ok(Source::Aac { config: Bytes::copy_from_slice(parameters.extra_data()) });
    }
    let channels = u8::try_from(parameters.channels().get()).unwrap_or(u8::MAX);
    Ok(Source::L16 { rate: ClockRate::new(parameters.clock_rate()).ok_or_else(unknown)?, channels })
}

/// Sound that cannot be transcoded.
pub(super) fn undecodable(error: &TranscodeError) -> Reason {
    Reason::new("sound-undecodable", format!("no sound: {error}"))
}

impl Receiver<'_, '_> {
    async fn run(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let mut due = start + FIRST_FRAME_LIMIT;
        let mut silent = true;
        let (mut faults, mut last_fault) = (0, None);
        loop {
            if !self.feed.is_live() && start.elapsed() > KEYFRAME_LIMIT {
                return Err(Error::NoKeyframe { limit: KEYFRAME_LIMIT });
            }
            let opus = async {
                match &mut self.transcoding {
                    Some(transcoding) => transcoding.next().await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                next = timeout_at(due, self.media.next()) => next,
                opus = opus => {
                    self.feed.audio(opus.time, opus.captured, opus.data);
                    continue;
                }
            };
            let Ok(next) = next else { return Err(self.input.overdue(silent)) };
            match next {
                None => return Err(last_fault.unwrap_or(Error::HungUp)),
                Some(Err(error)) => {
                    let failure = self.input.failure(&error, Step::Media);
                    faults += 1;
                    if faults >= MAX_FAULTS || !is_about_one_packet(&error) {
                        return Err(failure);
                    }
                    debug!(camera = %self.input.camera, reason = %failure, "skipped a packet");
                    self.feed.counters().lost_packets.add(1);
                    last_fault = Some(failure);
                }
                Some(Ok(Item::Report(report))) => self.sender_report(&report),
                Some(Ok(item)) => {
                    let main = match item {
                        Item::Picture(picture) => {
                            self.picture(picture);
                            true
                        }
                        Item::Sound(sound) => {
                            self.sound(sound);
                            self.tracks.video.is_none()
                        }
                        Item::Report(_) | Item::Other => false,
                    };
                    (faults, last_fault) = (0, None);
                    if main {
                        silent = false;
                        due = Instant::now() + FRAME_LIMIT;
                    }
                }
            }
        }
    }

    fn picture(&mut self, picture: Picture) {
        self.feed.counters().lost_packets.add(picture.lost.into());
        if let Some(parameters) = picture.parameters {
            self.use_parameters(parameters);
        }
        let time = MediaTime { ticks: picture.ticks, rate: ClockRate::VIDEO };
        let captured = self.clock.captured(Kind::Video, time, picture.received);
        self.feed.video(time, captured, picture.keyframe, picture.data);
    }

    fn sound(&mut self, sound: Sound) {
        self.feed.counters().lost_packets.add(sound.lost.into());
        let codec = match self.tracks.audio {
            None => return,
            Some((_, Way::Passed(format))) => format.codec,
            Some((_, Way::Transcoded(rate))) => {
                let time = MediaTime { ticks: sound.ticks, rate };
                let captured = self.clock.captured(Kind::Audio, time, sound.received);
                match self.transcoding.as_mut().filter(|_| self.feed.has_listeners()) {
                    Some(transcoding) => {
                        let coded = Coded { data: sound.data, time, captured, lost: sound.lost };
                        transcoding.push(coded, &self.feed.counters().dropped);
                    }
                    None => self.feed.unheard(),
                }
                return;
            }
        };
        for (offset, data) in audio_packets(codec, sound.data) {
            let time = MediaTime { ticks: sound.ticks.saturating_add(offset), rate: codec.clock_rate() };
            let captured = self.clock.captured(Kind::Audio, time, sound.received);
            self.feed.audio(time, captured, data);
        }
    }

    fn use_parameters(&mut self, (sps, pps): (Bytes, Bytes)) {
        match VideoFormat::from_parameter_sets(sps, pps) {
            Ok(format) => self.feed.set_video(format),
            Err(error) => self.input.warn_about_parameter_sets(&error),
        }
    }

    fn sender_report(&mut self, compound: &ReceivedCompoundPacket) {
        let stream = Some(compound.stream_id());
        let (kind, rate) = match self.tracks.audio {
            _ if stream == self.tracks.video => (Kind::Video, ClockRate::VIDEO),
            Some((index, way)) if stream == Some(index) => (Kind::Audio, way.clock_rate()),
            _ => return,
        };
        let first = compound.pkts().next();
        let report = first.and_then(|packet| packet.as_sender_report().ok().flatten());
        if let (Some(media), Some(report)) = (compound.rtp_timestamp(), report) {
            let media = MediaTime { ticks: media.timestamp(), rate };
            let camera = NtpTime(report.ntp_timestamp().0);
            self.clock.sender_report(kind, media, camera, compound.ctx().received());
        }
    }
}
