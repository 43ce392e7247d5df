//! Webcams, the ribbon camera, microphones.

use super::{super::encoder::Element, *};
use crate::media::AudioCodec;

const V4L2: &str = "v4l2src device={device=/dev/video0}";
const ALSA: &str = "alsasrc device={device=default} buffer-time=100000 latency-time=10000";
const MICROPHONE: &str = "alsasrc device={microphone=default} buffer-time=100000 latency-time=10000";
const PICTURE: &str = "videotestsrc is-live=true";
const SOUND: &str = "audiotestsrc is-live=true samplesperbuffer=480";
/// A small picture, and keyframes so far apart that only a request gives one.
const SMALL: [(&str, &str); 4] = [("width", "320"), ("height", "180"), ("fps", "25"), ("gop", "1000")];

fn values<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    SMALL.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn raw_pictures_are_encoded_by_every_software_encoder() {
    for encoder in [Element::X264, Element::OpenH264] {
        let launch = shipped("v4l2-encode", &[(V4L2, PICTURE)], &values(&[("encoder", encoder.name())]));
        let mut run = Run::start(&launch);
        run.take(25, 0).await.unwrap();
        run.check_pictures(320, 180);
        assert_eq!(run.pictures.iter().filter(|(_, keyframe)| *keyframe).count(), 1, "{encoder}: {:?}", run.pictures);
        run.check_keyframe_on_request().await;
        // Baseline, with the flag that makes it the constrained one.
        let [profile, flags, _] = run.video.unwrap().profile_level_id();
        assert_eq!((profile, flags & 0x40), (0x42, 0x40), "{encoder}");
    }
}

#[tokio::test]
async fn jpegs_are_decoded_and_encoded() {
    let camera = "videotestsrc is-live=true ! video/x-raw,format=I420 ! jpegenc";
    let mut run = Run::start(&shipped("v4l2-encode", &[(V4L2, camera)], &values(&[])));
    run.take(25, 0).await.unwrap();
    run.check_pictures(320, 180);
    run.check_keyframe_on_request().await;
}

#[tokio::test]
async fn keyframes_come_as_often_as_asked() {
    let with = [("width", "320"), ("height", "180"), ("gop", "5"), ("bitrate", "200")];
    let mut run = Run::start(&shipped("v4l2-encode", &[(V4L2, PICTURE)], &with));
    run.take(21, 0).await.unwrap();
    let keyframes: Vec<_> = (0..21).filter(|at| run.pictures[*at].1).collect();
    assert_eq!(keyframes, [0, 5, 10, 15, 20]);
}

#[tokio::test]
async fn a_camera_s_own_h264_is_passed_on() {
    let device = "v4l2src device={device=/dev/video0} extra-controls=\"controls,video_bitrate={bitrate=2500}000,\
                  h264_i_frame_period={gop=60},video_gop_size={gop=60},repeat_sequence_header=1\"";
    let camera = "videotestsrc is-live=true ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop=25} \
                  byte-stream=true";
    let with = [("width", "320"), ("height", "180"), ("fps", "25"), ("gop", "10")];
    let mut run = Run::start(&shipped("v4l2-h264", &[(device, camera)], &with));
    run.take(25, 0).await.unwrap();
    run.check_pictures(320, 180);
    assert!(run.pictures[10].1 && run.pictures[20].1);
}

#[tokio::test]
async fn the_ribbon_camera() {
    let swap = [("libcamerasrc camera-name=\"{camera=}\"", PICTURE)];
    let mut run = Run::start(&shipped("libcamera", &swap, &values(&[])));
    run.take(25, 0).await.unwrap();
    run.check_pictures(320, 180);
    run.check_keyframe_on_request().await;
}

#[tokio::test]
async fn a_microphone_alone() {
    for (channels, given) in [("1", 1), ("2", 2)] {
        let mut run = Run::start(&shipped("alsa", &[(ALSA, SOUND)], &[("channels", channels)]));
        assert!(!run.output.has_video);
        run.take(0, 50).await.unwrap();
        let audio = run.audio.unwrap();
        assert_eq!((audio.codec, audio.channels), (AudioCodec::Opus, given));
        // The first one is shorter by what the encoder is ahead.
        assert!(run.sounds[1..].windows(2).all(|pair| pair[1].0 - pair[0].0 == 20_000_000), "{:?}", run.sounds);
    }
}

#[tokio::test]
async fn a_webcam_with_its_microphone() {
    let swaps = [(V4L2, PICTURE), (MICROPHONE, SOUND)];
    let mut run = Run::start(&shipped("v4l2-alsa", &swaps, &values(&[])));
    run.take(25, 40).await.unwrap();
    run.check_pictures(320, 180);
    assert_eq!(run.audio.map(|audio| audio.codec), Some(AudioCodec::Opus));
    run.check_keyframe_on_request().await;
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let launch = shipped("v4l2-encode", &[], &[("device", "/dev/no-such-camera")]);
    let refused = Pipeline::start(&launch.description(element(&launch)), None, &words()).unwrap_err().to_string();
    assert!(refused.starts_with("pipeline test: v4l2src"), "{refused}");
    assert!(refused.contains(": there is no /dev/no-such-camera: plug it in, or set another device"), "{refused}");
}

#[tokio::test]
async fn b_frames_are_refused_with_what_to_do() {
    let text = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=50/1 \
                ! x264enc bframes=2 b-adapt=false speed-preset=ultrafast rc-lookahead=0 sync-lookahead=0 \
                ! h264parse ! appsink name=video";
    let failure = Run::start(&read(text, &[])).failure().await;
    assert!(failure.contains("B-frames") && failure.contains("{encoder}"), "{failure}");
}
