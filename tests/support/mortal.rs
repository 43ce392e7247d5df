//! Viewers that die: at each step of ICE, DTLS and media, over UDP and TCP, with a word and without. Cheap, so that thousands
//! can: a sans-I/O client whose media is seen and not decrypted.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// For one step of a life; generous because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks of the client's ICE at its checks. By default they are 200 ms apart, nearly all that a short life takes.
const CHECKS: Duration = Duration::from_millis(20);
/// Checks before it gives up: it is to wait for a busy gateway.
const MOST_CHECKS: u16 = 1_000;
/// The offer's payload type of H.264.
const H264: u8 = 102;

/// How far a viewer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has an answer, and sends nothing.
    Offer,
    /// ICE has found a way; DTLS does not begin.
    Ice,
    /// The gateway has answered its first DTLS flight, and gets no second one.
    Hello,
    /// Media flows.
    Media,
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without a word.
    Vanish,
    /// By DELETE.
    Delete,
    /// By a DTLS close_notify, as a closed tab.
    Goodbye,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub step: Step,
    pub end: End,
    pub tcp: bool,
}

impl Life {
    /// Every kind.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for step in [Step::Offer, Step::Ice, Step::Hello, Step::Media] {
            for end in [End::Vanish, End::Delete, End::Goodbye] {
                for tcp in [false, true] {
                    let has_way = step != Step::Offer || !tcp;
                    let has_words = step == Step::Media || end != End::Goodbye;
                    all.extend((has_way && has_words).then_some(Self { step, end, tcp }));
                }
            }
        }
        all
    }

    /// Lives it at `whep`, from an address of this machine. Returns how long it took to come as far as that; `None` when it did not
    /// in time, as on a machine that is too busy.
    pub async fn live(self, http: &reqwest::Client, whep: &str, from: Ipv4Addr) -> Option<Duration> {
        let socket = UdpSocket::bind((from, 0)).await.expect("a UDP socket");
        let local = socket.local_addr().expect("it is bound");
        let mut connection = connection(local);
        let offer = connection.create_offer(None).expect("an offer");
        connection.set_local_description(Instant::now(), offer).expect("the offer is ours");
        let offer = connection.local_description().expect("just set").sdp;
        let began = Instant::now();
        let request = http.post(whep).header("content-type", "application/sdp").body(offer);
        let response = request.send().await.unwrap_or_else(|error| panic!("POST {whep}: {error}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = response.text().await.unwrap_or_default();
        assert_eq!(status.as_u16(), 201, "POST {whep}: {answer}");
        let location = headers.get("location").and_then(|value| value.to_str().ok()).expect("a 201 has a Location");
        let resource = reqwest::Url::parse(whep).and_then(|url| url.join(location)).expect("a URL");
        if self.step != Step::Offer {
            let gateway = candidate(&answer);
            let answer = RTCSessionDescription::answer(answer).expect("SDP");
            connection.set_remote_description(Instant::now(), answer).expect("the answer fits the offer");
            let mut way = Way::open(socket, gateway, self.tcp).await;
            tokio::time::timeout(LIMIT, self.reach(&mut connection, &mut way, local)).await.ok()?;
            if self.end == End::Goodbye {
                let _ = connection.close();
                while let Some(out) = connection.poll_write() {
                    way.send(&out.message, out.transport.peer_addr).await;
                }
            }
        }
        let took = began.elapsed();
        if self.end == End::Delete {
            let response = http.delete(resource).send().await.expect("DELETE");
            // One that has not connected in time is gone by itself.
            let status = response.status();
            assert!(status.is_success() || status == 404, "DELETE: {status}");
        }
        Some(took)
    }

    /// Does what a viewer does until the step is reached.
    async fn reach(self, connection: &mut RTCPeerConnection, way: &mut Way, local_addr: SocketAddr) {
        loop {
            while let Some(out) = connection.poll_write() {
                if self.step == Step::Ice && is_dtls(&out.message) {
                    return;
                }
                way.send(&out.message, out.transport.peer_addr).await;
            }
            while connection.poll_event().is_some() {}
            while connection.poll_read().is_some() {}
            let now = Instant::now();
            let timer = connection.poll_timeout().unwrap_or(now + LIMIT).clamp(now, now + LIMIT);
            tokio::select! {
                (peer_addr, message) = way.receive() => {
                    let is_reached = match self.step {
                        Step::Hello => is_dtls(&message),
                        Step::Media => is_video(&message),
                        Step::Offer | Step::Ice => false,
                    };
                    if is_reached {
                        return;
                    }
                    // TCP is nothing that the client has to know of.
                    let transport_protocol = TransportProtocol::UDP;
                    let transport = TransportContext { local_addr, peer_addr, ecn: None, transport_protocol };
                    let _ = connection.handle_read(TaggedBytesMut { now: Instant::now(), transport, message });
                }
                () = tokio::time::sleep_until(timer.into()) => {}
            }
            let now = Instant::now();
            if now >= timer {
                let _ = connection.handle_timeout(now);
            }
        }
    }
}

/// RFC 7983.
fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (20..64).contains(first))
}

