//! One viewer's session, or one publisher's, sans-I/O: datagrams, units and the passing of time go in, datagrams come out.

mod binding;
mod channel;
mod clock;
mod datagram;
mod end;
mod feedback;
mod flight;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod handshake;
mod ice;
mod media;
mod playback;
mod trickle;
mod tunnel;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::BytesMut;
use rtc::{
    crypto::CryptoError,
    peer_connection::{event::RTCPeerConnectionEvent, state::RTCPeerConnectionState},
    sansio::Protocol,
    shared::{TaggedBytesMut, TransportContext, error::Error},
};
use tracing::error;

use self::{
    channel::Channel,
    clock::SteadyClock,
    datagram::{is_dtls, is_rtcp, is_stun},
    flight::LastFlight,
    handshake::{Connection, Hello},
    ice::Ice,
    media::Media,
    playback::Playback,
};
pub(super) use self::{
    datagram::{Outgoing, Transaction, transaction},
    end::End,
    ice::Terms,
    media::Purpose,
};
use super::{
    Candidate, Phase, SessionStatus,
    batch::Batch,
    candidates::local_address,
    engine::{Blueprint, Engine, Protection},
    feedback::told,
    socket::Received,
    srtp::ControlReader,
    transport::Remote,
};
use crate::{
    hub::{Camera, Listening, Unit, Viewing},
    media::{AudioCodec, Kind},
};

/// A viewer that has not connected by then never will: ICE checks of every browser have ended (Chromium after 15 s).
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);

/// One viewer, or one publisher.
pub(super) struct Session {
    pub(super) status: Arc<SessionStatus>,
    engine: Engine,
    connection: Connection,
    ice: Ice,
    /// The answer, for what a restart says again of it.
    answer: String,
    media: Media,
    /// Of a viewer that has offered one.
    channel: Option<Channel>,
    /// What opens the viewer's RTCP, after the handshake.
    control: Option<ControlReader>,
    camera: Arc<Camera>,
    /// Held by a viewer's.
    _viewing: Option<Viewing>,
    /// The codec of its sound.
    audio: Option<AudioCodec>,
    /// Held by a session that was promised sound.
    _listening: Option<Listening>,
    own: Vec<IpAddr>,
    /// Where datagrams for it arrive.
    offered: Vec<Candidate>,
    opened: Instant,
    clock: SteadyClock,
    hello: Hello,
    /// Whether the viewer began its DTLS handshake.
    handshake: bool,
    last_flight: LastFlight,
    /// How often media began once more because of it.
    restarts: u32,
    /// Whether the viewer has said anything of the media.
    heard: bool,
    /// Where datagrams go, as `status` has it.
    remote: Option<Remote>,
    end: Option<End>,
    /// Whether something happened since when ICE or the connection may have something to say. They are not asked after each
    /// picture: to hear from a connection that it has nothing to say takes as long as to send a packet.
    stirred: bool,
    /// Whether the log has said that the viewer's network is too slow.
    told_too_slow: bool,
}

impl Session {
    /// Answers `blueprint.offer`. `own` are the addresses of this machine that may be set as a datagram's sender.
    ///
    /// # Errors
    /// What webrtc-rs finds wrong with the offer.
    pub(super) fn new(
        engine: Engine,
        blueprint: Blueprint,
        own: Vec<IpAddr>,
        purpose: Purpose,
        status: Arc<SessionStatus>,
        now: Instant,
    ) -> Result<(Self, String), Error> {
        let (connection, answer) = Connection::open(&engine, &blueprint, Protection::Gcm, now)?;
        let offered = blueprint.terms.offered.clone();
        let ice = Ice::new(engine.provider(), blueprint.ice, blueprint.terms.clone(), now)?;
        let audio = blueprint.choice.audio.as_ref().map(|(_, codec)| *codec);
        let camera = purpose.camera().clone();
        let (media, viewing) = Media::new(purpose, &blueprint, status.clone(), now);
        let (audio, listening) = match &viewing {
            Some(_) => (audio, audio.map(|_| camera.listen())),
            // A publisher's sound is what it is.
            None => (None, None),
        };
        let session = Self {
            status,
            engine,
            connection,
            ice,
            answer: answer.clone(),
            media,
            channel: None,
            camera,
            _viewing: viewing,
            audio,
            _listening: listening,
            own,
            offered,
            opened: now,
            clock: SteadyClock::default(),
            hello: Hello::new(blueprint),
            handshake: false,
            last_flight: LastFlight::default(),
            restarts: 0,
            heard: false,
            remote: None,
            control: None,
            end: None,
            stirred: true,
            told_too_slow: false,
        };
        Ok((session, answer))
    }

