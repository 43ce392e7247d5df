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
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info};

use super::{
    Input, events,
    failure::{is_about_one_packet, is_foreign, is_odd_answer, is_unanswered_keepalive},
    faults::Faults,
    media::{Item, Media, Picture, Sound},
    tracks::{Tracks, Way},
};
use crate::{
    media::{
        ClockRate, Kind, MediaTime, NtpTime, Reason, VideoFormat,
        h264::{self, BadSps},
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
/// So often retina is asked for more even if it has not said that there is: behind a request of the camera (some ask with
/// OPTIONS whether the client is there) it forgets to wait for what comes next.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After an unanswered keepalive retina says so each time that it is asked for more and there is none: so long it is not asked
/// then. Half of it is what a packet waits in the mean, and a camera like that costs a hundred looks a second.
const KEEPALIVE_PAUSE: Duration = Duration::from_millis(10);

/// So many bytes behind the end of an SPS are left out. Some Reolink cameras have one there.
const MAX_STRAY: usize = 4;

/// Publishes everything until the camera fails, or until it should play anew: because somebody waits for a keyframe, with which
/// most cameras begin then, or because its packets are to be taken in another way.
pub(super) async fn receive(
    input: &mut Input,
    session: Session<Playing>,
    tracks: &Tracks,
    feed: &mut Feed<'_>,
) -> Result<(), Error> {
    let media = Media::open(session, tracks, input.is_odd).map_err(|error| input.failure(&error, Step::Play))?;
    let (format, transcoding) = match tracks.audio {
        None => (None, None),
        Some((_, Way::Passed(format))) => (Some(format), None),
        Some((index, way @ (Way::Transcoded(_) | Way::Expanded(..)))) => {
            let transcoding = transcoding(input, &media.streams()[index], way);
            (transcoding.as_ref().map(Transcoding::format), transcoding)
        }
    };
    if let Some(reduction) = transcoding.as_ref().and_then(Transcoding::reduction) {
        input.tell(Reason::new("sound-reduced", reduction));
    }
    feed.tracks(tracks.video.is_some(), format);
    feed.set_audio_note(input.note.take());
    let clock = Clock::default();
    let mut receiver = Receiver {
        input,
        tracks,
        feed,
        media,
        transcoding,
        clock,
        keyframe_seen: false,
        pps: None,
        has_several_pps: false,
    };
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
    /// Of this session.
    keyframe_seen: bool,
    /// The sequence parameter set in force, and the id of the last picture parameter set.
    pps: Option<(Bytes, u32)>,
    has_several_pps: bool,
}

/// Starts what makes a stream's sound into Opus; `None`, and the reason in the log, when it cannot be done.
fn transcoding(input: &mut Input, stream: &Stream, way: Way) -> Option<Transcoding> {
    let source = coded_sound(stream, way).map_err(|reason| input.tell(reason)).ok()?;
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
pub(super) fn coded_sound(stream: &Stream, way: Way) -> Result<Source, Reason> {
    if let Way::Expanded(rate, _) = way {
        let channels = stream.channels().map_or(1, u16::from);
        return Ok(Source::L16 { rate, channels: u8::try_from(channels).unwrap_or(u8::MAX) });
    }
    let unknown = || Reason::new("sound-unsupported", "no sound: the camera does not describe it");
    let Some(ParametersRef::Audio(parameters)) = stream.parameters() else { return Err(unknown()) };
    if stream.encoding_name() == "mpeg4-generic" {
        return Ok(Source::Aac { config: Bytes::copy_from_slice(parameters.extra_data()) });
    }
    let channels = u8::try_from(parameters.channels().get()).unwrap_or(u8::MAX);
    Ok(Source::L16 { rate: ClockRate::new(parameters.clock_rate()).ok_or_else(unknown)?, channels })
}

/// The format of these parameter sets, without the bytes that the SPS has behind its end.
fn trimmed(sps: &Bytes, pps: &[Bytes]) -> Result<VideoFormat, BadSps> {
    let whole = VideoFormat::from_parameter_sets(sps.clone(), pps.to_vec());
    whole.or_else(|error| {
        let shorter = (1..=MAX_STRAY).filter_map(|stray| sps.len().checked_sub(stray));
        let mut formats = shorter.map(|length| VideoFormat::from_parameter_sets(sps.slice(..length), pps.to_vec()));
        formats.find_map(Result::ok).ok_or(error)
    })
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
        let mut faults = Faults::default();
        let mut keepalive_missed = false;
        loop {
            if !self.feed.is_live() && start.elapsed() > KEYFRAME_LIMIT {
                let limit = KEYFRAME_LIMIT;
                let is_coded_somehow = self.feed.lacks_parameter_sets();
                return Err(if is_coded_somehow {
                    Error::NoParameterSets { limit }
                } else {
                    Error::NoKeyframe { limit }
                });
            }
            if Instant::now() >= due {
                return Err(self.input.overdue(silent));
            }
            let opus = async {
                match &mut self.transcoding {
                    Some(transcoding) => transcoding.next().await,
                    None => std::future::pending().await,
                }
            };
            let look_again = Instant::now() + LOOK_AGAIN;
            let next = tokio::select! {
                next = timeout_at(due.min(look_again), self.media.next()) => next,
                opus = opus => {
                    self.feed.audio(opus.time, opus.captured, opus.data);
                    continue;
                }
            };
            let Ok(next) = next else { continue };
            match next {
                None => return Err(faults.last().unwrap_or(Error::HungUp)),
                Some(Err(error)) if is_unanswered_keepalive(&error) => {
                    // What counts is whether media comes, and `due` watches over that.
                    if !std::mem::replace(&mut keepalive_missed, true) {
                        debug!(camera = %self.input.camera, "the camera does not answer keepalives");
                    }
                    sleep(KEEPALIVE_PAUSE).await;
                }
                Some(Err(error)) if is_odd_answer(&error) => {
                    debug!(camera = %self.input.camera, "the camera answers what it was not asked");
                }
                Some(Err(error)) => {
                    let failure = self.input.failure(&error, Step::Media);
                    if !is_about_one_packet(&error) {
                        return Err(failure);
                    }
                    debug!(camera = %self.input.camera, reason = %failure, "skipped a packet");
                    self.feed.counters().lost_packets.add(1);
                    let is_foreign = is_foreign(&error);
                    if let Err(failure) = faults.add(failure, is_foreign, Instant::now().into_std()) {
                        return if is_foreign { Err(failure) } else { self.take_otherwise(failure) };
                    }
                }
                Some(Ok(Item::Report(report))) => self.sender_report(&report),
                Some(Ok(item)) => {
                    let kind = match item {
                        Item::Picture(picture) => {
                            self.picture(picture);
                            if self.has_several_pps && !std::mem::replace(&mut self.input.is_odd, true) {
                                let camera = &self.input.camera;
                                info!(%camera, "the camera's pictures refer to several parameter sets: taking them otherwise");
                                return Ok(());
                            }
                            // A session that had none would not begin with one next time either.
                            if self.keyframe_seen && self.feed.is_keyframe_overdue() {
                                let camera = &self.input.camera;
                                info!(%camera, "a viewer waits for a keyframe, and the last is a minute old: playing anew");
                                return Ok(());
                            }
                            Kind::Video
                        }
                        Item::Sound(sound) => {
                            self.sound(sound);
                            Kind::Audio
                        }
                        Item::Message(message) => {
                            events::read(&message).into_iter().for_each(|event| self.feed.event(event));
                            continue;
                        }
                        Item::Report(_) | Item::Other => continue,
                    };
                    faults.good(kind, self.tracks);
                    if kind == Kind::Video || self.tracks.video.is_none() {
                        silent = false;
                        due = Instant::now() + FRAME_LIMIT;
                    }
                }
            }
        }
    }

    /// What retina does not understand may be understood here, in another session.
    fn take_otherwise(&mut self, failure: Error) -> Result<(), Error> {
        let is_taken = self.tracks.is_raw() || self.tracks.video.is_none();
        if is_taken || std::mem::replace(&mut self.input.is_odd, true) {
            return Err(failure);
        }
        info!(camera = %self.input.camera, reason = %failure, "the camera's packets break a rule: taking them otherwise");
        Ok(())
    }

    fn picture(&mut self, picture: Picture) {
        self.feed.counters().lost_packets.add(picture.lost.into());
        if let Some(parameters) = picture.parameters {
            self.use_parameters(parameters);
        }
        let time = MediaTime { ticks: picture.ticks, rate: ClockRate::VIDEO };
        let captured = self.clock.captured(Kind::Video, time, picture.received);
        let time = self.clock.time(Kind::Video, time);
        self.keyframe_seen |= picture.keyframe;
        self.feed.video(time, captured, picture.keyframe, picture.data);
    }

    fn sound(&mut self, sound: Sound) {
        self.feed.counters().lost_packets.add(sound.lost.into());
        let codec = match self.tracks.audio {
            None => return,
            Some((_, Way::Passed(format))) => format.codec,
            Some((_, way @ (Way::Transcoded(_) | Way::Expanded(..)))) => {
                let time = MediaTime { ticks: sound.ticks, rate: way.clock_rate() };
                let captured = self.clock.captured(Kind::Audio, time, sound.received);
                let time = self.clock.time(Kind::Audio, time);
                match self.transcoding.as_mut().filter(|_| self.feed.has_listeners()) {
                    Some(transcoding) => {
                        let data = match way {
                            Way::Expanded(_, samples) => samples.l16(&sound.data),
                            Way::Passed(_) | Way::Transcoded(_) => sound.data,
                        };
                        let coded = Coded { data, time, captured, lost: sound.lost };
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
            let time = self.clock.time(Kind::Audio, time);
            self.feed.audio(time, captured, data);
        }
    }

    fn use_parameters(&mut self, (sps, pps): (Bytes, Vec<Bytes>)) {
        let id = pps.first().and_then(|pps| h264::pps_ids(pps));
        // retina keeps the last one only.
        self.has_several_pps |= self.media.is_framed()
            && matches!((&self.pps, id), (Some((of, before)), Some((after, _))) if *of == sps && *before != after);
        self.pps = id.map(|(id, _)| (sps.clone(), id));
        match trimmed(&sps, &pps) {
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
