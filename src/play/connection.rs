//! The WebRTC side of the viewer: one receive-only connection on the `webrtc` crate, and what it has seen so far.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rtc::{
    ice::mdns::MulticastDnsMode, rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication,
    rtp_transceiver::rtp_sender::RtpCodecKind,
};
use tokio::{sync::Notify, time::timeout};
use webrtc::{
    error::Result,
    media_stream::track_remote::{TrackRemote, TrackRemoteEvent},
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
        RTCIceConnectionState, RTCIceGatheringState, RTCIceServer, RTCPeerConnectionState, RTCSessionDescription,
        Registry, SettingEngineBuilder, StatsSelector, register_default_interceptors,
    },
    rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit},
};

use super::{
    answer::Candidate,
    codecs,
    link::IceServer,
    measure::{Packet, Track},
    runtime::WakefulRuntime,
};

/// Candidates that are not there by then are not offered: a STUN server that is out of reach must not hold up a
/// viewer that needs none.
const GATHER_DEADLINE: Duration = Duration::from_secs(3);
/// Local addresses offered; a machine with many containers has many more that lead nowhere.
const MAX_ADDRESSES: usize = 12;

/// What the connection's tasks have seen.
#[derive(Default)]
pub(super) struct Seen {
    gathered: bool,
    /// When ICE found a pair.
    pub(super) ice_connected_at: Option<Instant>,
    /// When DTLS was through, too.
    pub(super) connected_at: Option<Instant>,
    pub(super) state: RTCPeerConnectionState,
    pub(super) video: Option<Track>,
    pub(super) audio: Option<Track>,
    picture: Option<(Arc<dyn TrackRemote>, u32)>,
}

/// [`Seen`], shared with the connection's tasks.
#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Notify,
    runtime: Arc<WakefulRuntime>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whoever panicked left counters behind, and they are still counters.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_one();
    }
}

/// How ICE fared: connectivity checks of all pairs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) sent: u64,
    pub(super) answered: u64,
}

/// A connection that only receives.
pub(super) struct Connection {
    pc: Arc<dyn PeerConnection>,
    shared: Arc<Shared>,
}

impl Connection {
    /// Opens sockets on this machine's addresses; on its loopback address too if the server is on this machine.
    ///
    /// # Errors
    /// When no socket could be opened.
    pub(super) async fn open(servers: &[IceServer], loopback: bool) -> Result<Self> {
        let mut media = MediaEngine::default();
        codecs::register(&mut media)?;
        // NACK, reports, and transport-cc, which servers with congestion control need to send at full rate.
        let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(loopback)
            // The default opens a multicast socket, which fails where there is no multicast route.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let ice_servers = servers.iter().map(|server| RTCIceServer {
            urls: vec![server.url.clone()],
            username: server.username.clone(),
            credential: server.credential.clone(),
        });
        let shared = Arc::new(Shared::default());
        let pc = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::default().with_ice_servers(ice_servers.collect()).build())
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(Handler(shared.clone())))
            .with_runtime(shared.runtime.clone())
            .with_udp_addrs(local_addresses(loopback))
            .build()
            .await?;
        for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: Vec::new(),
                send_encodings: Vec::new(),
            };
            pc.add_transceiver_from_kind(kind, Some(init)).await?;
        }
        Ok(Self { pc: Arc::new(pc), shared })
    }

    /// An offer with all candidates, so that servers without trickle ICE have them.
    ///
    /// # Errors
    /// When the stack makes none.
    pub(super) async fn offer(&self) -> Result<String> {
        let offer = self.pc.create_offer(None).await?;
        self.pc.set_local_description(offer.clone()).await?;
        let gathered = async {
            while !self.seen().gathered {
                self.changed().await;
            }
        };
        let _ = timeout(GATHER_DEADLINE, gathered).await;
        Ok(self.pc.local_description().await.unwrap_or(offer).sdp)
    }

    /// Takes the server's answer; ICE begins.
    ///
    /// # Errors
    /// When the answer does not fit the offer.
    pub(super) async fn accept(&self, answer: RTCSessionDescription) -> Result<()> {
        self.pc.set_remote_description(answer).await
    }

    /// A look at what was seen, to be short.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }

    /// Completes when something was seen since the last time.
    ///
    /// # Cancel safety
    /// No change is lost.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Asks for a keyframe (RFC 4585 section 6.3.1); false when there is no picture yet to ask about.
    pub(super) async fn request_keyframe(&self) -> bool {
        let Some((track, media_ssrc)) = self.seen().picture.clone() else { return false };
        track.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })]).await.is_ok()
    }

    /// The candidates in use, ours and the server's.
    pub(super) async fn pair(&self) -> Option<(Candidate, Candidate)> {
        let receiver = self.pc.get_receivers().await.into_iter().next()?;
        let transport = receiver.transport().await.ok()??.ice_transport();
        let pair = transport.get_selected_candidate_pair().await.ok()??;
        let candidate = |found: &webrtc::peer_connection::RTCIceCandidate| Candidate {
            transport: found.protocol.to_string(),
            address: found.address.clone(),
            port: found.port,
            kind: found.typ.to_string(),
        };
        Some((candidate(pair.local()), candidate(pair.remote())))
    }

    /// The connectivity checks so far.
    pub(super) async fn checks(&self) -> Checks {
        let report = self.pc.get_stats(Instant::now(), StatsSelector::None).await;
        report.candidate_pairs().fold(Checks::default(), |sum, pair| Checks {
            sent: sum.sent + pair.requests_sent,
            answered: sum.answered + pair.responses_received,
        })
    }

    /// Says goodbye (DTLS close_notify) and closes the sockets.
    pub(super) async fn close(&self) {
        self.shared.runtime.rest();
        let _ = self.pc.close().await;
    }
}

