//! How cameras answer SETUP, PLAY and what comes after.

use super::{camera, seen, seen_with};
use crate::support::camera::scripted::packets::{interleaved, sender_report};
use crate::support::camera::scripted::rtsp::Reply;
use crate::support::camera::scripted::{Sound, sdp};

/// RTP-Info says that the first packet has the number 0, which is not so: it would look like a loss of thousands.
#[tokio::test]
async fn hikvision_ds_2cd2032_i_sends_a_wrong_first_sequence_number() {
    let info = "url={url}/trackID=0;seq=0;rtptime={time0}";
    seen(camera().first_sequence(40_000).reply("PLAY", move |_, reply| reply.with("RTP-Info", info))).await;
}

/// The same with 1, and with a number far ahead.
#[tokio::test]
async fn tapo_c320ws_sends_a_wrong_first_sequence_number() {
    for number in ["1", "39000"] {
        let info = format!("url={{url}}/trackID=0;seq={number};rtptime={{time0}}");
        seen(camera().reply("PLAY", move |_, reply| reply.with("RTP-Info", &info))).await;
    }
}

/// Its sender reports name another source than its packets.
#[tokio::test]
async fn tapo_c320ws_reports_of_an_unknown_source() {
    seen(camera().reports(|now| sender_report(now.ssrc ^ 0xff, now.ntp, now.rtp))).await;
}

/// A sender report comes before the answer to PLAY.
#[tokio::test]
async fn reolink_sends_a_report_before_the_answer_to_play() {
    seen(camera().reply("PLAY", |request, reply| {
        reply.preceded_by(&interleaved(1, &sender_report(request.ssrcs[0], 1 << 40, 12_345)))
    }))
    .await;
}

/// Media comes before the answer to PLAY.
#[tokio::test]
async fn v4l2rtspserver_sends_media_before_the_answer_to_play() {
    seen(camera().reply("PLAY", |request, reply| {
        let mut packet = vec![0x80, 96, 3, 0xe7, 0, 0, 0, 1];
        packet.extend(request.ssrcs[0].to_be_bytes());
        packet.extend([0x41, 1, 2, 3]);
        reply.preceded_by(&interleaved(0, &packet))
    }))
    .await;
}

/// RTP-Info names a stream that nobody has described.
#[tokio::test]
async fn gw_security_gw4089ip_names_an_unknown_stream_in_rtp_info() {
    let info = "url=rtsp://192.0.2.9:554/other/trackID=7;seq={seq0};rtptime={time0}";
    seen(camera().reply("PLAY", move |_, reply| reply.with("RTP-Info", info))).await;
}

/// The `rtptime` of RTP-Info is no number.
#[tokio::test]
async fn a_camera_sends_an_rtptime_that_is_no_number() {
    let info = "url={url}/trackID=0;seq={seq0};rtptime=-1";
    seen(camera().reply("PLAY", move |_, reply| reply.with("RTP-Info", info))).await;
}

/// RTP-Info ends with a semicolon.
#[tokio::test]
async fn laureii_ends_rtp_info_with_a_semicolon() {
    let info = "url={url}/trackID=0;seq={seq0};rtptime={time0};";
    seen(camera().reply("PLAY", move |_, reply| reply.with("RTP-Info", info))).await;
}

/// The source is told in RTP-Info, and not in Transport.
#[tokio::test]
async fn reolink_tells_its_source_in_rtp_info() {
    let info = "url={url}/trackID=0;seq={seq0};rtptime={time0};ssrc={ssrc0}";
    let camera = camera().reply("SETUP", |_, reply| reply.with("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"));
    seen(camera.reply("PLAY", move |_, reply| reply.with("RTP-Info", info))).await;
}

/// There is no RTP-Info.
#[tokio::test]
async fn a_camera_sends_no_rtp_info() {
    seen(camera().reply("PLAY", |_, reply| reply.without("RTP-Info").without("Range"))).await;
}

