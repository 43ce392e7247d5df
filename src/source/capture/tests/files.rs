//! Files that are played for ever.

use gstreamer as gst;
use gstreamer::prelude::*;

use super::*;
use crate::media::AudioCodec;

/// Seconds that the files last.
const LENGTH: i64 = 2;
const SECOND: i64 = 1_000_000_000;

/// Makes a file.
fn make(file: &str, video: &str, audio: Option<&str>, mux: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file).to_string_lossy().into_owned();
    let mut launch = format!(
        "{mux} name=mux ! filesink location={path} videotestsrc num-buffers={} \
         ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! {video} ! mux.",
        LENGTH * 25
    );
    if let Some(audio) = audio {
        // A bit longer than the picture, as sound usually is.
        launch += &format!(
            " audiotestsrc num-buffers={} samplesperbuffer=480 ! audio/x-raw,rate=48000 ! {audio} ! mux.",
            LENGTH * 100 + 7
        );
    }
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &ends).unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    // Names that people give have spaces.
    let named = folder.path().join(format!("my {file}"));
    std::fs::rename(&path, &named).unwrap();
    let path = named.to_string_lossy().into_owned();
    (folder, path)
}

const LIVE_H264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse";
const B_FRAMES: &str = "x264enc bframes=3 b-adapt=false speed-preset=ultrafast ! h264parse";

/// Three rounds without an end and without a jump in time.
async fn check_rounds(run: &mut Run, sound: bool) {
    let began = Instant::now();
    let pictures = (LENGTH * 25 * 3) as usize;
    run.take(pictures, 0).await.unwrap();
    let took = began.elapsed().as_secs_f64();
    run.check_pictures(320, 180);
    let steps: Vec<_> = run.pictures.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    // A round's last picture may last as long as the sound, which is 70 ms more.
    assert!(steps.iter().all(|step| *step > 0 && *step < SECOND / 4), "{steps:?}");
    let span = run.pictures[pictures - 1].0 - run.pictures[0].0;
    assert!((span - 3 * LENGTH * SECOND).abs() < SECOND / 2, "{span}");
    assert!((took - span as f64 / 1e9).abs() < 1.5, "{took} s for {span} ns");
    if sound {
        assert_eq!(run.audio.map(|audio| audio.codec), Some(AudioCodec::Opus));
        let steps: Vec<_> = run.sounds.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(run.sounds.len() > 250 && steps.iter().all(|step| *step > 0 && *step < SECOND / 4), "{steps:?}");
    }
}

#[tokio::test]
async fn h264_in_mp4_loops_without_being_encoded() {
    let (_folder, file) = make("film.mp4", LIVE_H264, Some("avenc_aac ! aacparse"), "mp4mux");
    let mut run = Run::start(&shipped("file-h264", &[], &[("file", &file)]));
    check_rounds(&mut run, true).await;
    let keyframes = run.pictures.iter().filter(|(_, keyframe)| *keyframe).count();
    assert_eq!(keyframes, 6, "{:?}", run.pictures);
}

#[tokio::test]
async fn h264_in_matroska_loops_without_being_encoded() {
    let (_folder, file) = make("film.mkv", LIVE_H264, Some("opusenc"), "matroskamux");
    let mut run = Run::start(&shipped("file-h264", &[], &[("file", &file)]));
    check_rounds(&mut run, true).await;
}

#[tokio::test]
async fn a_mute_file_loops() {
    let (_folder, file) = make("film.mp4", LIVE_H264, None, "mp4mux");
    let mut run = Run::start(&shipped("file-h264", &[], &[("file", &file)]));
    check_rounds(&mut run, false).await;
}

#[tokio::test]
async fn other_files_are_encoded_and_loop() {
    let (_folder, file) = make("film.mp4", B_FRAMES, Some("avenc_aac ! aacparse"), "mp4mux");
    let with = [("file", file.as_str()), ("width", "320"), ("height", "180"), ("gop", "1000")];
    let mut run = Run::start(&shipped("file", &[], &with));
    check_rounds(&mut run, true).await;
    run.check_keyframe_on_request().await;
}

#[tokio::test]
async fn a_file_with_b_frames_is_refused_with_what_to_do() {
    let (_folder, file) = make("film.mp4", B_FRAMES, None, "mp4mux");
    let failure = Run::start(&shipped("file-h264", &[], &[("file", &file)])).failure().await;
    assert!(failure.contains("B-frames") && failure.contains("pipeline = \"file\""), "{failure}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let launch = shipped("file", &[], &[("file", "/no/such film.mp4")]);
    let refused = Pipeline::start(&launch.description(element(&launch)), None, &words()).unwrap_err().to_string();
    assert!(refused.contains("/no/such film.mp4"), "{refused}");
}