/// This machine's addresses with any free port. The wildcard address would do the same, but without loopback.
fn local_addresses(loopback: bool) -> Vec<SocketAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    // A link-local address needs a scope that no candidate carries.
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let ips = interfaces.iter().map(if_addrs::Interface::ip);
    let ips = ips.filter(|ip| usable(ip) && (loopback || !ip.is_loopback()));
    ips.take(MAX_ADDRESSES).map(|ip| SocketAddr::new(ip, 0)).collect()
}

struct Handler(Arc<Shared>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.change(|seen| seen.gathered = true);
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed) {
            let now = Instant::now();
            self.0.change(|seen| _ = seen.ice_connected_at.get_or_insert(now));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.0.runtime.rest();
        }
        let now = Instant::now();
        self.0.change(|seen| {
            seen.state = state;
            if state == RTCPeerConnectionState::Connected {
                seen.ice_connected_at.get_or_insert(now);
                seen.connected_at.get_or_insert(now);
            }
        });
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        // A task of its own: callbacks run on the connection's driver, which must not wait.
        tokio::spawn(receive(self.0.clone(), track));
    }
}

async fn receive(shared: Arc<Shared>, remote: Arc<dyn TrackRemote>) {
    let is_video = remote.kind().await == RtpCodecKind::Video;
    let ssrc = remote.ssrcs().await.first().copied().unwrap_or_default();
    let codec = remote.codec(ssrc).await.unwrap_or_default();
    let name = codec.mime_type.split_once('/').map_or("unknown", |(_, name)| name);
    let track = Track::new(is_video, name, &codec.sdp_fmtp_line, codec.clock_rate, codec.channels);
    shared.change(|seen| {
        if is_video {
            seen.video = Some(track);
            seen.picture = Some((remote.clone(), ssrc));
        } else {
            seen.audio = Some(track);
        }
    });
    while let Some(event) = remote.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        let packet = Packet {
            at: Instant::now(),
            ssrc: packet.header.ssrc,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: &packet.payload,
        };
        shared.change(|seen| {
            let track = if is_video { &mut seen.video } else { &mut seen.audio };
            if let Some(track) = track {
                track.record(packet);
            }
        });
    }
}
