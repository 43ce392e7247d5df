//! A native WHEP viewer on the `webrtc` crate, for what a browser is too slow or too polite for.

pub mod h264;
mod link;
pub mod track;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::watch;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    configure_nack, configure_rtcp_reports,
};

use super::wait;
use h264::NalTypes;
use link::{Link, LinkRuntime};
use track::{Packet, TrackLog};

/// Local work without a network: gathering on one address, closing.
const LOCAL_LIMIT: Duration = Duration::from_secs(5);
/// For the POST; the gateway may wait for the camera's start deadline.
const POST_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Video,
    Audio,
}

/// A WHEP POST that was not answered with 201.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: String,
}

/// What a viewer offers. Defaults to what Chromium does: H.264 with four profiles, Opus, G.711.
#[derive(Clone)]
pub struct Builder {
    url: String,
    video: bool,
    audio: bool,
    profiles: Vec<String>,
    repair: bool,
    sha1_only: bool,
    bind: String,
    tcp: bool,
    authorization: Option<String>,
    keep_payloads: bool,
}

impl Builder {
    pub fn video(mut self, wanted: bool) -> Self {
        self.video = wanted;
        self
    }

    pub fn audio(mut self, wanted: bool) -> Self {
        self.audio = wanted;
        self
    }

    /// The `profile-level-id`s to offer, such as `42e01f`, all with packetization-mode=1.
    pub fn h264_profiles(mut self, ids: &[&str]) -> Self {
        self.profiles = ids.iter().map(|&id| id.to_owned()).collect();
        self
    }

    /// Whether lost packets are asked for again (default). Without it [`TrackLog::missing`] shows
    /// what was lost on the way.
    pub fn repair(mut self, on: bool) -> Self {
        self.repair = on;
        self
    }

    /// Whether SRTP knows AES-CM-HMAC-SHA1 only, as GStreamer 1.22's does (default: AES-GCM too).
    pub fn sha1_only(mut self, only: bool) -> Self {
        self.sha1_only = only;
        self
    }

    /// Whether media comes over TCP, as for a viewer whose network lets no UDP through (default: UDP).
    pub fn tcp(mut self, only: bool) -> Self {
        self.tcp = only;
        self
    }

    /// Keeps what is in the packets, for [`TrackLog::pictures`].
    pub fn keep_payloads(mut self) -> Self {
        self.keep_payloads = true;
        self
    }

    /// The address to receive on (default `127.0.0.1:0`).
    pub fn bind(mut self, address: &str) -> Self {
        self.bind = address.into();
        self
    }

