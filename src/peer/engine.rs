//! Sets up webrtc-rs for one session: exactly the chosen codecs, the given credentials.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rtc::{
    crypto::{self, RTCCryptoProvider, SignatureScheme},
    dtls::extension::extension_use_srtp::SrtpProtectionProfile,
    ice::{self, mdns::MulticastDnsMode, tcp_type::TcpType},
    media_stream::MediaStreamTrack,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        certificate::{CertificateParams, RTCCertificate},
        configuration::{
            RTCConfigurationBuilder,
            media_engine::{MIME_TYPE_H264, MIME_TYPE_RTX, MediaEngine},
            setting_engine::{SctpMaxMessageSize, SettingEngineBuilder},
        },
        sdp::RTCSessionDescription,
        transport::{
            CandidateConfig, CandidateHostConfig, CandidateServerReflexiveConfig, RTCDtlsRole, RTCIceCandidate,
        },
    },
    rtp_transceiver::rtp_sender::{
        RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
        RTCRtpRtxParameters, RtpCodecKind,
    },
    shared::error::Error,
};

use super::{
    Candidate, IceMode, Origin, Playout, Role,
    channel::MAX_PIECE,
    negotiation::{Choice, Codec, Frame, TRANSPORT_CC_FEEDBACK},
    session::Terms,
    transport::Transport,
};
use crate::media::AudioCodec;

/// What a viewer may have sent on its data channel and not been answered to, in bytes.
const RECEIVE_BUFFER: u32 = 64 << 10;

/// How SRTP protects a session's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// AEAD_AES_128_GCM (RFC 7714).
    Gcm,
    /// AES128_CM_HMAC_SHA1_80 (RFC 5764).
    CmHmacSha1,
}

/// What all sessions share.
#[derive(Clone)]
pub(super) struct Engine {
    provider: Arc<dyn RTCCryptoProvider>,
    certificate: RTCCertificate,
}

impl Engine {
    /// Randomness and ciphers.
    pub(super) fn provider(&self) -> Arc<dyn RTCCryptoProvider> {
        self.provider.clone()
    }

    /// Makes the certificate of this run of the program.
    ///
    /// # Errors
    /// When the system has no randomness to make a key of.
    pub(super) fn new() -> Result<Self, Error> {
        let other = |e: &dyn std::fmt::Display| Error::Other(e.to_string());
        let provider = crypto::default_provider().map_err(|e| other(&e))?;
        let params = CertificateParams::new(vec!["camgate".to_owned()]).map_err(|e| other(&e))?;
        let certificate = RTCCertificate::generate(provider.crypto(), SignatureScheme::EcdsaP256Sha256, params)?;
        Ok(Self { provider, certificate })
    }
}

/// Everything that makes a session what it is towards its viewer; the same blueprint twice makes the same session.
#[derive(Clone)]
pub(super) struct Blueprint {
    /// Without the viewer's candidates.
    pub(super) offer: String,
    /// Of the other side.
    pub(super) role: Role,
    pub(super) choice: Choice,
    pub(super) frame: Frame,
    pub(super) ice: IceMode,
    pub(super) playout: Playout,
    /// Credentials of both sides and candidates, up to the first restart.
    pub(super) terms: Terms,
    pub(super) stream_id: String,
    /// No two of the three are the same.
    pub(super) video_ssrc: u32,
    pub(super) rtx_ssrc: u32,
    pub(super) audio_ssrc: u32,
}

/// A connection that has answered `blueprint.offer`, and its answer. `provider` does its cryptography. It hears and says nothing before
/// `session::tunnel` has been opened.
///
/// # Errors
/// What webrtc-rs finds wrong with the offer.
pub(super) fn build(
    engine: &Engine,
    blueprint: &Blueprint,
    protection: Protection,
    provider: Arc<dyn RTCCryptoProvider>,
    now: Instant,
) -> Result<(RTCPeerConnection, String), Error> {
    let (choice, ours) = (&blueprint.choice, &blueprint.terms.ours);
    let mut media = MediaEngine::default();
    if let Some(video) = &choice.video {
        media.register_codec(video_parameters(blueprint, video), RtpCodecKind::Video)?;
        if let Some(payload_type) = choice.rtx {
            media.register_codec(rtx(payload_type, video.payload_type), RtpCodecKind::Video)?;
        }
    }
    if let Some((audio, codec)) = &choice.audio {
        media.register_codec(audio_parameters(choice, audio, *codec), RtpCodecKind::Audio)?;
    }
    let profile = match protection {
        Protection::Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Protection::CmHmacSha1 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    };
    let settings = SettingEngineBuilder::new()
        .with_lite(blueprint.ice == IceMode::Lite)
        // The answer says passive: a ClientHello of ours would be lost until ICE has a pair, and is repeated only after
        // 150 ms (Chromium connects 55 to 70 ms after the answer this way, 200 ms the other).
        .with_answering_dtls_role(RTCDtlsRole::Server)
        // Would open a multicast socket per session and fail where there is no multicast route.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(true)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_PIECE as u32))
        .with_sctp_max_receive_buffer_size(RECEIVE_BUFFER)
        .with_srtp_protection_profiles(vec![profile])
        .with_crypto_provider(provider)
        // The viewer is watched by `session::ice`, beside the connection.
        .with_ice_timeouts(Some(Duration::ZERO), Some(Duration::ZERO), Some(Duration::ZERO))
        .with_ice_credentials(ours.ufrag.clone(), ours.pwd.clone())
        .build();
    let configuration = RTCConfigurationBuilder::new().with_certificates(vec![engine.certificate.clone()]).build();
    let mut connection = RTCPeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings)
        .with_media_engine(media)
        .build(now)?;
    // To a publisher nothing is sent.
    let is_sent = blueprint.role == Role::Viewer;
    if let Some(video) = choice.video.as_ref().filter(|_| is_sent) {
        let rtx = choice.rtx.map(|_| RTCRtpRtxParameters { ssrc: blueprint.rtx_ssrc });
        let codec = video_parameters(blueprint, video).rtp_codec;
        connection.add_track(track(blueprint, RtpCodecKind::Video, blueprint.video_ssrc, rtx, codec))?;
    }
    if let Some((audio, codec)) = choice.audio.as_ref().filter(|_| is_sent) {
        let codec = audio_parameters(choice, audio, *codec).rtp_codec;
        connection.add_track(track(blueprint, RtpCodecKind::Audio, blueprint.audio_ssrc, None, codec))?;
    }
    connection.set_remote_description(now, RTCSessionDescription::offer(blueprint.offer.clone())?)?;
    for candidate in local_candidates(&blueprint.terms.offered)? {
        connection.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
    }
    let answer = connection.create_answer(None)?;
    connection.set_local_description(now, answer)?;
    let answer = connection.local_description().map(|description| description.sdp).unwrap_or_default();
    let answer = blueprint.frame.complete(&answer)?;
    Ok((connection, answer))
}

