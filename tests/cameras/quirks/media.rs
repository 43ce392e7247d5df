//! How cameras put H.264 into packets.

use super::{camera, seen, seen_with};
use crate::support::camera::scripted::packets::{MTU, Packet, annex_b};
use crate::support::camera::scripted::{Video, sdp};

/// Marks a picture's last packet.
fn marked(mut packets: Vec<Packet>) -> Vec<Packet> {
    if let Some(last) = packets.last_mut() {
        last.marker = true;
    }
    packets
}

/// Parameter sets and picture are one packet, with start codes between them.
#[tokio::test]
async fn v380_sends_start_codes_within_a_packet() {
    seen(camera().shape(|line, unit| {
        let mut nals: Vec<&[u8]> = unit.nals.iter().map(|nal| &nal[..]).collect();
        if unit.keyframe {
            nals.splice(0..0, [&unit.sps[..], &unit.pps[..]]);
        }
        // The first has none.
        let stream = annex_b(&nals)[4..].to_vec();
        let packets = if stream.len() <= MTU { vec![line.single(&stream)] } else { line.fu_a(&stream, MTU) };
        marked(packets)
    }))
    .await;
}

/// The same within an aggregation packet.
#[tokio::test]
async fn v380_sends_start_codes_within_an_aggregate() {
    seen(camera().shape(|line, unit| {
        if !unit.keyframe {
            return line.slices(unit);
        }
        let sets = annex_b(&[&unit.sps, &unit.pps])[4..].to_vec();
        [vec![line.stap_a(&[&sets])], line.slices(unit)].concat()
    }))
    .await;
}

/// Parameter sets have the marker of a picture.
#[tokio::test]
async fn reolink_rlc_822a_marks_its_parameter_sets() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.packetize(unit);
        if unit.keyframe {
            packets[0].marker = true;
            packets[1].marker = true;
        }
        packets
    }))
    .await;
}

/// Parameter sets have the marker of a picture, and are one packet.
#[tokio::test]
async fn tapo_tc70_marks_an_aggregate_of_parameter_sets() {
    seen(camera().shape(|line, unit| {
        let mut packets = Vec::new();
        if unit.keyframe {
            packets.push(line.stap_a(&[&unit.sps, &unit.pps]));
            packets[0].marker = true;
        }
        packets.extend(line.slices(unit));
        packets
    }))
    .await;
}

/// Parameter sets have another time than the picture they belong to.
#[tokio::test]
async fn lv_ip22ir40dvbl_sends_parameter_sets_with_another_time() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.packetize(unit);
        if unit.keyframe {
            packets[0].timestamp = line.timestamp.wrapping_sub(90);
            packets[1].timestamp = line.timestamp.wrapping_sub(45);
        }
        packets
    }))
    .await;
}

/// Small slices are fragments that are first and last at once.
#[tokio::test]
async fn costar_hd_sends_fragments_that_are_first_and_last() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.parameter_sets(unit);
        packets.extend(
            unit.nals.iter().flat_map(
                |nal| {
                    if nal.len() > MTU { line.fu_a(nal, MTU) } else { line.fu_a(nal, nal.len()) }
                },
            ),
        );
        marked(packets)
    }))
    .await;
}

/// The fragments of a keyframe say that they are of an ordinary picture, but for the first.
#[tokio::test]
async fn tiandy_changes_the_type_from_fragment_to_fragment() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.parameter_sets(unit);
        for nal in &unit.nals {
            let mut fragments = line.fu_a(nal, 200);
            fragments.iter_mut().skip(1).for_each(|fragment| fragment.payload[1] = fragment.payload[1] & 0xe0 | 1);
            packets.extend(fragments);
        }
        marked(packets)
    }))
    .await;
}

/// There are fragments without anything in them.
#[tokio::test]
async fn a_camera_sends_empty_fragments() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.parameter_sets(unit);
        for nal in &unit.nals {
            let size = nal.len() / 2 + 1;
            let pieces = [&nal[1..size], &[], &nal[size..]];
            for (at, piece) in pieces.iter().enumerate() {
                let bits = [0x80, 0, 0x40][at];
                let payload = [&[28 | nal[0] & 0x60, bits | nal[0] & 0x1f][..], *piece].concat();
                packets.push(line.packet(payload, false));
            }
        }
        marked(packets)
    }))
    .await;
}

/// The SPS has bytes behind its end.
#[tokio::test]
async fn reolink_sends_bytes_behind_its_sps() {
    let plain = sdp::VIDEO.replace(";sprop-parameter-sets={sprop}", "");
    seen(camera().sdp(&plain).shape(|line, unit| {
        if !unit.keyframe {
            return line.slices(unit);
        }
        let sps = [&unit.sps[..], &[0x80]].concat();
        [vec![line.single(&sps), line.single(&unit.pps)], line.slices(unit)].concat()
    }))
    .await;
}

/// Packets of a payload type that nobody has described come between, with the numbers of others.
#[tokio::test]
async fn geovision_sends_packets_of_payload_type_50() {
    seen(camera().shape(|line, unit| {
        let mut junk = line.clone().packet(vec![0; 32], false);
        junk.payload_type = 50;
        [vec![junk], line.packetize(unit)].concat()
    }))
    .await;
}