    /// Where media goes, once it does.
    pub(super) fn remote(&self) -> Option<Remote> {
        self.remote
    }

    /// Whether the way to the viewer is full, so that pictures have to wait.
    pub(super) fn set_congested(&mut self, congested: bool) {
        if let Some(playback) = self.media.playback() {
            playback.set_congested(congested);
        }
    }

    /// The camera it shows, or is.
    pub(super) fn camera(&self) -> &Arc<Camera> {
        &self.camera
    }

    /// Why it is over, once it is.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Ends it with a goodbye to the viewer, which [`poll_transmit`](Self::poll_transmit) then hands out.
    pub(super) fn close(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.stirred = true;
        self.status.set_phase(Phase::Closed);
        // The connection goes away whatever it says.
        let _ = self.connection.rtc.close();
    }

    /// A datagram for this session. Media that it calls for is written to `out`.
    pub(super) fn on_datagram(&mut self, datagram: Received, wall: SystemTime, out: &mut Batch) {
        let now = datagram.at;
        let Some(local_addr) = local_address(&self.offered, datagram.to, datagram.remote.address) else { return };
        if self.status.phase() == Phase::New {
            self.status.set_phase(Phase::Connecting);
        }
        if is_stun(&datagram.data) {
            let transport = TransportContext {
                local_addr,
                peer_addr: datagram.remote.address,
                transport_protocol: datagram.remote.transport.protocol(),
                ecn: None,
            };
            self.ice.read(transport, datagram.data, now);
        } else if is_dtls(&datagram.data) {
            self.handshake = true;
            self.on_handshake(datagram.data, now);
        } else if is_rtcp(&datagram.data) {
            let wall = self.clock.time(now, wall);
            return self.on_rtcp(&datagram.data, now, wall, out);
        } else {
            // Media of a viewer's nobody wants.
            return self.on_media(&datagram.data, now);
        }
        self.stirred = true;
        self.after_input(now);
    }

    fn on_rtcp(&mut self, datagram: &[u8], now: Instant, wall: SystemTime, out: &mut Batch) {
        let Some(control) = &mut self.control else { return };
        let packets = control.read(datagram);
        if let Media::In(reception) = &mut self.media {
            reception.on_rtcp(&packets, now);
            return self.say(now);
        }
        for feedback in told(&packets) {
            self.on_feedback(feedback, now, wall, out);
        }
    }

    /// A unit of its camera, of which `out` gets what the viewer is sent now.
    pub(super) fn on_unit(&mut self, now: Instant, unit: &Arc<Unit>, out: &mut Batch) {
        let mute = unit.kind == Kind::Audio && self.audio_changed();
        if self.status.phase() == Phase::Connected
            && self.end.is_none()
            && !mute
            && let Some(playback) = self.media.playback()
        {
            let played = playback.on_unit(now, unit, &self.camera, out);
            self.check(played);
        }
    }

    /// Media that cannot be protected is not sent, and nothing after it either.
    fn check(&mut self, played: Result<(), CryptoError>) {
        if let Err(error) = played {
            error!(camera = %self.status.camera, session = ?self.status.id, %error, "cannot protect media");
            self.close(End::Broken);
        }
    }

    /// When a unit that was sent calls for more: the rest of a burst, a report.
    pub(super) fn next_playback(&self) -> Option<Instant> {
        self.media.poll_timeout()
    }

    /// Where the media goes that was written for it, and from which address of ours.
    pub(super) fn media_path(&mut self) -> Option<(Option<IpAddr>, Remote)> {
        let path = self.ice.path()?;
        let remote = Remote::of(&path);
        self.note_remote(remote);
        Some((self.source(&path), remote))
    }

    /// The address of ours to send from, where it may be set.
    fn source(&self, path: &TransportContext) -> Option<IpAddr> {
        let source = path.local_addr.ip();
        self.own.contains(&source).then_some(source)
    }

    /// Notes where media goes.
    fn note_remote(&mut self, remote: Remote) {
        if self.status.phase() == Phase::Connected && self.remote != Some(remote) {
            self.remote = Some(remote);
            self.status.set_remote(remote);
        }
    }

    /// Something that [`poll_timeout`](Self::poll_timeout) named is due.
    pub(super) fn on_timeout(&mut self, now: Instant, wall: SystemTime, out: &mut Batch) {
        self.stirred = true;
        let wall = self.clock.time(now, wall);
        // A failing timer of one handler is logged by rtc; the connection's state tells whether it matters.
        let _ = self.connection.rtc.handle_timeout(now);
        self.ice.on_timeout(now);
        self.last_flight.on_timeout(now);
        if self.status.phase() == Phase::Connected {
            if let Some(playback) = self.media.playback() {
                let played = playback.on_timeout(now, wall, &self.camera, out);
                self.check(played);
            }
            self.report(now, wall);
            self.receive_on_time(now);
        } else if now >= self.opened + CONNECT_DEADLINE && self.end.is_none() {
            self.close(End::NeverConnected);
        }
        if self.end.is_none() && self.camera().is_closed() {
            self.close(End::CameraRemoved);
        }
        if self.end.is_none() && self.audio_changed() {
            self.close(End::FormatChanged);
        }
        self.after_input(now);
    }

