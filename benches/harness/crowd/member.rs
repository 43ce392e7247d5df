//! One viewer of the crowd.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_RTX, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::feedback::{EXTENSIONS, Feedback};
use super::{Offer, Protection, Tally};

/// Payload types of the offer: H.264 and its retransmissions.
const H264: u8 = 102;
const RTX: u8 = 103;
/// The gateway's datagrams are smaller.
const MAX_DATAGRAM: usize = 2_048;
/// Asked of the kernel for each viewer: some keyframes, because a crowd of 400 may be late.
const BUFFER: usize = 1 << 20;
/// Longest wait for the connection's next timer.
const MAX_SLEEP: Duration = Duration::from_millis(500);

/// Whether a datagram is the video: RTP (RFC 7983), not RTCP (RFC 5761), of the main payload type.
fn is_video(datagram: &[u8]) -> bool {
    datagram.len() > 12 && (128..192).contains(&datagram[0]) && datagram[1] & 0x7f == H264
}

/// A socket that counts what comes, for the floor.
pub async fn listen() -> (Arc<Mutex<Tally>>, SocketAddr) {
    let socket = bind(Ipv4Addr::LOCALHOST.into()).await;
    let address = socket.local_addr().expect("it is bound");
    let tally = Arc::new(Mutex::new(Tally::default()));
    let shared = tally.clone();
    tokio::spawn(async move {
        let mut buffer = Buffer::new();
        while socket.readable().await.is_ok() {
            drain(&socket, &mut buffer, &shared, None, |_, _| {});
        }
    });
    (tally, address)
}

async fn bind(address: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).await.expect("a UDP socket");
    // Fewer bytes than asked for are no failure.
    let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER);
    setsockopt(&socket, ReceiveTimestampns, &true).expect("Linux");
    socket
}

/// The address of this machine that leads to a URL.
async fn address_towards(whep: &reqwest::Url) -> IpAddr {
    let host = whep.host_str().expect("a WHEP URL has a host").trim_matches(['[', ']']);
    let probe = UdpSocket::bind("0.0.0.0:0").await.expect("a UDP socket");
    probe.connect((host, 9)).await.unwrap_or_else(|error| panic!("{host}: {error}"));
    probe.local_addr().expect("it is connected").ip()
}

/// A viewer that has an answer.
pub struct Joined {
    pub tally: Arc<Mutex<Tally>>,
    /// The session's URL.
    pub resource: reqwest::Url,
    pub port: u16,
}

/// Offers to `whep`, takes the answer, and leaves the rest to a task.
pub async fn join(http: &reqwest::Client, whep: &str, terms: Offer) -> Joined {
    let url = reqwest::Url::parse(whep).expect("a URL");
    let socket = bind(address_towards(&url).await).await;
    let local = socket.local_addr().expect("it is bound");
    let mut connection = connection(local, terms);
    let offer = connection.create_offer(None).expect("an offer");
    connection.set_local_description(Instant::now(), offer).expect("the offer is ours");
    let offer = connection.local_description().expect("just set").sdp;
    let request = http.post(whep).header("content-type", "application/sdp").body(offer);
    let response = request.send().await.unwrap_or_else(|error| panic!("POST {whep}: {error}"));
    let (status, headers) = (response.status(), response.headers().clone());
    let answer = response.text().await.unwrap_or_default();
    assert_eq!(status.as_u16(), 201, "POST {whep}: {answer}");
    let location = headers.get("location").and_then(|value| value.to_str().ok()).expect("a 201 has a Location");
    let resource = url.join(location).expect("a URL");
    let feedback = Feedback::answered(&answer);
    let answer = RTCSessionDescription::answer(answer).expect("SDP");
    connection.set_remote_description(Instant::now(), answer).expect("the answer fits the offer");
    let tally = Arc::new(Mutex::new(Tally::default()));
    tokio::spawn(drive(connection, socket, local, tally.clone(), feedback));
    Joined { tally, resource, port: local.port() }
}

