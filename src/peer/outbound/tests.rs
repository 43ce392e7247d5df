//! What of a stream is written, sent again and reported.

use bytes::Bytes;

use super::*;
use crate::{
    media::ClockRate,
    peer::{
        Playout,
        engine::Protection,
        srtp::tests::{libsrtp, protector},
    },
};

const SSRC: u32 = 0xc0ff_ee00;
const RTX: u32 = 8;

fn unit(ticks: i64, captured: Instant) -> Arc<Unit> {
    let payloads = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    Arc::new(Unit { number: 0, kind: Kind::Video, keyframe: true, ticks, captured, payloads, bytes: 6 })
}

fn stream() -> Outbound {
    Outbound::new(SSRC, 102, Timeline::new(ClockRate::VIDEO, 1_000))
}

fn send(stream: &mut Outbound, unit: Arc<Unit>, timestamp: u32, protector: &mut Protector, out: &mut Batch) {
    let mut departing = stream.depart(Instant::now(), unit, timestamp);
    stream.send(&mut departing, |_| true, &mut wire(protector, out)).expect("protected");
    assert!(departing.is_done());
}

fn wire<'a>(protector: &'a mut Protector, out: &'a mut Batch) -> Wire<'a> {
    Wire { now: Instant::now(), clocks: None, protector, congestion: None, out }
}

