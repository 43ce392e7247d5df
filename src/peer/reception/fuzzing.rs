//! A way in for `fuzz/`: what a publisher sends, in the clear.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{self, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtc::{crypto::default_provider, rtcp, rtp, shared::marshal::Unmarshal};

use super::Reception;
use crate::{
    hub::{Camera, GopLimits, Takeover, Tracks},
    media::AudioCodec,
    peer::{
        SessionId, SessionStatus, Visitor,
        engine::Protection,
        negotiation::{Choice, Codec, Extensions},
        srtp::{MasterKey, MediaReader},
    },
};

/// Media types of the publisher, its retransmissions, and the header extension that numbers its packets.
const VIDEO: u8 = 102;
const RTX: u8 = 103;
const OPUS: u8 = 111;
const NUMBERED: u8 = 3;

/// RTP and RTCP of a publisher, each behind the milliseconds since the last one and its length, in two bytes each. All
/// that is said to the publisher can be sent.
pub fn reception(mut framed: &[u8]) {
    let mut now = Instant::now();
    let Some((mut reception, camera)) = reception_of(now) else { return };
    let Some(published) = camera.intake().read() else { unreachable!("somebody publishes") };
    while let Some((&[wait_high, wait_low, high, low], rest)) = framed.split_first_chunk::<4>() {
        let (datagram, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])).min(rest.len()));
        framed = rest;
        now += Duration::from_millis(u16::from_be_bytes([wait_high, wait_low]).into());
        if let Ok(packets) = rtcp::packet::unmarshal(&mut &datagram[..]) {
            reception.on_rtcp(&packets, now);
        } else if let Ok(packet) = rtp::Packet::unmarshal(&mut Bytes::copy_from_slice(datagram)) {
            reception.on_packet(packet, now);
        }
        // As its worker does: at most as often as there is something to say.
        for _ in 0..8 {
            if reception.poll_timeout().is_none_or(|due| due > now) {
                break;
            }
            reception.on_timeout(now);
            for packets in reception.feedback(now) {
                assert!(rtcp::packet::marshal(&packets).is_ok(), "{packets:?}");
            }
        }
        while let Poll::Ready(Some(_)) = pin!(published.next()).poll(&mut task::Context::from_waker(Waker::noop())) {}
    }
}

fn reception_of(now: Instant) -> Option<(Reception, Arc<Camera>)> {
    let camera = Camera::new("phone".parse().ok()?, GopLimits { max_bytes: 0, max_age: Duration::ZERO });
    camera.intake().open(Some(Takeover::Refused));
    let publication = camera.intake().publish(Tracks { video: true, audio: true }, None, now).ok()?;
    let codec = |payload_type, encoding_name: &str, clock_rate, channels| Codec {
        payload_type,
        encoding_name: encoding_name.to_owned(),
        clock_rate,
        channels,
        fmtp: String::new(),
    };
    let extensions = || Extensions { transport_cc: Some(NUMBERED), ..Extensions::default() };
    let choice = Choice {
        video: Some(codec(VIDEO, "H264", 90_000, 0)),
        rtx: Some(RTX),
        repairs: true,
        audio: Some((codec(OPUS, "opus", 48_000, 2), AudioCodec::Opus)),
        video_extensions: extensions(),
        audio_extensions: extensions(),
        ..Choice::default()
    };
    let status = SessionStatus::new(SessionId::random(), camera.name().clone(), Visitor::here());
    let mut reception = Reception::new(&choice, Arc::new(status), camera.clone(), publication, 1, now);
    let (key, provider) = (MasterKey::blank(), default_provider().ok()?);
    reception.start(MediaReader::new(Protection::CmHmacSha1, &key, provider.crypto()).ok()?);
    Some((reception, camera))
}