fn connection(local: SocketAddr, terms: Offer) -> RTCPeerConnection {
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
            rtcp_feedback: match terms.extensions {
                true => vec![feedback("nack", ""), feedback("nack", "pli"), feedback("transport-cc", "")],
                false => vec![feedback("nack", ""), feedback("nack", "pli")],
            },
        };
        let codec = RTCRtpCodecParameters { rtp_codec, payload_type };
        media.register_codec(codec, RtpCodecKind::Video).expect("a codec of ours");
    }
    for uri in EXTENSIONS.into_iter().filter(|_| terms.extensions) {
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
        media.register_header_extension(extension, RtpCodecKind::Video, None).expect("room for an extension");
    }
    let profile = match terms.protection {
        Protection::Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Protection::Cm => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    };
    let settings = SettingEngineBuilder::new()
        .with_srtp_protection_profiles(vec![profile])
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
async fn drive(
    mut connection: RTCPeerConnection,
    socket: UdpSocket,
    local_addr: SocketAddr,
    tally: Arc<Mutex<Tally>>,
    mut feedback: Option<Feedback>,
) {
    let mut buffer = Buffer::new();
    loop {
        while let Some(out) = connection.poll_write() {
            // A full socket buffer loses it, as a network does.
            let _ = socket.try_send_to(&out.message, out.transport.peer_addr);
        }
        while connection.poll_event().is_some() {}
        while connection.poll_read().is_some() {}
        let now = Instant::now();
        let timer = connection.poll_timeout().unwrap_or(now + MAX_SLEEP).clamp(now, now + MAX_SLEEP);
        let wake = feedback.as_ref().map_or(timer, |feedback| feedback.due.min(timer));
        tokio::select! {
            readable = socket.readable() => {
                if readable.is_err() {
                    return;
                }
                drain(&socket, &mut buffer, &tally, feedback.as_mut(), |peer_addr, datagram| {
                    let transport =
                        TransportContext { local_addr, peer_addr, ecn: None, transport_protocol: TransportProtocol::UDP };
                    let message = BytesMut::from(datagram);
                    let _ = connection.handle_read(TaggedBytesMut { now: Instant::now(), transport, message });
                });
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        let now = Instant::now();
        if now >= timer {
            let _ = connection.handle_timeout(now);
        }
        if let Some(feedback) = feedback.as_mut().filter(|feedback| now >= feedback.due) {
            let packets = feedback.take(now);
            let receiver = connection.get_receivers().next();
            if let (false, Some(mut receiver)) =
                (packets.is_empty(), receiver.and_then(|id| connection.rtp_receiver(id)))
            {
                receiver.write_rtcp(now, packets).expect("the way is open: media came");
                tally.lock().unwrap().feedbacks += 1;
            }
        }
    }
}

/// Room for one datagram, and for when it came.
struct Buffer {
    bytes: [u8; MAX_DATAGRAM],
    control: Vec<u8>,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: [0; MAX_DATAGRAM], control: cmsg_space!(TimeSpec) }
    }

    /// The next datagram's length, its sender, and when the kernel took it in: on the loopback interface that is while the
    /// sender still sends it.
    fn read(&mut self, socket: &UdpSocket) -> std::io::Result<(usize, SocketAddr, Duration)> {
        let mut slices = [IoSliceMut::new(&mut self.bytes)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut self.control), flags)?;
        let at = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        let from = message.address.and_then(|address| address.as_sockaddr_in().copied());
        let from = from.map(|address| SocketAddr::new(address.ip().into(), address.port()));
        let from = from.expect("the sockets are for IPv4");
        Ok((message.bytes, from, at.expect("timestamps are switched on")))
    }
}

/// Reads all there is: video is counted, the rest is handed to `other`.
fn drain(
    socket: &UdpSocket,
    buffer: &mut Buffer,
    tally: &Mutex<Tally>,
    mut feedback: Option<&mut Feedback>,
    mut other: impl FnMut(SocketAddr, &[u8]),
) {
    let mut tally = tally.lock().unwrap();
    while let Ok((length, from, at)) = socket.try_io(Interest::READABLE, || buffer.read(socket)) {
        let datagram = &buffer.bytes[..length];
        if !is_video(datagram) {
            other(from, datagram);
            continue;
        }
        tally.note(datagram, at);
        if let Some(feedback) = &mut feedback {
            feedback.note(datagram, at);
        }
    }
}