fn is_video(datagram: &[u8]) -> bool {
    datagram.len() > 12 && (128..192).contains(&datagram[0]) && datagram[1] & 0x7f == H264
}

/// Where the answer says that the gateway is.
fn candidate(answer: &str) -> SocketAddr {
    let line = answer.lines().find(|line| line.starts_with("a=candidate:") && line.contains(" typ host"));
    let words: Vec<_> = line.expect("a host candidate").split(' ').collect();
    format!("{}:{}", words[4], words[5]).parse().expect("an address of IPv4")
}

/// How datagrams travel.
enum Way {
    Udp(UdpSocket, Vec<u8>),
    /// Over a connection that the viewer opens (RFC 6544), each behind its length (RFC 4571). The socket keeps the port that the
    /// offer names, where nobody listens.
    Tcp(Framed<TcpStream, LengthDelimitedCodec>, SocketAddr, #[allow(dead_code)] UdpSocket),
}

impl Way {
    async fn open(socket: UdpSocket, gateway: SocketAddr, tcp: bool) -> Self {
        if !tcp {
            return Self::Udp(socket, vec![0; 2_048]);
        }
        let dialling = TcpSocket::new_v4().expect("a TCP socket");
        dialling.bind(SocketAddr::new(socket.local_addr().expect("it is bound").ip(), 0)).expect("a free port");
        let stream = dialling.connect(gateway).await.expect("the port takes TCP");
        let codec = LengthDelimitedCodec::builder().length_field_length(2).new_codec();
        Self::Tcp(Framed::new(stream, codec), gateway, socket)
    }

    async fn send(&mut self, datagram: &[u8], to: SocketAddr) {
        match self {
            // What is lost is repeated.
            Self::Udp(socket, _) => drop(socket.send_to(datagram, to).await),
            Self::Tcp(stream, gateway, _) if to == *gateway => {
                drop(stream.send(Bytes::copy_from_slice(datagram)).await);
            }
            Self::Tcp(..) => {}
        }
    }

    /// # Cancel safety
    /// Nothing is lost.
    async fn receive(&mut self) -> (SocketAddr, BytesMut) {
        match self {
            Self::Udp(socket, buffer) => loop {
                // An ICMP of before is no datagram.
                if let Ok((length, from)) = socket.recv_from(buffer).await {
                    return (from, BytesMut::from(&buffer[..length]));
                }
            },
            Self::Tcp(stream, gateway, _) => match stream.next().await {
                Some(Ok(frame)) => (*gateway, frame),
                _ => std::future::pending().await,
            },
        }
    }
}

fn connection(local: SocketAddr) -> RTCPeerConnection {
    let mut media = MediaEngine::default();
    let fmtp = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let rtp_codec = RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: fmtp.to_owned(),
        rtcp_feedback: Vec::new(),
    };
    let codec = RTCRtpCodecParameters { rtp_codec, payload_type: H264 };
    media.register_codec(codec, RtpCodecKind::Video).expect("a codec of ours");
    let settings = SettingEngineBuilder::new()
        .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(true)
        .with_ice_connection_attempts(Some(CHECKS), Some(MOST_CHECKS))
        .build();
    let builder = RTCPeerConnectionBuilder::new().with_setting_engine(settings).with_media_engine(media);
    let mut connection = builder.build(Instant::now()).expect("a peer connection");
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
