//! A camera's loudspeaker: the audio backchannel of ONVIF (Streaming Specification section 5.3), RTSP's way back.
//!
//! In: samples. Out: RTP in an RTSP session of its own, over TCP, for as long as somebody talks; cameras that have a loudspeaker
//! show it only to who asks with `Require: www.onvif.org/ver20/backchannel`. retina has no way back, and GStreamer's is not
//! everywhere camgate is, so that the few requests are sent here, with `rtsp-types` and `sdp-types` for their grammar.
//!
//! The camera's picture goes on as it is, in the session of its own. Each await has a deadline.

mod conversation;
pub(super) mod description;
mod payloads;

use std::time::{Duration, Instant};

use rtsp_types::{Method, StatusCode, headers};
use tokio::time::{sleep_until, timeout};
use url::Url;

use self::{
    conversation::{Conversation, Request},
    description::{Description, Ear},
    payloads::Payloads,
};
use super::{PLAY_LIMIT, PORT, SETUP_LIMIT};
use crate::{
    media::{CameraName, transcode::Speech},
    source::{Error, Step, config::Credentials},
};

/// What a client has to know of for a camera to show it its way back.
const FEATURE: &str = "www.onvif.org/ver20/backchannel";
/// What servers begin their name with whose pipeline breaks when a part of it has nobody to send to, at random, and then hears
/// nothing more without a word: gst-rtsp-server 1.22. All that they offer is asked for, and passed over.
const ALL_OR_NOTHING: &str = "GStreamer";
/// For connecting and DESCRIBE: somebody holds a button meanwhile.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(5);
/// For one packet to be taken. A camera that takes longer plays what was said too late anyway.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// For TEARDOWN; a camera that does not answer finds out by itself.
const TEARDOWN_LIMIT: Duration = Duration::from_millis(500);
/// Between two keepalives: well below 60 s, which is what servers wait that say nothing else (RFC 2326 section 12.37).
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Where a camera is, and who may ask.
#[derive(Clone)]
pub(in crate::source) struct Address {
    pub(in crate::source) camera: CameraName,
    /// Of its stream; a password may stand in it.
    pub(in crate::source) url: Url,
    pub(in crate::source) credentials: Option<Credentials>,
}

/// A camera that listens.
pub(in crate::source) struct Backchannel {
    conversation: Conversation,
    ear: Ear,
    payloads: Payloads,
    /// What PLAY and TEARDOWN are for.
    aggregate: Url,
    /// Of the RTP packets (RFC 3550 section 5.1).
    ssrc: u32,
    sequence: u16,
    /// Interleaved with the requests under this number (RFC 2326 section 10.12).
    channel: u8,
    is_first: bool,
    keepalive_at: Instant,
}

impl Backchannel {
    /// Connects, asks for the way back, and opens it.
    ///
    /// # Errors
    /// The camera is not there, does not know us, has no way back, none in a codec that is known here, or does not open it.
    pub(in crate::source) async fn open(address: &Address) -> Result<Self, Error> {
        let host = address.url.host_str().unwrap_or_default();
        let peer = format!("{host}:{}", address.url.port().unwrap_or(PORT));
        let late = |step, limit| Error::Timeout { peer: peer.clone(), step, limit };
        let described = async {
            let mut conversation = Conversation::connect(address, &peer).await?;
            let answer = conversation.ask(describe(&address.url), Step::Describe).await?;
            Ok::<_, Error>((conversation, answer))
        };
        let (mut conversation, answer) =
            timeout(DESCRIBE_LIMIT, described).await.map_err(|_| late(Step::Describe, DESCRIBE_LIMIT))??;
        match answer.status() {
            StatusCode::Ok => {}
            StatusCode::OptionNotSupported => return Err(Error::NoBackchannel),
            status => return Err(conversation.refusal(Step::Describe, status)),
        }
        let base = [headers::CONTENT_BASE, headers::CONTENT_LOCATION].iter().find_map(|name| {
            let value = answer.header(name)?.as_str().trim();
            Url::parse(value).ok()
        });
        let Description { ear, aggregate, mut others } =
            description::read(answer.body(), base.as_ref().unwrap_or(&address.url))?;
        let payloads = Payloads::of(&ear).await?;
        let server = answer.header(&headers::SERVER).map_or("", |value| value.as_str());
        if !server.starts_with(ALL_OR_NOTHING) {
            others.clear();
        }

        let mut answers = Vec::new();
        for (control, channel) in std::iter::once(&ear.control).chain(&others).zip((0..=u8::MAX).step_by(2)) {
            let transport = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
            let request = Request::new(Method::Setup, control.clone())
                .with(headers::REQUIRE, FEATURE)
                .with(headers::TRANSPORT, &transport);
            let answered = timeout(SETUP_LIMIT, conversation.ask(request, Step::Setup)).await;
            answers.push(answered.map_err(|_| late(Step::Setup, SETUP_LIMIT))??);
        }
        let answer = answers.swap_remove(0);
        match answer.status() {
            StatusCode::Ok => {}
            status @ (StatusCode::Unauthorized | StatusCode::Forbidden) => {
                return Err(conversation.refusal(Step::Setup, status));
            }
            status => return Err(Error::BackchannelTaken { status: status.into() }),
        }
        let transport = answer.header(&headers::TRANSPORT).map(|value| value.as_str().to_owned());
        let channel = transport.as_deref().and_then(interleaved).unwrap_or(0);

        let request = Request::new(Method::Play, aggregate.clone())
            .with(headers::REQUIRE, FEATURE)
            .with(headers::RANGE, "npt=now-");
        let answered = timeout(PLAY_LIMIT, conversation.ask(request, Step::Play)).await;
        let answer = answered.map_err(|_| late(Step::Play, PLAY_LIMIT))??;
        if answer.status() != StatusCode::Ok {
            return Err(conversation.refusal(Step::Play, answer.status()));
        }
        Ok(Self {
            conversation,
            ear,
            payloads,
            aggregate,
            ssrc: rand::random(),
            sequence: rand::random(),
            channel,
            is_first: true,
            keepalive_at: Instant::now() + KEEPALIVE,
        })
    }