    /// Sends a name and a password with each request.
    pub fn basic_auth(mut self, name: &str, password: &str) -> Self {
        self.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))));
        self
    }

    /// Sends a token with each request.
    pub fn bearer(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    pub async fn join(self) -> Viewer {
        let url = self.url.clone();
        self.try_join().await.unwrap_or_else(|refusal| panic!("POST {url}: {refusal:?}"))
    }

    /// Offers and takes the answer; does not wait for the connection.
    pub async fn try_join(self) -> Result<Viewer, Refusal> {
        let shared = Arc::new(Shared { keep_payloads: self.keep_payloads, ..Shared::default() });
        let link = Arc::new(Link::default());
        let pc = self.connection(&shared, &link).await;
        let offer = pc.create_offer(None).await.expect("an offer");
        let mut gathering = shared.gathered.subscribe();
        pc.set_local_description(offer).await.expect("the offer is ours");
        tokio::time::timeout(LOCAL_LIMIT, gathering.wait_for(|done| *done))
            .await
            .expect("candidates are gathered at once")
            .expect("the sender lives as long");
        let offer = pc.local_description().await.expect("just set").sdp;

        let login = self.authorization.iter();
        let login = login.map(|value| (AUTHORIZATION, HeaderValue::try_from(value).expect("a header")));
        let http = reqwest::Client::builder().no_proxy().timeout(POST_LIMIT).default_headers(login.collect());
        let http = http.build().expect("an HTTP client");
        let posted_at = Instant::now();
        let response = http
            .post(&self.url)
            .header("content-type", "application/sdp")
            .body(offer.clone())
            .send()
            .await
            .unwrap_or_else(|error| panic!("POST {}: {error}", self.url));
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let (location, retry_after) = (header("location"), header("retry-after"));
        let headers = response.headers().clone();
        let answer = response.text().await.unwrap_or_default();
        let answered_at = Instant::now();
        if status != 201 {
            let _ = pc.close().await;
            return Err(Refusal { status, retry_after, body: answer });
        }
        let location = location.expect("a 201 has a Location");
        let resource = reqwest::Url::parse(&self.url)
            .and_then(|base| base.join(&location))
            .unwrap_or_else(|error| panic!("Location {location:?}: {error}"));
        let description = RTCSessionDescription::answer(answer.clone())
            .unwrap_or_else(|error| panic!("{error}: the answer is no SDP:\n{answer}"));
        pc.set_remote_description(description)
            .await
            .unwrap_or_else(|error| panic!("{error}: the answer does not fit:\n{answer}\nto the offer:\n{offer}"));
        // The crate opens TCP connections to candidates that come one by one only, not to those of an answer.
        let passive = answer.lines().filter(|line| line.contains(" 1 tcp ") && line.ends_with("tcptype passive"));
        for line in passive.filter(|_| self.tcp) {
            let candidate = line.trim_start_matches("a=").to_owned();
            let candidate = RTCIceCandidateInit { candidate, sdp_mid: Some("0".into()), ..Default::default() };
            pc.add_ice_candidate(candidate).await.expect("a candidate of the answer");
        }
        Ok(Viewer { pc, shared, link, http, resource: resource.into(), headers, offer, answer, posted_at, answered_at })
    }

    async fn connection(&self, shared: &Arc<Shared>, link: &Arc<Link>) -> Arc<dyn PeerConnection> {
        let mut media = MediaEngine::default();
        for (codec, kind) in self.codecs() {
            media.register_codec(codec, kind).expect("a codec of ours");
        }
        let mut interceptors = configure_rtcp_reports(Registry::new());
        if self.repair {
            interceptors = configure_nack(interceptors, &mut media);
        }
        let mut profiles = vec![SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80];
        if !self.sha1_only {
            profiles.push(SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm);
        }
        let settings = SettingEngineBuilder::new()
            .with_srtp_protection_profiles(profiles)
            .with_include_loopback_candidate(true)
            // The default opens a multicast socket, which fails where there is no multicast route.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        // Explicit: a wildcard address skips the loopback.
        let addresses = vec![self.bind.clone()];
        let (udp, tcp) = if self.tcp { (Vec::new(), addresses) } else { (addresses, Vec::new()) };
        let pc = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(Handler(shared.clone())))
            .with_runtime(Arc::new(LinkRuntime(link.clone())))
            .with_udp_addrs(udp)
            .with_tcp_addrs(tcp)
            .build()
            .await
            .expect("a peer connection");
        let wanted = [(self.video, RtpCodecKind::Video), (self.audio, RtpCodecKind::Audio)];
        for (_, kind) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: Vec::new(),
                send_encodings: Vec::new(),
            };
            pc.add_transceiver_from_kind(kind, Some(init)).await.expect("a recvonly transceiver");
        }
        Arc::new(pc)
    }

    fn codecs(&self) -> Vec<(RTCRtpCodecParameters, RtpCodecKind)> {
        let mut codecs = Vec::new();
        for (index, profile) in self.profiles.iter().enumerate() {
            let payload_type = 102 + 2 * index as u8;
            let fmtp = format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}");
            let feedback = [("nack", ""), ("nack", "pli"), ("ccm", "fir")];
            let main = codec("video/H264", 90_000, 0, &fmtp, &feedback, payload_type);
            codecs.push((main, RtpCodecKind::Video));
            // Without rtx the sender has nothing to answer a NACK with.
            let apt = format!("apt={payload_type}");
            let rtx = codec("video/rtx", 90_000, 0, &apt, &[], payload_type + 1);
            codecs.push((rtx, RtpCodecKind::Video));
        }
        let opus = "minptime=10;useinbandfec=1";
        for audio in [
            codec("audio/opus", 48_000, 2, opus, &[], 111),
            codec("audio/PCMU", 8_000, 1, "", &[], 0),
            codec("audio/PCMA", 8_000, 1, "", &[], 8),
        ] {
            codecs.push((audio, RtpCodecKind::Audio));
        }
        codecs
    }
}

