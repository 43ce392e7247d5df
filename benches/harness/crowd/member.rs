//! One viewer of the crowd.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_RTX, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use tokio::net::UdpSocket;

use super::Frame;

/// Payload types of the offer: H.264 and its retransmissions.
const H264: u8 = 102;
const RTX: u8 = 103;
/// The gateway's datagrams are smaller.
const MAX_DATAGRAM: usize = 2_048;
/// Longest wait for the connection's next timer.
const MAX_SLEEP: Duration = Duration::from_millis(500);

/// What one viewer has received since the last mark.
#[derive(Debug, Default)]
pub struct Tally {
    pub received: u64,
    pub lost: u64,
    pub frames: Vec<Frame>,
    newest: Option<u16>,
    frame: (usize, usize),
}

impl Tally {
    pub fn mark(&mut self) {
        *self = Self { newest: self.newest, ..Self::default() };
    }

    /// A protected RTP packet; its header is in the clear.
    fn note(&mut self, packet: &[u8]) {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let step = self.newest.map_or(1, |newest| sequence.wrapping_sub(newest) as i16);
        if step > 0 {
            self.lost += step as u64 - 1;
            self.newest = Some(sequence);
        } else {
            // It was late and not lost.
            self.lost = self.lost.saturating_sub(1);
        }
        self.received += 1;
        self.frame.0 += 1;
        self.frame.1 += packet.len();
        if packet[1] & 0x80 != 0 {
            let (packets, bytes) = std::mem::take(&mut self.frame);
            self.frames.push(Frame { packets, bytes });
        }
    }
}

/// Whether a datagram is the video: RTP (RFC 7983), not RTCP (RFC 5761), of the main payload type.
fn is_video(datagram: &[u8]) -> bool {
    datagram.len() > 12 && (128..192).contains(&datagram[0]) && datagram[1] & 0x7f == H264
}

/// A socket that counts what comes, for the floor.
pub async fn listen() -> (Arc<Mutex<Tally>>, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a UDP socket");
    let address = socket.local_addr().expect("it is bound");
    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = tally.clone();
    tokio::spawn(async move {
        let mut buffer = [0; MAX_DATAGRAM];
        while socket.readable().await.is_ok() {
            drain(&socket, &mut buffer, &shared, |_, _| {});
        }
    });
    (tally, address)
}

/// Offers to `whep`, takes the answer, and leaves the rest to a task. Returns the session's URL too.
pub async fn join(http: &reqwest::Client, whep: &str) -> (Arc<Mutex<Tally>>, reqwest::Url) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a UDP socket");
    let local = socket.local_addr().expect("it is bound");
    let mut connection = connection(local);
    let offer = connection.create_offer(None).expect("an offer");
    connection.set_local_description(Instant::now(), offer).expect("the offer is ours");
    let offer = connection.local_description().expect("just set").sdp;
    let request = http.post(whep).header("content-type", "application/sdp").body(offer);
    let response = request.send().await.unwrap_or_else(|error| panic!("POST {whep}: {error}"));
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = response.text().await.unwrap_or_default();
    assert_eq!(status.as_u16(), 201, "POST {whep}: {answer}");
    let location = headers.get("location").and_then(|value| value.to_str().ok()).expect("a 201 has a Location");
    let resource = reqwest::Url::parse(whep).and_then(|base| base.join(location)).expect("a URL");
    let answer = RTCSessionDescription::answer(answer).expect("SDP");
    connection.set_remote_description(Instant::now(), answer).expect("the answer fits the offer");
    let tally = Arc::new(Mutex::new(Tally::default()));
    tokio::spawn(drive(connection, socket, local, tally.clone()));
    (tally, resource)
}

fn connection(local: SocketAddr) -> RTCPeerConnection {
    let mut media = MediaEngine::default();
    for (payload_type, mime_type, fmtp) in [
        (H264, MIME_TYPE_H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".to_owned()),
        (RTX, MIME_TYPE_RTX, format!("apt={H264}")),
    ] {
        let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
        let rtp_codec = RTCRtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: fmtp,
            rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli")],
        };
        let codec = RTCRtpCodecParameters { rtp_codec, payload_type };
        media.register_codec(codec, RtpCodecKind::Video).expect("a codec of ours");
    }
    let settings = SettingEngineBuilder::new()
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(true)
        .build();
    let mut connection = RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings)
        .with_media_engine(media)
        .build(Instant::now())
        .expect("a peer connection");
    connection.add_transceiver_from_kind(RtpCodecKind::Video, None).expect("a recvonly transceiver");
    let base_config = CandidateConfig {
        network: "udp".to_owned(),
        address: local.ip().to_string(),
        port: local.port(),
        component: 1,
        ..CandidateConfig::default()
    };
    let candidate = CandidateHostConfig { base_config, ..CandidateHostConfig::default() };
    let candidate = candidate.new_candidate_host().and_then(|candidate| RTCIceCandidate::from(&candidate).to_json());
    connection.add_local_candidate(candidate.expect("a host candidate")).expect("a host candidate");
    connection
}

/// Runs the connection's ICE and DTLS and counts its media, until the process ends.
async fn drive(mut connection: RTCPeerConnection, socket: UdpSocket, local_addr: SocketAddr, tally: Arc<Mutex<Tally>>) {
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        while let Some(out) = connection.poll_write() {
            // A full socket buffer loses it, as a network does.
            let _ = socket.try_send_to(&out.message, out.transport.peer_addr);
        }
        while connection.poll_event().is_some() {}
        while connection.poll_read().is_some() {}
        let now = Instant::now();
        let wake = connection.poll_timeout().unwrap_or(now + MAX_SLEEP).clamp(now, now + MAX_SLEEP);
        tokio::select! {
            readable = socket.readable() => {
                if readable.is_err() {
                    return;
                }
                drain(&socket, &mut buffer, &tally, |peer_addr, datagram| {
                    let transport =
                        TransportContext { local_addr, peer_addr, ecn: None, transport_protocol: TransportProtocol::UDP };
                    let message = BytesMut::from(datagram);
                    let _ = connection.handle_read(TaggedBytesMut { now: Instant::now(), transport, message });
                });
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        if Instant::now() >= wake {
            let _ = connection.handle_timeout(Instant::now());
        }
    }
}

/// Reads all there is: video is counted, the rest is handed to `other`.
fn drain(socket: &UdpSocket, buffer: &mut [u8], tally: &Mutex<Tally>, mut other: impl FnMut(SocketAddr, &[u8])) {
    let mut tally = tally.lock().unwrap();
    while let Ok((length, from)) = socket.try_recv_from(buffer) {
        let datagram = &buffer[..length];
        if is_video(datagram) { tally.note(datagram) } else { other(from, datagram) }
    }
}
