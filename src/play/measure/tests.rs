use super::*;

/// 25 frames a second of three packets, each frame 40 ms after the one before, every tenth an IDR picture.
fn picture(from: Instant, frames: u32) -> Vec<Packet<'static>> {
    let packet = |frame: u32, part: u32| Packet {
        at: from + Duration::from_millis(u64::from(40 * frame)),
        ssrc: 7,
        // Wraps within the first frames.
        sequence: 65_530_u16.wrapping_add((3 * frame + part) as u16),
        timestamp: (u32::MAX - 10_000).wrapping_add(3_600 * frame),
        marker: part == 2,
        payload: if frame.is_multiple_of(10) { &[0x65, 0x88] } else { &[0x41, 0x9a] },
    };
    (0..frames).flat_map(|frame| (0..3).map(move |part| packet(frame, part))).collect()
}

fn video() -> Track {
    Track::new(true, "H264", "", 90_000, 0)
}

#[test]
fn an_even_stream_has_its_rate_and_nothing_wrong() {
    let mut track = video();
    let start = Instant::now();
    for packet in picture(start, 51) {
        track.record(packet);
    }
    assert_eq!((track.packets, track.lost(), track.late, track.gaps), (153, 0, 0, 0));
    assert_eq!((track.frames, track.keyframes), (51, 6));
    assert_eq!(track.rate(), Some(25.0));
    assert_eq!(track.gop(), Some(10.0));
    assert_eq!(track.bitrate().map(f64::round), Some(1_200.0));
    assert_eq!(track.first_keyframe_at, Some(start));
    assert_eq!(track.frames_after_keyframe, 50);
    assert!(track.jitter() < Duration::from_millis(20), "{:?}", track.jitter());
    assert_eq!(track.longest_gap, Duration::from_millis(40));
}

#[test]
fn lost_and_late_packets_are_counted_apart() {
    let mut track = video();
    let mut packets = picture(Instant::now(), 20);
    packets.remove(30);
    let late = packets.remove(40);
    packets.insert(45, late);
    for packet in packets {
        track.record(packet);
    }
    assert_eq!((track.lost(), track.late), (1, 1));
}

#[test]
fn a_keyframe_is_there_when_its_last_missing_packet_is() {
    let mut track = video();
    let mut packets = picture(Instant::now(), 3);
    let missing = packets.remove(1);
    for packet in packets {
        track.record(packet);
    }
    assert_eq!(track.first_keyframe_at, None, "half a keyframe");
    let at = missing.at + Duration::from_secs(1);
    track.record(Packet { at, ..missing });
    assert_eq!((track.first_keyframe_at, track.lost()), (Some(at), 0));
}

#[test]
fn a_silence_is_a_gap_and_a_burst_is_none() {
    let mut track = video();
    let start = Instant::now();
    // All of two seconds at once, then live.
    for packet in picture(start, 50) {
        track.record(Packet { at: start, ..packet });
    }
    assert_eq!(track.gaps, 0);
    for packet in picture(start, 100).split_off(150) {
        track.record(Packet { at: packet.at + Duration::from_secs(1), ..packet });
    }
    assert_eq!(track.gaps, 1, "from the burst to the first live picture it is 3 s");
    assert_eq!(track.longest_gap, Duration::from_secs(3));
    assert_eq!(track.rate(), Some(25.0), "of what came after the burst, by the media's clock");
}

#[test]
fn another_ssrc_is_no_loss() {
    let mut track = video();
    let start = Instant::now();
    for packet in picture(start, 50) {
        track.record(packet);
    }
    for packet in picture(start + Duration::from_secs(2), 50) {
        let (sequence, timestamp) = (packet.sequence.wrapping_add(20_000), packet.timestamp.wrapping_add(1 << 30));
        track.record(Packet { ssrc: 8, sequence, timestamp, ..packet });
    }
    assert_eq!((track.lost(), track.late, track.packets), (0, 0, 300));
    assert!(track.rate().is_some_and(|rate| (20.0..30.0).contains(&rate)), "{:?}", track.rate());
}

#[test]
fn sound_has_frames_but_no_keyframes() {
    let mut track = Track::new(false, "opus", "", 48_000, 2);
    let start = Instant::now();
    for n in 0..=100 {
        let at = start + Duration::from_millis(20 * u64::from(n));
        let (sequence, timestamp) = (n as u16, 960 * n);
        track.record(Packet { at, ssrc: 1, sequence, timestamp, marker: false, payload: &[0x65; 160] });
    }
    assert!(!track.tells_keyframes());
    assert_eq!((track.frames, track.keyframes, track.first_keyframe_at), (101, 0, None));
    assert_eq!(track.bitrate().map(f64::round), Some(64_000.0));
}