/// Only one of two tracks has a time in RTP-Info.
#[tokio::test]
async fn a_camera_tells_the_time_of_one_track_only() {
    let camera = camera().sound(Sound::Pcmu);
    let info = "url={url}/trackID=0;seq={seq0};rtptime={time0},url={url}/trackID=1;seq={seq1}";
    seen(camera.reply("PLAY", move |_, reply| reply.with("RTP-Info", info))).await.is_heard().await;
}

/// The source in Transport has a blank before it and no leading zero.
#[tokio::test]
async fn hikvision_pads_its_source_with_a_blank() {
    let transport = "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc= {ssrc0};mode=\"play\"";
    seen(camera().reply("SETUP", move |_, reply| reply.with("Transport", transport))).await;
}

/// The source in Transport has 16 bits, and is not the one that is sent.
#[tokio::test]
async fn rubetek_tells_a_source_of_16_bits() {
    let transport = "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=0x6f7c";
    seen(camera().reply("SETUP", move |_, reply| reply.with("Transport", transport))).await;
}

/// The source comes first in Transport.
#[tokio::test]
async fn luckfox_tells_its_source_before_its_channels() {
    let transport = "RTP/AVP/TCP;ssrc={ssrc0};unicast;interleaved=0-1";
    seen(camera().reply("SETUP", move |_, reply| reply.with("Transport", transport))).await;
}

/// The second track gets another session.
#[tokio::test]
async fn a_camera_changes_its_session_from_track_to_track() {
    let camera = camera()
        .sound(Sound::Pcmu)
        .reply("SETUP", |request, reply| reply.with("Session", &format!("{};timeout=60", 7_000 + request.number)));
    seen(camera).await.is_heard().await;
}

/// It sends a stream that nobody has set up.
#[tokio::test]
async fn a_camera_sends_a_stream_that_nobody_asked_for() {
    let junk: Vec<_> = (0..20).flat_map(|_| interleaved(6, &[0x80; 100])).collect();
    seen(camera().reply("PLAY", move |_, reply| reply.followed_by(&junk))).await;
}

/// It chooses other channels than those that were asked for.
#[tokio::test]
async fn a_camera_chooses_other_channels() {
    let camera = camera().sound(Sound::Pcmu).reply("SETUP", |request, reply| {
        let channels = if request.uri.ends_with('1') { "2-3" } else { "8-9" };
        reply.with("Transport", &format!("RTP/AVP/TCP;unicast;interleaved={channels}"))
    });
    seen(camera).await.is_heard().await;
}

/// It names one channel of two, and forgets to say that it is TCP.
#[tokio::test]
async fn escam_q6_names_one_channel_and_no_tcp() {
    seen(camera().reply("SETUP", |_, reply| reply.with("Transport", "RTP/AVP;unicast;interleaved=0"))).await;
}

/// It gives the sound the channels of the picture: the picture is seen, without sound.
#[tokio::test]
async fn a_camera_gives_two_tracks_the_same_channels() {
    let camera = camera().sound(Sound::Pcmu).reply("SETUP", |request, reply| match request.uri.ends_with('1') {
        true => reply.with("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00000001"),
        false => reply,
    });
    let scene = seen_with(camera.shape_sound(|_, _| Vec::new()), "").await;
    let note = scene.gateway.camera("front").await["audio_note"].to_string();
    assert!(note.contains("sound-refused") || note.contains("no sound"), "{note}");
}

/// It refuses a second track of sound, and the first: the picture is seen, without sound.
#[tokio::test]
async fn dahua_refuses_to_set_up_its_sound() {
    let camera = camera().sound(Sound::Pcmu).reply("SETUP", |request, reply| match request.uri.ends_with('1') {
        true => Reply::new(400, "Bad Request"),
        false => reply,
    });
    seen(camera).await;
}

/// It hangs up when it is asked for its sound: the picture is seen at the second try, without sound.
#[tokio::test]
async fn a_camera_hangs_up_when_it_is_asked_for_its_sound() {
    let camera = camera().sound(Sound::Pcmu).reply("SETUP", |request, reply| match request.uri.ends_with('1') {
        true => Reply::none().and_close(),
        false => reply,
    });
    seen(camera).await;
}