/// No packet has a marker: a picture ends where the next begins.
#[tokio::test]
async fn flir_m400_sends_no_markers() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.packetize(unit);
        packets.iter_mut().for_each(|packet| packet.marker = false);
        packets
    }))
    .await;
}

/// Each slice has a marker.
#[tokio::test]
async fn a_camera_marks_each_slice() {
    let video = Video { slices: 2, ..super::QUICK };
    let camera = camera().video(video).shape(|line, unit| {
        let mut packets = line.packetize(unit);
        let at = packets.iter().position(|packet| !packet.payload.is_empty() && packet.payload[0] & 0x1f == 1);
        if let Some(at) = at {
            packets[at].marker = true;
        }
        packets
    });
    let camera = camera.start();
    let gateway = crate::support::gateway::Gateway::builder(env!("CARGO_BIN_EXE_camgate"))
        .config(camera.toml("front"))
        .spawn()
        .await;
    let viewer = crate::support::viewer::Viewer::join(gateway.whep("front")).await;
    viewer.wait_keyframes(super::KEYFRAMES, crate::LIMIT).await;
}

/// A keyframe is delimiter, SPS, PPS, SEI and picture, in that order.
#[tokio::test]
async fn amcrest_sends_a_delimiter_and_sei_before_the_picture() {
    seen(camera().shape(|line, unit| {
        let mut packets = vec![line.single(&[0x09, 0xf0])];
        packets.extend(line.parameter_sets(unit));
        packets.push(line.single(&[0x06, 0x05, 0x01, 0x00, 0x80]));
        packets.extend(line.slices(unit));
        packets
    }))
    .await;
}

/// A keyframe is delimiter, SPS, PPS and SEI in one packet.
#[tokio::test]
async fn amcrest_sends_delimiter_and_parameter_sets_in_one_packet() {
    seen(camera().shape(|line, unit| {
        let delimiter = [0x09, 0xf0];
        let first = match unit.keyframe {
            true => line.stap_a(&[&delimiter, &unit.sps, &unit.pps, &[0x06, 0x05, 0x01, 0x00, 0x80]]),
            false => line.single(&delimiter),
        };
        [vec![first], line.slices(unit)].concat()
    }))
    .await;
}

/// The parameter sets are in the description alone.
#[tokio::test]
async fn a_camera_sends_its_parameter_sets_in_the_description_alone() {
    seen(camera().shape(|line, unit| line.slices(unit))).await;
}

/// The parameter sets come with each picture.
#[tokio::test]
async fn a_camera_sends_its_parameter_sets_with_each_picture() {
    seen(
        camera().shape(|line, unit| [vec![line.single(&unit.sps), line.single(&unit.pps)], line.slices(unit)].concat()),
    )
    .await;
}

/// PPS comes before SPS.
#[tokio::test]
async fn a_camera_sends_the_pps_before_the_sps() {
    seen(camera().shape(|line, unit| match unit.keyframe {
        true => [vec![line.single(&unit.pps), line.single(&unit.sps)], line.slices(unit)].concat(),
        false => line.slices(unit),
    }))
    .await;
}

/// Over UDP, a packet is larger than a network's frame.
#[tokio::test]
async fn tapo_sends_datagrams_of_10_000_bytes() {
    let video = Video { bitrate_kbps: 5_000, noise_percent: 70, ..super::QUICK };
    let camera = camera().video(video).udp().shape(|line, unit| {
        let mut packets = line.parameter_sets(unit);
        packets.extend(unit.nals.iter().flat_map(|nal| line.nal(nal, 10_000)));
        marked(packets)
    });
    seen_with(camera, "").await;
}

/// Packets of a session that is long over come between, on the same channel: live555 before 2017 writes into connections
/// that got the descriptor of an older one.
#[tokio::test]
async fn live555_sends_packets_of_an_older_session() {
    seen(camera().shape(|line, unit| {
        let mut stale = line.clone();
        stale.ssrc ^= 0x5555;
        stale.sequence = stale.sequence.wrapping_add(20_000);
        let stale = stale.packet(vec![0x41, 1, 2, 3], true);
        // The first packet tells who the source is.
        let mut packets = line.packetize(unit);
        packets.push(stale);
        packets
    }))
    .await;
}

/// Slices have zeros behind them.
#[tokio::test]
async fn a_camera_pads_its_slices_with_zeros() {
    seen(camera().shape(|line, unit| {
        let mut padded = unit.clone();
        padded.nals.iter_mut().for_each(|nal| nal.extend([0; 4]));
        line.packetize(&padded)
    }))
    .await;
}

/// The RTP header has padding, an extension and a contributing source.
#[tokio::test]
async fn a_camera_extends_the_rtp_header() {
    seen(camera().shape(|line, unit| {
        let mut packets = line.packetize(unit);
        packets.iter_mut().for_each(|packet| packet.extended = true);
        packets
    }))
    .await;
}
