use rtc::{
    crypto::default_provider,
    rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc,
    shared::marshal::Marshal,
    srtp::{context::Context, protection_profile::ProtectionProfile},
};

use super::*;
use crate::{
    hub::{GopLimits, Published, Takeover, Tracks},
    peer::{
        SessionId, Visitor,
        engine::Protection,
        negotiation::{Codec, Extensions},
        srtp::MasterKey,
    },
};

const SSRC: u32 = 7;
const VIDEO: u8 = 102;
const RTX: u8 = 103;
const NUMBERED: u8 = 3;

/// A publisher, what is made of what it sends, and the source that takes it.
struct Line {
    sender: Context,
    reception: Reception,
    published: Published,
    camera: Arc<Camera>,
    start: Instant,
    sent: u16,
}

impl Line {
    fn new() -> Self {
        let start = Instant::now();
        let camera = Camera::new("phone".parse().expect("a name"), GopLimits { max_bytes: 0, max_age: Duration::ZERO });
        camera.intake().open(Some(Takeover::Refused));
        let publication =
            camera.intake().publish(Tracks { video: true, audio: false }, None, start).expect("nobody else");
        let published = camera.intake().read().expect("somebody publishes");
        let video = Codec {
            payload_type: VIDEO,
            encoding_name: "H264".to_owned(),
            clock_rate: 90_000,
            channels: 0,
            fmtp: String::new(),
        };
        let video_extensions = Extensions { transport_cc: Some(NUMBERED), ..Extensions::default() };
        let choice =
            Choice { video: Some(video), rtx: Some(RTX), repairs: true, video_extensions, ..Choice::default() };
        let status = SessionStatus::new(SessionId::random(), camera.name().clone(), Visitor::here());
        let mut reception = Reception::new(&choice, Arc::new(status), camera.clone(), publication, 1, start);
        let (key, provider) = (MasterKey::known(), default_provider().expect("a crypto provider"));
        let profile = ProtectionProfile::Aes128CmHmacSha1_80;
        let sender = key.context(profile, provider.crypto());
        reception.start(MediaReader::new(Protection::CmHmacSha1, &key, provider.crypto()).expect("AES-128 is known"));
        Self { sender, reception, published, camera, start, sent: 0 }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    /// A protected packet.
    fn packet(&mut self, ssrc: u32, payload_type: u8, sequence_number: u16, payload: &[u8]) -> Vec<u8> {
        let mut header = rtp::Header {
            version: 2,
            marker: true,
            payload_type,
            sequence_number,
            timestamp: u32::from(sequence_number) * 3_000,
            ssrc,
            ..rtp::Header::default()
        };
        header.set_extension(NUMBERED, self.sent.to_be_bytes().to_vec().into()).expect("it has room");
        self.sent += 1;
        let packet = rtp::Packet { header, payload: payload.to_vec().into() };
        self.sender.encrypt_rtp(&packet.marshal().expect("a packet")).expect("a key").to_vec()
    }

    fn send(&mut self, number: u16, milliseconds: u64) {
        let (packet, now) = (self.packet(SSRC, VIDEO, number, &[0x41, number as u8]), self.at(milliseconds));
        self.reception.on_rtp(&packet, now);
    }

    /// Numbers of the pictures that the source got, and what is missing before each.
    async fn taken(&mut self, count: usize) -> Vec<(u8, u32)> {
        let mut taken = Vec::new();
        for _ in 0..count {
            match self.published.next().await {
                Some(Item::Packet(packet)) => taken.push((packet.payload[1], packet.lost)),
                other => panic!("{other:?}"),
            }
        }
        taken
    }

    /// What is said by then, of one kind.
    fn said<T: rtcp::Packet + Clone + 'static>(&mut self, milliseconds: u64) -> Vec<T> {
        let now = self.at(milliseconds);
        let said = self.reception.feedback(now).into_iter().flatten();
        said.filter_map(|packet| packet.as_any().downcast_ref::<T>().cloned()).collect()
    }
}