/// Our candidates as webrtc-rs knows them: each of them on UDP and then, for whom nothing else gets through, on TCP. What a
/// router maps to one of ours stands behind that one, by whose address `rtc` is to know it.
pub(super) fn local_candidates(offered: &[Candidate]) -> Result<Vec<ice::candidate::Candidate>, Error> {
    let own = |candidate: &&Candidate| !matches!(candidate.origin, Origin::Reflexive { .. });
    let udp = offered.iter().map(|candidate| match candidate.origin {
        Origin::Reflexive { base, .. } => reflexive_candidate(candidate.address, base),
        _ => host_candidate(candidate.address, Transport::Udp),
    });
    let tcp = offered.iter().filter(own).map(|candidate| host_candidate(candidate.address, Transport::Tcp));
    udp.chain(tcp).collect()
}

/// `address` as a host candidate (RFC 8445 section 5.1.1.1). On TCP it is passive (RFC 6544 section 4.5): browsers listen on
/// no TCP port, so that they have to open the connection.
pub(super) fn host_candidate(address: SocketAddr, transport: Transport) -> Result<ice::candidate::Candidate, Error> {
    let tcp_type = match transport {
        Transport::Udp => TcpType::Unspecified,
        Transport::Tcp => TcpType::Passive,
    };
    CandidateHostConfig { base_config: base_config(address, transport), tcp_type }.new_candidate_host()
}

/// `address` as a server-reflexive candidate of `base` (RFC 8445 section 5.1.1.2).
fn reflexive_candidate(address: SocketAddr, base: SocketAddr) -> Result<ice::candidate::Candidate, Error> {
    let config = CandidateServerReflexiveConfig {
        base_config: base_config(address, Transport::Udp),
        rel_addr: base.ip().to_string(),
        rel_port: base.port(),
        url: None,
    };
    config.new_candidate_server_reflexive()
}

fn base_config(address: SocketAddr, transport: Transport) -> CandidateConfig {
    CandidateConfig {
        network: transport.name().to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..CandidateConfig::default()
    }
}

fn track(
    blueprint: &Blueprint,
    kind: RtpCodecKind,
    ssrc: u32,
    rtx: Option<RTCRtpRtxParameters>,
    codec: RTCRtpCodec,
) -> MediaStreamTrack {
    let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..RTCRtpCodingParameters::default() };
    let encoding =
        RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..RTCRtpEncodingParameters::default() };
    let id = format!("{}-{kind}", blueprint.stream_id);
    MediaStreamTrack::new(blueprint.stream_id.clone(), id.clone(), id, kind, vec![encoding])
}

fn video_parameters(blueprint: &Blueprint, codec: &Codec) -> RTCRtpCodecParameters {
    // The last is for receiver reference time reports (RFC 3611 section 5): see `feedback::reference_seen`.
    let repair: &[_] = match blueprint.role {
        Role::Viewer => &[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("rrtr", "")],
        Role::Publisher | Role::Talker => &[("nack", ""), ("nack", "pli")],
    };
    parameters(codec, MIME_TYPE_H264.to_owned(), repair, blueprint.choice.video_extensions.transport_cc.is_some())
}

fn audio_parameters(choice: &Choice, codec: &Codec, audio: AudioCodec) -> RTCRtpCodecParameters {
    let mime_type = format!("audio/{}", audio.encoding_name());
    parameters(codec, mime_type, &[], choice.audio_extensions.transport_cc.is_some())
}

fn parameters(
    codec: &Codec,
    mime_type: String,
    feedback: &[(&str, &str)],
    transport_cc: bool,
) -> RTCRtpCodecParameters {
    let transport_cc = transport_cc.then_some((TRANSPORT_CC_FEEDBACK, ""));
    let rtcp_feedback = feedback.iter().copied().chain(transport_cc);
    let rtp_codec = RTCRtpCodec {
        mime_type,
        clock_rate: codec.clock_rate,
        channels: codec.channels,
        sdp_fmtp_line: codec.fmtp.clone(),
        rtcp_feedback: rtcp_feedback
            .map(|(typ, parameter)| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() })
            .collect(),
    };
    RTCRtpCodecParameters { rtp_codec, payload_type: codec.payload_type }
}

fn rtx(payload_type: u8, of: u8) -> RTCRtpCodecParameters {
    let rtp_codec = RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: 90_000,
        sdp_fmtp_line: format!("apt={of}"),
        ..RTCRtpCodec::default()
    };
    RTCRtpCodecParameters { rtp_codec, payload_type }
}
