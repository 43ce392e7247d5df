//! The DTLS handshake: which SRTP profile the viewer does decides what connection answers it, and its end gives the keys.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use rtc::{
    peer_connection::{
        RTCPeerConnection,
        message::{RTCMessage, TaggedRTCMessage},
        transport::RTCDtlsTransportState,
    },
    sansio::Protocol,
    shared::error::Error,
};

use super::{End, Media, Session, Terms, tunnel};
use crate::peer::{
    dtls::HelloReader,
    engine::{self, Blueprint, Engine, Protection},
    srtp::{ControlReader, KeyTap, MasterKeys, MediaReader, Protector},
};

/// Datagrams of a handshake that wait for ICE and for the ClientHello to be whole. One has two with a post-quantum key
/// share, and is repeated until it is answered.
const MAX_HELD: usize = 8;

/// How often media begins once more because of a lost flight: each time is a burst of the whole cached GOP, and a datagram of
/// the handshake is easily forged.
const MAX_RESTARTS: u32 = 4;

/// What is known of the viewer's SRTP profiles.
pub(super) enum Hello {
    /// Its ClientHello has not come whole, or ICE has no pair yet.
    Awaited(Box<Awaited>),
    /// The connection fits the viewer.
    Settled,
}

/// What has come of a ClientHello, and what another connection would be made of.
pub(super) struct Awaited {
    pub(super) blueprint: Blueprint,
    reader: HelloReader,
    /// Whether it does AES-GCM, once that is known.
    gcm: Option<bool>,
    held: Vec<BytesMut>,
}

impl Hello {
    pub(super) fn new(blueprint: Blueprint) -> Self {
        let (reader, gcm, held) = (HelloReader::default(), None, Vec::new());
        Self::Awaited(Box::new(Awaited { blueprint, reader, gcm, held }))
    }
}

/// What protects the media that is sent, opens what is said of it, and opens media.
struct Ciphers {
    protector: Protector,
    control: ControlReader,
    media: MediaReader,
}

/// A connection and where its keys come from.
pub(super) struct Connection {
    pub(super) rtc: RTCPeerConnection,
    protection: Protection,
    tap: Arc<KeyTap>,
}

impl Connection {
    /// One that has answered, with its end of the tunnel open, and its answer.
    ///
    /// # Errors
    /// What webrtc-rs finds wrong with the offer.
    pub(super) fn open(
        engine: &Engine,
        blueprint: &Blueprint,
        protection: Protection,
        now: Instant,
    ) -> Result<(Self, String), Error> {
        let tap = Arc::new(KeyTap::new(engine.provider()));
        let (mut rtc, answer) = engine::build(engine, blueprint, protection, tap.clone(), now)?;
        let Terms { ours, theirs, .. } = &blueprint.terms;
        tunnel::open(&mut rtc, ours, theirs, engine.provider().crypto(), now)?;
        Ok((Self { rtc, protection, tap }, answer))
    }

    /// What the handshake has made the keys of, once, when it is through.
    fn ciphers(&self, engine: &Engine) -> Option<Ciphers> {
        let (MasterKeys { ours, theirs }, provider) = (self.tap.take()?, engine.provider());
        Some(Ciphers {
            protector: Protector::new(self.protection, &ours, provider.crypto()).ok()?,
            control: ControlReader::new(self.protection, &theirs, provider.crypto()).ok()?,
            media: MediaReader::new(self.protection, &theirs, provider.crypto()).ok()?,
        })
    }

    /// Sends a compound of RTCP packets.
    pub(super) fn send_rtcp(&mut self, now: Instant, packets: Vec<Box<dyn rtc::rtcp::Packet>>) {
        let message = RTCMessage::RtcpPacket(String::new(), packets);
        // It fails only before the DTLS handshake, and nothing is sent before.
        let _ = self.rtc.handle_write(TaggedRTCMessage { now, message });
    }

    /// Whether the viewer closed DTLS. `rtc` notes that on the transport only: the connection goes on as "connected".
    fn said_goodbye(&mut self) -> bool {
        let sender = self.rtc.get_senders().next();
        let receiver = self.rtc.get_receivers().next();
        let of_sender = sender.and_then(|id| Some(self.rtc.rtp_sender(id)?.transport()?.state()));
        let of_receiver = receiver.and_then(|id| Some(self.rtc.rtp_receiver(id)?.transport()?.state()));
        of_sender.or(of_receiver) == Some(RTCDtlsTransportState::Closed)
    }
}

impl Session {
    /// DTLS: waits until it is known which SRTP profile the viewer does and where it is.
    pub(super) fn on_handshake(&mut self, datagram: BytesMut, now: Instant) {
        let repeated = self.last_flight.on_datagram(&datagram, now);
        // Our Finished was lost, and with it the way to read what has been sent since.
        if repeated
            && !self.heard
            && self.restarts < MAX_RESTARTS
            && let Some(playback) = self.media.playback()
            && playback.restart(now)
        {
            self.restarts += 1;
        }
        if let Hello::Awaited(awaited) = &mut self.hello {
            awaited.gcm = awaited.gcm.or_else(|| awaited.reader.read(&datagram));
            if awaited.held.len() < MAX_HELD {
                awaited.held.push(datagram);
            }
            return self.release_handshake(now);
        }
        self.read(datagram, now);
        if self.end.is_none() && self.connection.said_goodbye() {
            self.close(End::ViewerLeft);
        }
    }

    /// Lets the handshake begin once it can, after starting over with AES-CM-HMAC-SHA1 for a viewer that cannot do AES-GCM.
    pub(super) fn release_handshake(&mut self, now: Instant) {
        let Hello::Awaited(awaited) = &self.hello else { return };
        let (Some(gcm), Some(_)) = (awaited.gcm, self.ice.path()) else { return };
        let Hello::Awaited(awaited) = std::mem::replace(&mut self.hello, Hello::Settled) else { return };
        let Awaited { blueprint, held, .. } = *awaited;
        if !gcm {
            match Connection::open(&self.engine, &blueprint, Protection::CmHmacSha1, now) {
                Ok((connection, _same_answer)) => self.connection = connection,
                Err(_) => return self.close(End::NeverConnected),
            }
        }
        for datagram in held {
            self.read(datagram, now);
        }
    }

    /// The handshake is through: media begins.
    pub(super) fn on_connected(&mut self, now: Instant) {
        match self.connection.ciphers(&self.engine) {
            Some(Ciphers { protector, control, media }) => {
                self.control = Some(control);
                match &mut self.media {
                    Media::Out(playback) => playback.start(now, protector),
                    Media::In(reception) => reception.start(media),
                }
            }
            // Connected a second time; or there are no keys, without which nothing may be sent.
            None if self.media.is_started() => {}
            None => self.close(End::Broken),
        }
    }
}