#[tokio::test]
async fn what_is_lost_is_asked_for_and_taken_by_rtx() {
    let mut line = Line::new();
    for number in [65_534, 65_535, 2] {
        line.send(number, 0);
    }
    assert_eq!(line.taken(2).await, [(254, 0), (255, 0)]);
    let nacks = line.said::<TransportLayerNack>(20);
    let asked: Vec<_> = nacks.iter().flat_map(|nack| &nack.nacks).flat_map(|pair| pair.packet_list()).collect();
    assert_eq!((nacks[0].media_ssrc, asked), (SSRC, vec![0, 1]));
    let now = line.at(40);
    for number in [0_u16, 1] {
        let payload = [&number.to_be_bytes()[..], &[0x41, number as u8]].concat();
        let packet = line.packet(SSRC + 1, RTX, 100 + number, &payload);
        line.reception.on_rtp(&packet, now);
    }
    // A probe of the publisher's has nothing in it.
    let probe = line.packet(SSRC + 1, RTX, 102, &[]);
    line.reception.on_rtp(&probe, now);
    assert_eq!(line.taken(3).await, [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(line.camera.counters.published.nacks.total(), 2);
    assert_eq!(line.camera.counters.published.repaired.total(), 2);
}

#[tokio::test]
async fn what_does_not_come_is_told_to_the_source() {
    let mut line = Line::new();
    line.send(1, 0);
    line.send(4, 0);
    let due = line.at(600);
    assert!(line.reception.poll_timeout().is_some_and(|at| at <= due));
    line.reception.on_timeout(due);
    assert_eq!(line.taken(2).await, [(1, 0), (4, 2)]);
}

#[tokio::test]
async fn arrivals_reports_and_wishes_reach_the_publisher() {
    let mut line = Line::new();
    assert!(line.said::<PictureLossIndication>(0).is_empty(), "nobody can be asked yet");
    for number in 0..10 {
        line.send(number, u64::from(number) * 5);
    }
    line.published.request_keyframe();
    let now = line.at(60);
    let said: Vec<_> = line.reception.feedback(now).into_iter().flatten().collect();
    let pli = said.iter().find_map(|packet| packet.as_any().downcast_ref::<PictureLossIndication>());
    assert_eq!(pli.map(|pli| pli.media_ssrc), Some(SSRC));
    let arrivals = said.iter().find_map(|packet| packet.as_any().downcast_ref::<TransportLayerCc>());
    assert_eq!(arrivals.map(|report| report.packet_status_count), Some(10));
    assert!(line.said::<PictureLossIndication>(70).is_empty(), "once");
    let report = SenderReport { ssrc: SSRC, ntp_time: 0x1_0000_0002_0003, rtp_time: 9, ..SenderReport::default() };
    let now = line.at(500);
    line.reception.on_rtcp(&[Box::new(report)], now);
    let reports = line.said::<ReceiverReport>(1_000);
    let block = reports[0].reports[0].clone();
    assert_eq!((block.ssrc, block.last_sequence_number & 0xffff), (SSRC, 9));
    assert_eq!((block.total_lost, block.delay), (0, 32_768));
    line.taken(10).await;
    let clock = NtpTime(0x1_0000_0002_0003);
    assert_eq!(
        line.published.next().await,
        Some(Item::Report { kind: Kind::Video, timestamp: 9, clock, received: now })
    );
}

#[tokio::test]
async fn floods_forgeries_and_strangers_streams_are_passed_over() {
    let mut line = Line::new();
    line.send(1, 0);
    let now = line.at(0);
    let mut forged = line.packet(SSRC, VIDEO, 2, &[0x41, 2]);
    *forged.last_mut().expect("a tag") ^= 1;
    line.reception.on_rtp(&forged, now);
    for foreign in [line.packet(SSRC + 5, VIDEO, 2, &[0x41, 9]), line.packet(SSRC, 96, 200, &[0x41, 9]), vec![0x80; 20]]
    {
        line.reception.on_rtp(&foreign, now);
    }
    line.send(2, 1);
    let again = line.packet(SSRC, VIDEO, 2, &[0x41, 2]);
    line.reception.on_rtp(&again, now);
    assert_eq!(line.taken(2).await, [(1, 0), (2, 0)]);
    for _ in 0..30_000 {
        line.reception.on_rtp(&again, now);
    }
    assert!(line.camera.counters.published.flooded.total() > 9_000);
    line.send(3, 1_500);
    assert_eq!(line.taken(1).await, [(3, 0)], "another second");
    // A publisher that begins again does so under another name.
    let (other, now) = (line.packet(SSRC + 5, VIDEO, 40, &[0x41, 40]), line.at(2_500));
    line.reception.on_rtp(&other, now);
    assert_eq!(line.taken(1).await, [(40, 0)]);
}
