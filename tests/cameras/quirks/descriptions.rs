//! What cameras describe (DESCRIBE, SDP).

use super::{camera, seen};
use crate::support::camera::scripted::{Sound, sdp};

/// Its Content-Base has no scheme.
#[tokio::test]
async fn anjvision_sends_a_content_base_without_a_scheme() {
    seen(camera().reply("DESCRIBE", |_, reply| {
        let base = reply.header("Content-Base").replace("{url}", "127.0.0.1/cam");
        reply.with("Content-Base", &base)
    }))
    .await;
}

/// The base is in Content-Location, or is the URL that was asked for.
#[tokio::test]
async fn a_camera_names_its_base_in_content_location_or_not_at_all() {
    seen(camera().reply("DESCRIBE", |_, reply| reply.without("Content-Base").with("Content-Location", "{url}/"))).await;
    let scene = seen(camera().reply("DESCRIBE", |_, reply| reply.without("Content-Base"))).await;
    let setup = &scene.camera.requests("SETUP")[0];
    assert_eq!(setup.uri, scene.camera.url() + "/trackID=0");
}

/// The control URL of a track is a whole URL.
#[tokio::test]
async fn vlc_describes_absolute_control_urls() {
    let template = sdp::VIDEO.replace("a=control:trackID=0", "a=control:{url}/trackID=0");
    let scene = seen(camera().sdp(&template)).await;
    assert_eq!(scene.camera.requests("SETUP")[0].uri, scene.camera.url() + "/trackID=0");
}

/// The stream's URL has a query, and the track's name is put behind that, as live555 and FFmpeg do and RFC 3986 does not.
#[tokio::test]
async fn dahua_has_a_query_in_its_url() {
    let camera = camera().mount("/cam/realmonitor?channel=1&subtype=0");
    let scene = seen(camera.reply("DESCRIBE", |_, reply| reply.without("Content-Base"))).await;
    assert_eq!(scene.camera.requests("SETUP")[0].uri, scene.camera.url() + "/trackID=0");
}

/// The control URL of the track begins with a slash.
#[tokio::test]
async fn a_camera_describes_a_control_url_with_a_slash() {
    seen(camera().sdp(&sdp::VIDEO.replace("a=control:trackID=0", "a=control:/trackID=0"))).await;
}

/// There is no control URL for the presentation: the one that was asked for is played.
#[tokio::test]
async fn a_camera_describes_no_control_url_for_the_whole() {
    let scene = seen(camera().sdp(&sdp::VIDEO.replace("a=control:*\n", ""))).await;
    assert!(scene.camera.requests("PLAY")[0].uri.starts_with(&scene.camera.url()));
}

/// `a=rtpmap` ends with a blank.
#[tokio::test]
async fn a_camera_ends_its_rtpmap_with_a_blank() {
    seen(camera().sdp(&sdp::VIDEO.replace("H264/90000", "H264/90000 "))).await;
}

/// `a=fmtp:96` says nothing: the parameter sets come with the picture.
#[tokio::test]
async fn ubiquiti_sends_an_empty_fmtp() {
    let fmtp = " packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sprop}";
    seen(camera().sdp(&sdp::VIDEO.replace(fmtp, ""))).await;
}

/// The `a=fmtp` of the picture names another payload type.
#[tokio::test]
async fn a_camera_puts_fmtp_on_another_payload_type() {
    seen(camera().sdp(&sdp::VIDEO.replace("a=fmtp:96", "a=fmtp:97"))).await;
}

/// There is a track besides the picture that is no RTP.
#[tokio::test]
async fn mercury_describes_a_track_that_cannot_be_understood() {
    let template = format!(
        "{}m=application/MERCURY 0 RTP/AVP smart/1/90000\na=rtpmap:95 MERCURY/90000\na=control:track3\n",
        sdp::VIDEO
    );
    seen(camera().sdp(&template)).await;
}