fn codec(
    mime_type: &str,
    clock_rate: u32,
    channels: u16,
    fmtp: &str,
    feedback: &[(&str, &str)],
    payload_type: u8,
) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime_type.into(),
            clock_rate,
            channels,
            sdp_fmtp_line: fmtp.into(),
            rtcp_feedback: feedback
                .iter()
                .map(|&(kind, parameter)| RTCPFeedback { typ: kind.into(), parameter: parameter.into() })
                .collect(),
        },
        payload_type,
    }
}

/// What a description says of ICE, as a fragment of the first section (RFC 8840 section 9).
pub fn fragment(sdp: &str) -> String {
    let first = sdp.splitn(3, "\nm=").take(2).collect::<Vec<_>>().join("\nm=");
    let names =
        ["a=group:", "a=ice-options:", "m=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of"];
    let kept = first.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    kept.map(|line| format!("{}\r\n", line.trim_end())).collect()
}

/// What the connection's task tells the test.
struct Shared {
    keep_payloads: bool,
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
    connected_at: Mutex<Option<Instant>>,
    video: Mutex<TrackLog>,
    audio: Mutex<TrackLog>,
    video_track: Mutex<Option<(Arc<dyn TrackRemote>, u32)>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            keep_payloads: false,
            gathered: watch::Sender::new(false),
            state: watch::Sender::new(RTCPeerConnectionState::New),
            connected_at: Mutex::default(),
            video: Mutex::default(),
            audio: Mutex::default(),
            video_track: Mutex::default(),
        }
    }
}

struct Handler(Arc<Shared>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            let mut at = self.0.connected_at.lock().unwrap();
            at.get_or_insert_with(Instant::now);
        }
        self.0.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        // Own task: callbacks run on the connection's driver and must not wait.
        tokio::spawn(record(self.0.clone(), track));
    }
}

async fn record(shared: Arc<Shared>, track: Arc<dyn TrackRemote>) {
    let is_video = track.kind().await == RtpCodecKind::Video;
    let log = if is_video { &shared.video } else { &shared.audio };
    if let Some(&ssrc) = track.ssrcs().await.first() {
        if let Some(codec) = track.codec(ssrc).await {
            let mut log = log.lock().unwrap();
            log.mime_type = codec.mime_type;
            log.fmtp = codec.sdp_fmtp_line;
        }
        if is_video {
            *shared.video_track.lock().unwrap() = Some((track.clone(), ssrc));
        }
    }
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else {
            continue;
        };
        let nals = if is_video { NalTypes::of(&packet.payload) } else { NalTypes::default() };
        let arrived = Packet {
            at: Instant::now(),
            ssrc: packet.header.ssrc,
            payload_type: packet.header.payload_type,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload_len: packet.payload.len(),
            nals,
        };
        let payload = shared.keep_payloads.then(|| packet.payload.clone());
        log.lock().unwrap().record(arrived, payload);
    }
    shared.video_track.lock().unwrap().take();
}

/// A viewer that joined. Dropped without [`close`](Self::close), it vanishes.
pub struct Viewer {
    pc: Arc<dyn PeerConnection>,
    shared: Arc<Shared>,
    link: Arc<Link>,
    http: reqwest::Client,
    resource: String,
    headers: reqwest::header::HeaderMap,
    offer: String,
    answer: String,
    posted_at: Instant,
    answered_at: Instant,
}