    /// When [`on_timeout`](Self::on_timeout) is due next.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let own = match self.status.phase() {
            // The connection has nothing left to do by the clock but ICE, and nobody to do it with, and a data channel; it is told
            // the time with each sender report.
            Phase::Connected => [self.media.poll_timeout(), self.channel_timeout()].into_iter().flatten().min(),
            Phase::New | Phase::Connecting => {
                [Some(self.opened + CONNECT_DEADLINE), self.connection.rtc.poll_timeout()].into_iter().flatten().min()
            }
            Phase::Closed => None,
        };
        [self.ice.poll_timeout(), self.last_flight.poll_timeout(), own].into_iter().flatten().min()
    }

    /// The next datagram to send that is not media. To be called until there is none.
    pub(super) fn poll_transmit(&mut self) -> Option<Outgoing> {
        let out = self.next_transmit()?;
        self.status.packets_sent.add(1);
        self.status.bytes_sent.add(out.message.len() as u64);
        let source = self.source(&out.transport);
        let remote = Remote::of(&out.transport);
        if !is_stun(&out.message) {
            self.note_remote(remote);
        }
        Some(Outgoing { source, remote, data: out.message })
    }

    fn next_transmit(&mut self) -> Option<TaggedBytesMut> {
        if !self.stirred {
            return None;
        }
        let out = self.ice.poll_transmit().or_else(|| self.poll_connection());
        self.stirred = out.is_some();
        out
    }

    /// What the connection sends, on its way to the viewer.
    fn poll_connection(&mut self) -> Option<TaggedBytesMut> {
        while let Some(out) = self.connection.rtc.poll_write() {
            // Its own ICE has nobody to talk to.
            if !is_stun(&out.message)
                && let Some(transport) = self.ice.path()
            {
                if is_dtls(&out.message) {
                    self.last_flight.on_transmit(&out.message, out.now);
                }
                return Some(TaggedBytesMut { transport, ..out });
            }
        }
        let (now, message) = self.last_flight.poll_transmit()?;
        Some(TaggedBytesMut { now, transport: self.ice.path()?, message })
    }

    fn read(&mut self, message: BytesMut, now: Instant) {
        let transport = tunnel::transport();
        // What does not parse or decrypt is the sender's fault and no reason to end the session.
        let _ = self.connection.rtc.handle_read(TaggedBytesMut { now, transport, message });
        let _ = self.connection.rtc.handle_timeout(now);
        self.take_messages(now);
    }

    /// Sender reports, when they are due.
    fn report(&mut self, now: Instant, wall: SystemTime) {
        let Some(playback) = self.media.playback() else { return };
        let reports = playback.reports(now, wall).into_iter();
        let packets: Vec<Box<dyn rtc::rtcp::Packet>> = reports.map(|report| Box::new(report) as _).collect();
        if !packets.is_empty() {
            self.connection.send_rtcp(now, packets);
        }
    }

    fn after_input(&mut self, now: Instant) {
        self.heed_intake();
        self.release_handshake(now);
        while let Some(event) = self.connection.rtc.poll_event() {
            match event {
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) => self.on_state(state, now),
                RTCPeerConnectionEvent::OnDataChannel(event) => self.on_channel_event(event, now),
                _ => {}
            }
        }
        self.pump_channel(now);
        if self.ice.is_lost() && self.end.is_none() {
            self.give_up();
        }
    }

    fn on_state(&mut self, state: RTCPeerConnectionState, now: Instant) {
        match state {
            RTCPeerConnectionState::Connected if self.end.is_none() => {
                self.status.set_phase(Phase::Connected);
                self.on_connected(now);
            }
            RTCPeerConnectionState::Closed if self.end.is_none() => self.close(End::ViewerLeft),
            RTCPeerConnectionState::Failed if self.end.is_none() => self.give_up(),
            _ => {}
        }
    }

    fn give_up(&mut self) {
        let connected = self.status.phase() == Phase::Connected;
        self.close(if connected { End::ConsentLost } else { End::NeverConnected });
    }

    fn audio_changed(&self) -> bool {
        let now = self.camera().formats().audio.map(|format| format.codec);
        matches!((self.audio, now), (Some(negotiated), Some(now)) if negotiated != now)
    }
}