    /// Samples per second that it wants.
    pub(in crate::source) fn hz(&self) -> u32 {
        self.ear.hz
    }

    /// In the camera's words, for the log.
    pub(in crate::source) fn codec(&self) -> String {
        self.ear.to_string()
    }

    /// Sends what is said.
    ///
    /// # Errors
    /// The camera has hung up, or takes nothing any more.
    pub(in crate::source) async fn say(&mut self, speech: &Speech) -> Result<(), Error> {
        for (time, payload) in self.payloads.of_speech(speech)? {
            let mut packet = Vec::with_capacity(RTP_HEADER + payload.len());
            self.head(time, &mut packet);
            packet.extend(payload);
            let sent = timeout(WRITE_LIMIT, self.conversation.send_data(self.channel, packet)).await;
            sent.map_err(|_| Error::Timeout {
                peer: self.conversation.peer(),
                step: Step::Media,
                limit: WRITE_LIMIT,
            })??;
        }
        Ok(())
    }

    /// The fixed header (RFC 3550 section 5.1); the marker begins a talkspurt (RFC 3551 section 4.1), or ends a frame (RFC 3640
    /// section 3.1).
    fn head(&mut self, time: u32, packet: &mut Vec<u8>) {
        const VERSION: u8 = 2 << 6;
        let marker = u8::from(std::mem::take(&mut self.is_first) || self.payloads.are_frames()) << 7;
        packet.extend([VERSION, marker | self.ear.payload_type]);
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(time.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Keeps the session alive until the camera ends it; gives why.
    ///
    /// # Cancel safety
    /// Nothing of what the camera said is lost.
    pub(in crate::source) async fn lost(&mut self) -> Error {
        loop {
            tokio::select! {
                error = self.conversation.overhear() => return error,
                () = sleep_until(self.keepalive_at.into()) => {}
            }
            self.keepalive_at = Instant::now() + KEEPALIVE;
            // Which every server knows; GET_PARAMETER some do not.
            let request = Request::new(Method::Options, self.aggregate.clone());
            match timeout(WRITE_LIMIT, self.conversation.tell(request)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => {
                    return Error::Timeout { peer: self.conversation.peer(), step: Step::Media, limit: WRITE_LIMIT };
                }
            }
        }
    }

    /// Says goodbye.
    pub(in crate::source) async fn close(mut self) {
        let request = Request::new(Method::Teardown, self.aggregate.clone()).with(headers::REQUIRE, FEATURE);
        let _ = timeout(TEARDOWN_LIMIT, self.conversation.ask(request, Step::Media)).await;
    }
}

/// Length of an RTP header without sources and extensions.
const RTP_HEADER: usize = 12;

fn describe(url: &Url) -> Request {
    Request::new(Method::Describe, url.clone()).with(headers::ACCEPT, "application/sdp").with(headers::REQUIRE, FEATURE)
}

/// The first number of `interleaved=2-3` in a Transport header.
fn interleaved(transport: &str) -> Option<u8> {
    let value = transport.split(';').find_map(|part| part.trim().strip_prefix("interleaved="))?;
    value.split('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
