//! Packets whose contents or markers are wrong.

use std::collections::HashSet;

use super::{FAULT, VIDEO, gateway, scene};
use crate::LIMIT;
use crate::support::camera::scripted::packets::Packet;
use crate::support::camera::scripted::{Scripted, Video};
use crate::support::viewer::Kind;

fn slices(nals: &[Vec<u8>]) -> Vec<Vec<u8>> {
    nals.iter().filter(|nal| [1, 5].contains(&(nal[0] & 0x1f))).cloned().collect()
}

/// Of pictures of four slices, the last three dozen that the viewer got are whole.
async fn four_slices(marks_each: bool) {
    let video = Video { slices: 4, ..VIDEO };
    let camera = Scripted::builder().video(video).shape(move |line, unit| {
        let mut packets = line.packetize(unit);
        let is_slice = |packet: &Packet| matches!(packet.payload[0] & 0x1f, 1 | 5);
        // Each slice is one packet, or ends with the end of its fragments.
        let ends =
            |packet: &Packet| is_slice(packet) || packet.payload[0] & 0x1f == 28 && packet.payload[1] & 0x40 != 0;
        packets.iter_mut().filter(|packet| marks_each && ends(packet)).for_each(|packet| packet.marker = true);
        packets
    });
    let scene = scene(camera).await;
    scene.goes_on(if marks_each { "a marker on each slice" } else { "four slices" }).await;
    let coded: HashSet<_> = scene.camera.clip().units.iter().map(|unit| slices(&unit.nals)).collect();
    assert!(coded.iter().all(|slices| slices.len() == 4), "x264 makes four");
    let seen = scene.viewer.with(Kind::Video, |log| log.pictures());
    for nals in &seen[seen.len() - 36..] {
        let types: Vec<_> = nals.iter().map(|nal| nal[0] & 0x1f).collect();
        assert!(coded.contains(&slices(nals)), "{types:?} is no picture of the camera's");
    }
    scene.is_first_session();
}

/// Pictures of four slices.
#[tokio::test]
async fn a_picture_of_several_slices_stays_one() {
    four_slices(false).await;
}

/// Each of four slices has the marker of a picture's end.
#[tokio::test]
async fn slices_with_a_marker_each_become_one_picture() {
    four_slices(true).await;
}

/// No markers from some picture on.
#[tokio::test]
async fn markers_go_missing() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(|line, unit| {
        let mut packets = line.packetize(unit);
        packets.iter_mut().for_each(|packet| packet.marker &= line.frame < FAULT);
        packets
    }))
    .await;
    scene.goes_on("no markers").await;
    scene.is_first_session();
}

/// Every packet has one from some picture on. The RTSP library takes nothing of that, so that the next session is taken without
/// it.
#[tokio::test]
async fn every_packet_has_a_marker() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(|line, unit| {
        if (line.session, line.frame) < (0, FAULT) {
            return line.packetize(unit);
        }
        line.marked(unit)
    }))
    .await;
    scene.wait_plays(2).await;
    scene.goes_on("a marker on each packet").await;
    scene.was_never_away();
}

/// Neither markers nor times tell where a picture ends.
#[tokio::test]
async fn nothing_tells_where_a_picture_ends() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(|line, unit| {
        let mut packets = line.packetize(unit);
        if line.session == 0 && line.frame >= FAULT {
            packets.iter_mut().for_each(|packet| (packet.marker, packet.timestamp) = (false, 7));
        }
        packets
    }))
    .await;
    scene.gateway.wait_log("media-stopped", LIMIT).await;
    scene.goes_on("no markers, and times that stand still").await;
}

/// Start codes between NAL units, and behind them: one packet is a byte stream.
#[tokio::test]
async fn packets_become_byte_streams() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(|line, unit| {
        if line.frame < FAULT || !unit.keyframe {
            return line.packetize(unit);
        }
        let mut stream = [&unit.sps[..], &[0, 0, 0, 1], &unit.pps].concat();
        for nal in &unit.nals {
            stream.extend([0, 0, 0, 1]);
            stream.extend(nal);
        }
        let mut packets = line.nal(&stream, 1_400);
        if let Some(last) = packets.last_mut() {
            last.marker = true;
        }
        packets
    }))
    .await;
    scene.goes_on("a byte stream in packets").await;
    scene.is_first_session();
}

/// A start code comes first in each packet, and each is a whole NAL unit, so that none is one. The same.
#[tokio::test]
async fn packets_begin_with_a_start_code() {
    let scene = scene(Scripted::builder().video(VIDEO).shape(|line, unit| {
        if (line.session, line.frame) < (0, FAULT) {
            return line.packetize(unit);
        }
        let sets = if unit.keyframe { vec![&unit.sps, &unit.pps] } else { Vec::new() };
        let nals = sets.into_iter().chain(&unit.nals).map(|nal| [&[0, 0, 0, 1][..], nal].concat());
        let mut packets: Vec<_> = nals.map(|nal| line.single(&nal)).collect();
        if let Some(last) = packets.last_mut() {
            last.marker = true;
        }
        packets
    }))
    .await;
    scene.wait_plays(2).await;
    scene.goes_on("start codes first").await;
    scene.was_never_away();
}

/// Two B-frames between others: said, and every picture is passed on.
#[tokio::test]
async fn b_frames_come() {
    let video = Video { b_frames: 2, profile: crate::support::camera::Profile::Main, ..VIDEO };
    let clip = video.clip();
    let camera = Scripted::builder().video(video).shape(move |line, unit| {
        // Sent in the order of coding, with the times of showing.
        let coded = clip.units.iter().position(|other| other.counter == unit.counter).unwrap() as i64;
        line.timestamp = line.timestamp.wrapping_add(((i64::from(unit.counter) - coded) * 3_600) as u32);
        line.packetize(unit)
    });
    let scene = scene(camera).await;
    scene.goes_on("B-frames").await;
    assert_eq!(scene.gateway.camera("front").await["video_code"], "b-frames");
    scene.is_first_session();
}

/// A picture a second: it is seen, and nothing takes it for silence.
#[tokio::test]
async fn one_picture_a_second() {
    let camera = Scripted::builder().video(Video { fps: 1, gop: 2, ..VIDEO }).start();
    let gateway = gateway(&camera, "").await;
    let viewer = crate::support::viewer::Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(7, LIMIT).await;
    assert_eq!((camera.plays_total(), gateway.camera("front").await["state"].as_str()), (1, Some("live")));
    assert_eq!(viewer.with(Kind::Video, |log| log.missing()), 0);
}

/// A hundred and twenty.
#[tokio::test]
async fn a_hundred_and_twenty_pictures_a_second() {
    let scene = scene(Scripted::builder().video(Video { fps: 120, gop: 120, ..VIDEO })).await;
    scene.sent(240).await;
    scene.goes_on("120 pictures a second").await;
    assert_eq!(scene.viewer.with(Kind::Video, |log| log.missing()), 0);
    scene.is_first_session();
}