fn number(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

#[test]
fn numbers_without_a_gap_and_marks_the_last_packet() {
    let (mut stream, mut protector, mut out) = (stream(), protector(Protection::Gcm), Batch::default());
    let now = Instant::now();
    send(&mut stream, unit(0, now), 5, &mut protector, &mut out);
    send(&mut stream, unit(1, now), 6, &mut protector, &mut out);
    let packets: Vec<_> = out.packets().collect();
    assert!(packets.windows(2).all(|two| number(two[1]) == number(two[0]).wrapping_add(1)));
    let marks: Vec<_> = packets.iter().map(|packet| packet[1] >> 7).collect();
    assert_eq!(marks, [0, 1, 0, 1]);
}

#[test]
fn a_unit_goes_on_where_it_stopped() {
    let (mut stream, mut protector, mut out) = (stream(), protector(Protection::Gcm), Batch::default());
    let mut departing = stream.depart(Instant::now(), unit(0, Instant::now()), 5);
    let mut places = 1;
    let may = |_| std::mem::take(&mut places) > 0;
    stream.send(&mut departing, may, &mut wire(&mut protector, &mut out)).expect("protected");
    assert_eq!((departing.is_done(), out.len()), (false, 1));
    stream.send(&mut departing, |_| true, &mut wire(&mut protector, &mut out)).expect("protected");
    assert_eq!((departing.is_done(), out.len()), (true, 2));
    let packets: Vec<_> = out.packets().collect();
    assert_eq!(number(packets[1]), number(packets[0]).wrapping_add(1));
}

#[test]
fn repeats_as_it_was_without_rtx() {
    let (mut stream, mut protector, mut out) = (stream(), protector(Protection::Gcm), Batch::default());
    send(&mut stream, unit(0, Instant::now()), 5, &mut protector, &mut out);
    let lost = number(out.packets().next().expect("two were sent"));
    assert_eq!(stream.again(lost, &mut wire(&mut protector, &mut out)), Ok(true));
    assert_eq!(stream.again(lost.wrapping_add(2), &mut wire(&mut protector, &mut out)), Ok(false));
    let packets: Vec<_> = out.packets().collect();
    assert_eq!((packets.len(), packets[2]), (3, packets[0]));
}

#[test]
fn another_implementation_decrypts_across_the_rollover_and_what_is_sent_again() {
    for protection in [Protection::Gcm, Protection::CmHmacSha1] {
        let (mut protector, mut out) = (protector(protection), Batch::default());
        let mut stream = stream().with_retransmission(RTX, 103);
        let rtx = stream.retransmission.as_mut().expect("just set");
        (stream.numbers.next, rtx.next) = (65_533, 65_535);
        for frame in 0..3 {
            send(&mut stream, unit(frame, Instant::now()), 5, &mut protector, &mut out);
        }
        // Numbers before and after the rollover, in packets before and after the rollover of their own stream.
        for lost in [65_534, 1] {
            assert_eq!(stream.again(lost, &mut wire(&mut protector, &mut out)), Ok(true));
        }
        let media = libsrtp(protection, SSRC, out.packets());
        let numbers: Vec<_> = media.iter().map(|packet| number(packet)).collect();
        assert_eq!(numbers, [65_533, 65_534, 65_535, 0, 1, 2], "{protection:?}");
        assert!(media.iter().zip([b"one", b"two"].iter().cycle()).all(|(packet, text)| packet[12..] == text[..]));
        let again = libsrtp(protection, RTX, out.packets());
        let told: Vec<_> = again.iter().map(|packet| (number(packet), packet[1] & 0x7f, &packet[12..])).collect();
        assert_eq!(told, [(65_535, 103, &b"\xff\xfetwo"[..]), (0, 103, b"\0\x01one")], "{protection:?}");
    }
}

#[test]
fn numbers_every_packet_for_the_whole_transport_in_an_extension() {
    let (mut protector, mut out) = (protector(Protection::Gcm), Batch::default());
    let extensions = Extensions { transport_cc: Some(4), ..Extensions::default() };
    let mut stream = stream().with_retransmission(RTX, 103).with_extensions(extensions, None);
    let mut congestion = Congestion::new(Instant::now());
    let mut departing = stream.depart(Instant::now(), unit(0, Instant::now()), 5);
    let mut wire = Wire { congestion: Some(&mut congestion), ..wire(&mut protector, &mut out) };
    stream.send(&mut departing, |_| true, &mut wire).expect("protected");
    let lost = departing.first as u16;
    assert_eq!(stream.again(lost, &mut wire), Ok(true));
    let block = |packet: &[u8]| (packet[0], packet[12..20].to_vec());
    let numbered = |number| (0x90, vec![0xbe, 0xde, 0, 1, 0x41, 0, number, 0]);
    let sent = libsrtp(Protection::Gcm, SSRC, out.packets());
    assert_eq!(sent.iter().map(|packet| block(packet)).collect::<Vec<_>>(), [numbered(0), numbered(1)]);
    assert_eq!(sent[0][20..], *b"one");
    let again = libsrtp(Protection::Gcm, RTX, out.packets());
    assert_eq!(again.iter().map(|packet| block(packet)).collect::<Vec<_>>(), [numbered(2)]);
}

#[test]
fn a_pictures_first_packet_says_how_long_to_wait_and_its_last_when_it_was_captured() {
    let (mut protector, mut out) = (protector(Protection::Gcm), Batch::default());
    let extensions = Extensions { playout_delay: Some(5), abs_capture_time: Some(13), ..Extensions::default() };
    let bounds = Playout::Smooth.bounds();
    let mut stream = stream().with_retransmission(RTX, 103).with_extensions(extensions, bounds);
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let keyframe = unit(0, now - Duration::from_millis(500));
    let mut departing = stream.depart(Instant::now(), keyframe, 5);
    let mut wire = Wire { clocks: Some((now, wall)), ..wire(&mut protector, &mut out) };
    stream.send(&mut departing, |_| true, &mut wire).expect("protected");
    let sent = libsrtp(Protection::Gcm, SSRC, out.packets());
    assert_eq!(Playout::Realtime.bounds().map(playout_delay), Some([0, 0, 15]));
    assert_eq!(Playout::Adaptive.bounds(), None);
    // 25 and 100 times 10 ms.
    assert_eq!(sent[0][12..20], [0xbe, 0xde, 0, 1, 0x52, 0x01, 0x90, 0x64]);
    let seconds = (2_208_988_800_u64 + 1_799_999_999) as u32;
    let captured = [&seconds.to_be_bytes()[..], &[0x80, 0, 0, 0]].concat();
    assert_eq!(sent[1][12..28], [&[0xbe, 0xde, 0, 3, 0xd7], &captured[..], &[0, 0, 0]].concat());
}

#[test]
fn pictures_between_keyframes_are_as_short_as_they_can_be() {
    let (mut protector, mut out) = (protector(Protection::Gcm), Batch::default());
    let extensions = Extensions { playout_delay: Some(5), abs_capture_time: Some(13), ..Extensions::default() };
    let mut stream = stream().with_retransmission(RTX, 103).with_extensions(extensions, Playout::Realtime.bounds());
    let start = Instant::now();
    let mut lengths = |stream: &mut Outbound, keyframe, at| {
        let unit = Unit { keyframe, ..Arc::into_inner(unit(0, start)).expect("there is one") };
        out.clear();
        let mut departing = stream.depart(at, Arc::new(unit), 5);
        let mut wire = Wire { clocks: Some((start, SystemTime::now())), ..wire(&mut protector, &mut out) };
        stream.send(&mut departing, |_| true, &mut wire).expect("protected");
        out.packets().map(|packet| packet.len()).collect::<Vec<_>>()
    };
    // 12 of RTP, 3 of payload, 16 of a tag; 8 of an extension with 4, 16 of one with 9.
    assert_eq!(lengths(&mut stream, true, start), [39, 47]);
    assert_eq!(lengths(&mut stream, false, start + Duration::from_millis(999)), [31, 31]);
    assert_eq!(lengths(&mut stream, false, start + Duration::from_secs(1)), [31, 47], "once a second");
    assert_eq!(lengths(&mut stream, false, start + Duration::from_secs(1)), [31, 31]);
    stream.set_least_delay(Duration::from_millis(20));
    for _ in 0..PLAYOUT_REPEATS {
        assert_eq!(lengths(&mut stream, false, start + Duration::from_secs(1)), [39, 31], "what is new is said");
    }
    stream.set_least_delay(Duration::from_millis(20));
    assert_eq!(lengths(&mut stream, false, start + Duration::from_secs(1)), [31, 31], "what is said is known");
}

#[test]
fn reports_the_clock_at_now() {
    let (mut stream, mut protector, mut out) = (stream(), protector(Protection::Gcm), Batch::default());
    let captured = Instant::now();
    assert!(stream.report(captured, SystemTime::UNIX_EPOCH).is_none());
    send(&mut stream, unit(90_000, captured), 91_000, &mut protector, &mut out);
    let report = stream.report(captured + Duration::from_millis(100), SystemTime::UNIX_EPOCH).expect("fresh");
    assert_eq!(report.rtp_time, 1_000 + 90_000 + 9_000);
    assert_eq!((report.packet_count, report.octet_count), (2, 6));
    assert!(stream.report(captured + Duration::from_secs(6), SystemTime::UNIX_EPOCH).is_none());
}

#[test]
fn what_needs_longer_waits_longer() {
    let bounds = |usual, least| {
        let extensions = Extensions { playout_delay: Some(5), ..Extensions::default() };
        let mut stream = stream().with_retransmission(RTX, 103).with_extensions(extensions, usual);
        stream.set_least_delay(least);
        assert_eq!(stream.retransmission.as_ref().map(|rtx| rtx.playout), Some(stream.numbers.playout));
        stream.numbers.playout
    };
    // 24 and 1000 times 10 ms.
    assert_eq!(bounds(None, Duration::from_millis(240)), Some([0x01, 0x83, 0xe8]));
    assert_eq!(bounds(None, Duration::ZERO), Some([0, 0x03, 0xe8]), "at once, which has to be said");
    let smooth = Playout::Smooth.bounds();
    assert_eq!(bounds(smooth, Duration::from_millis(240)), smooth.map(playout_delay));
    assert_eq!(bounds(smooth, Duration::from_millis(500)), Some([0x03, 0x20, 0x64]));
    assert_eq!(bounds(Playout::Realtime.bounds(), Duration::from_millis(240)), Some([0, 0xf0, 0x0f]), "150 ms at most");
}