impl Viewer {
    pub fn builder(whep_url: impl Into<String>) -> Builder {
        Builder {
            url: whep_url.into(),
            video: true,
            audio: true,
            profiles: ["42e01f", "42001f", "4d001f", "f4001f"].map(String::from).into(),
            repair: true,
            sha1_only: false,
            bind: "127.0.0.1:0".into(),
            tcp: false,
            authorization: None,
            keep_payloads: false,
        }
    }

    /// Joins with the defaults.
    pub async fn join(whep_url: impl Into<String>) -> Self {
        Self::builder(whep_url).join().await
    }

    pub fn offer(&self) -> &str {
        &self.offer
    }

    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// The session resource of the `Location` header, absolute.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The first header of this name in the 201, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// All headers of this name in the 201.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// Begins an ICE restart; the fragment that tells of it (RFC 8840).
    pub async fn begin_restart(&self) -> String {
        self.pc.restart_ice().await.expect("not closed");
        let offer = self.pc.create_offer(None).await.expect("an offer");
        self.pc.set_local_description(offer).await.expect("the offer is ours");
        let offer = self.pc.local_description().await.expect("just set").sdp;
        fragment(&offer)
    }

    /// Takes the gateway's fragment as the answer to the restart.
    pub async fn finish_restart(&self, fragment: &str) {
        let ice =
            |line: &&str| ["a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"].iter().any(|name| line.starts_with(name));
        let news: Vec<_> = fragment.lines().filter(ice).collect();
        let mut answer = String::new();
        for line in self.answer.lines().filter(|line| !ice(line)) {
            answer += &format!("{line}\r\n");
            if line.starts_with("a=mid:") {
                news.iter().for_each(|line| answer += &format!("{line}\r\n"));
            }
        }
        let description = RTCSessionDescription::answer(answer.clone()).expect("SDP");
        let taken = self.pc.set_remote_description(description).await;
        taken.unwrap_or_else(|error| panic!("{error}: the answer to the restart does not fit:\n{answer}"));
    }

    pub fn posted_at(&self) -> Instant {
        self.posted_at
    }

    pub fn answered_at(&self) -> Instant {
        self.answered_at
    }

    pub fn connected_at(&self) -> Option<Instant> {
        *self.shared.connected_at.lock().unwrap()
    }

    pub fn state(&self) -> RTCPeerConnectionState {
        *self.shared.state.borrow()
    }

    /// From the POST to the last packet of the first keyframe.
    pub fn time_to_keyframe(&self) -> Option<Duration> {
        let at = self.with(Kind::Video, TrackLog::first_keyframe_at)?;
        Some(at - self.posted_at)
    }

    /// From the POST to the first video packet.
    pub fn time_to_packet(&self) -> Option<Duration> {
        let at = self.with(Kind::Video, TrackLog::first_packet_at)?;
        Some(at - self.posted_at)
    }

    /// Looks at a track's log without copying it.
    pub fn with<T>(&self, kind: Kind, look: impl FnOnce(&TrackLog) -> T) -> T {
        let log = match kind {
            Kind::Video => &self.shared.video,
            Kind::Audio => &self.shared.audio,
        };
        look(&log.lock().unwrap())
    }

    /// A copy of everything that came on the video track.
    pub fn video(&self) -> TrackLog {
        self.with(Kind::Video, TrackLog::clone)
    }

    pub fn audio(&self) -> TrackLog {
        self.with(Kind::Audio, TrackLog::clone)
    }

    pub fn packets(&self, kind: Kind) -> u64 {
        self.with(kind, |log| log.packets_total)
    }

    fn summary(&self) -> String {
        format!(
            "{:?}, {} video packets with {} keyframes, {} audio packets; the answer was\n{}",
            self.state(),
            self.packets(Kind::Video),
            self.with(Kind::Video, |log| log.keyframes().len()),
            self.packets(Kind::Audio),
            self.answer
        )
    }