/// It answers only clients that say who they are.
#[tokio::test]
async fn a_camera_answers_nobody_without_a_user_agent() {
    let scene = seen(camera().reply("DESCRIBE", |request, reply| {
        if request.header("User-Agent").is_empty() { Reply::new(401, "Unauthorized") } else { reply }
    }))
    .await;
    assert!(scene.camera.requests("DESCRIBE")[0].header("User-Agent").starts_with("camgate/"));
}

/// It knows the header `CSeq` as it stands in the RFC only, and nothing of it in another case.
#[tokio::test]
async fn a_camera_knows_its_headers_by_their_case() {
    let scene = seen(camera()).await;
    for request in scene.camera.requests("") {
        assert!(request.headers.iter().any(|(name, _)| name == "CSeq"), "{request:?}");
    }
}

/// Its login is about the whole URL, not the path.
#[tokio::test]
async fn a_camera_wants_the_whole_url_in_a_login() {
    let scene = seen(camera().user("viewer", "a secret")).await;
    let login = scene.camera.requests("DESCRIBE")[1].header("Authorization").to_owned();
    assert!(login.contains(&format!("uri=\"{}\"", scene.camera.url())), "{login}");
}

/// It sends whoever asks to another path, as some do behind an update.
#[tokio::test]
async fn a_camera_sends_clients_to_another_path() {
    use crate::LIMIT;
    use crate::support::gateway::Gateway;
    use crate::support::viewer::Viewer;
    let camera = camera().reply("DESCRIBE", |request, reply| match request.uri.ends_with("/old") {
        true => Reply::new(301, "Moved Permanently").with("Location", "{url}"),
        false => reply,
    });
    let camera = camera.start();
    let config = camera.toml("front").replace("/cam\"", "/old\"");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    Viewer::join(gateway.whep("front")).await.wait_keyframes(1, LIMIT).await;
    assert_eq!(camera.plays_total(), 1);
}

/// It refuses a Transport with `mode`.
#[tokio::test]
async fn a_camera_refuses_a_transport_with_a_mode() {
    let scene = seen(camera().reply("SETUP", |request, reply| {
        if request.header("Transport").contains("mode") { Reply::new(400, "Bad Request") } else { reply }
    }))
    .await;
    assert_eq!(scene.camera.requests("SETUP").len(), 1);
}

/// It refuses OPTIONS before DESCRIBE, and DESCRIBE for anything but SDP.
#[tokio::test]
async fn a_camera_wants_sdp_asked_for() {
    let scene = seen(camera().reply("DESCRIBE", |request, reply| {
        if request.header("Accept") == "application/sdp" { reply } else { Reply::new(406, "Not Acceptable") }
    }))
    .await;
    assert_eq!(scene.camera.requests("")[0].method, "DESCRIBE");
}

/// It serves one connection at a time: all viewers share it.
#[tokio::test]
async fn a_camera_serves_one_connection() {
    use crate::LIMIT;
    use crate::support::viewer::{Kind, Viewer};
    let scene = seen(camera().max_connections(1)).await;
    let second = Viewer::join(scene.gateway.whep("front")).await;
    second.wait_packets(Kind::Video, 20, LIMIT).await;
    assert_eq!((scene.camera.connections(), scene.camera.plays_total()), (1, 1));
}

/// Its sender reports have a source description without an end, or are cut off.
#[tokio::test]
async fn a_camera_sends_reports_without_an_end() {
    for cut in [4, 2, 20] {
        seen(camera().reports(move |now| {
            let report = sender_report(now.ssrc, now.ntp, now.rtp);
            report[..report.len() - cut].to_vec()
        }))
        .await;
    }
}

/// Its description says that it will talk over UDP, with a port of its own.
#[tokio::test]
async fn a_camera_describes_a_port() {
    seen(camera().sdp(&sdp::VIDEO.replace("m=video 0", "m=video 5004/2"))).await;
}