/// Beside the picture there are ONVIF events.
#[tokio::test]
async fn an_onvif_camera_describes_metadata_beside_the_picture() {
    let metadata = "m=application 0 RTP/AVP 98\na=rtpmap:98 vnd.onvif.metadata/90000\na=control:trackID=9\n";
    let scene = seen(camera().sdp(&format!("{}{metadata}", sdp::VIDEO))).await;
    assert_eq!(scene.camera.requests("SETUP").len(), 1, "the metadata is not asked for");
}

/// There is no line `o=`.
#[tokio::test]
async fn a_camera_describes_no_origin() {
    seen(camera().sdp(&sdp::VIDEO.replace("o=- 1 1 IN IP4 127.0.0.1\n", ""))).await;
}

/// There are no lines `s=` and `t=`.
#[tokio::test]
async fn a_camera_describes_neither_name_nor_time() {
    seen(camera().sdp(&sdp::VIDEO.replace("s=camera\n", "").replace("t=0 0\n", ""))).await;
}

/// The answer to DESCRIBE does not say that it is SDP.
#[tokio::test]
async fn a_camera_sends_no_content_type() {
    seen(camera().reply("DESCRIBE", |_, reply| reply.without("Content-Type"))).await;
}

/// The picture's tracks are marked as those that a client sends.
#[tokio::test]
async fn a_camera_marks_its_picture_as_a_back_channel() {
    let template = sdp::VIDEO.replace("a=control:trackID=0", "a=sendonly\na=control:trackID=0");
    seen(camera().sdp(&template)).await;
}

/// The sound is in two tracks, of which the second is for talking to people before the camera.
#[tokio::test]
async fn amcrest_describes_a_back_channel_behind_its_sound() {
    let back = "m=audio 0 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=sendonly\na=control:trackID=5\n";
    let scene = seen(camera().sound(Sound::Pcmu).sdp(&format!("{}{back}", sdp::VIDEO))).await;
    scene.is_heard().await;
    assert_eq!(scene.camera.requests("SETUP").len(), 2, "the back channel is not asked for");
}

/// The description has no parameter sets.
#[tokio::test]
async fn a_camera_describes_no_parameter_sets() {
    seen(camera().sdp(&sdp::VIDEO.replace(";sprop-parameter-sets={sprop}", ""))).await;
}

/// The described profile begins with the SPS's header, which is 27 here and not 67.
#[tokio::test]
async fn eufy_t8400_describes_a_profile_that_is_none() {
    seen(camera().sdp(&sdp::VIDEO.replace("{profile}", "276400")).shape(|line, unit| {
        let mut unit = unit.clone();
        (unit.sps[0], unit.pps[0]) = (0x27, 0x28);
        line.packetize(&unit)
    }))
    .await;
}

/// The described parameter sets are empty.
#[tokio::test]
async fn hikvision_describes_empty_parameter_sets() {
    seen(camera().sdp(&sdp::VIDEO.replace("{sprop}", ""))).await;
}

/// The described parameter sets are cut off, or no base64; those before each keyframe are whole.
#[tokio::test]
async fn a_camera_describes_parameter_sets_that_are_cut_off() {
    for sets in ["Z0I=,aM4=", "Z0I", "-,-"] {
        seen(camera().sdp(&sdp::VIDEO.replace("{sprop}", sets))).await;
    }
}

/// The described parameter sets have start codes.
#[tokio::test]
async fn a_camera_describes_parameter_sets_with_start_codes() {
    use crate::support::camera::scripted::packets::annex_b;
    use base64::{Engine, engine::general_purpose::STANDARD};
    let clip = super::QUICK.clip();
    let [sps, pps] = [&clip.units[0].sps, &clip.units[0].pps].map(|nal| STANDARD.encode(annex_b(&[nal])));
    seen(camera().sdp(&sdp::VIDEO.replace("{sprop}", &format!("{sps},{pps}")))).await;
}