    async fn wait(&self, what: &str, limit: Duration, met: impl Fn(&Self) -> bool) {
        let end = Instant::now() + limit;
        while !met(self) {
            let late = Instant::now() >= end;
            assert!(!late, "not within {limit:?}: {what}; {}", self.summary());
            tokio::time::sleep(wait::POLL).await;
        }
    }

    pub async fn wait_state(&self, state: RTCPeerConnectionState, limit: Duration) {
        let what = format!("the viewer is {state:?}");
        self.wait(&what, limit, |it| it.state() == state).await;
    }

    pub async fn wait_connected(&self, limit: Duration) {
        self.wait_state(RTCPeerConnectionState::Connected, limit).await;
    }

    /// Waits until the connection is disconnected, failed or closed.
    pub async fn wait_gone(&self, limit: Duration) {
        use RTCPeerConnectionState::{Closed, Disconnected, Failed};
        let gone = [Closed, Disconnected, Failed];
        self.wait("the viewer's connection is gone", limit, |it| gone.contains(&it.state())).await;
    }

    /// Waits until so many packets came since the viewer joined.
    pub async fn wait_packets(&self, kind: Kind, count: u64, limit: Duration) {
        let what = format!("{count} {kind:?} packets");
        self.wait(&what, limit, |it| it.packets(kind) >= count).await;
    }

    /// Waits for so many packets more than there are now.
    pub async fn wait_more(&self, kind: Kind, count: u64, limit: Duration) {
        self.wait_packets(kind, self.packets(kind) + count, limit).await;
    }

    /// Waits until so many keyframes came since the viewer joined.
    pub async fn wait_keyframes(&self, count: usize, limit: Duration) {
        let what = format!("{count} keyframes");
        let seen = |it: &Self| it.with(Kind::Video, |log| log.keyframes().len());
        self.wait(&what, limit, |it| seen(it) >= count).await;
    }

    /// Sends a Picture Loss Indication for the video track; panics before that has a packet.
    pub async fn send_pli(&self) {
        let track = self.shared.video_track.lock().unwrap().clone();
        let (track, media_ssrc) = track.expect("a video track");
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc };
        track.write_rtcp(vec![Box::new(request)]).await.expect("the connection is open");
    }

    /// Loses each n-th large media packet from now on, before the connection sees it; 0 ends it.
    pub fn lose_every(&self, n: u64) {
        self.link.lose_every.store(n, Ordering::Relaxed);
    }

    /// How many packets were lost that way.
    pub fn lost(&self) -> u64 {
        self.link.lost.load(Ordering::Relaxed)
    }

    /// Pulls the network cable, or puts it back.
    pub fn unplug(&self, out: bool) {
        self.link.dead.store(out, Ordering::Relaxed);
    }

    /// DELETEs the session and closes; returns the status of the DELETE.
    pub async fn close(self) -> u16 {
        let response = self.http.delete(&self.resource).send().await;
        let response = response.unwrap_or_else(|error| panic!("DELETE {}: {error}", self.resource));
        let status = response.status().as_u16();
        self.hang_up().await;
        status
    }

    /// Closes the connection (DTLS close_notify) without a DELETE, as a closed tab does.
    pub async fn hang_up(self) {
        let _ = tokio::time::timeout(LOCAL_LIMIT, self.pc.close()).await;
        // close() hands the alert to the driver's task: let it send before the socket goes deaf.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// Is gone as after a power cut: no DELETE, no DTLS close_notify. The socket is closed, so the
    /// gateway's kernel may learn of it by ICMP.
    pub async fn vanish(self) {
        self.unplug(true);
        let _ = tokio::time::timeout(LOCAL_LIMIT, self.pc.close()).await;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.unplug(true);
        let pc = self.pc.clone();
        // The driver's task would go on for ever with nobody to close it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { pc.close().await });
        }
    }
}
