//! The way of a unit from the producer to mailboxes and to newcomers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::{
    hub::{CameraState, Delivery, GopLimits, mailbox},
    media::{AudioCodec, ClockRate, MediaTime},
};

fn camera() -> Arc<Camera> {
    let limits = GopLimits { max_bytes: 1_000_000, max_age: Duration::from_secs(30) };
    Camera::new("front".parse().expect("a name"), limits)
}

fn producer() -> Producer {
    let mut producer = Producer::new(camera());
    producer.set_video(format(1));
    producer
}

fn format(tag: u8) -> VideoFormat {
    VideoFormat { sps: vec![0x67, tag].into(), pps: vec![vec![0x68, tag].into()], width: 16, height: 16 }
}

/// One picture per 40 ms; NAL unit type 5 makes a keyframe.
fn picture(start: Instant, index: u32, keyframe: bool) -> AccessUnit {
    let nal = if keyframe { 0x65 } else { 0x41 };
    AccessUnit {
        kind: Kind::Video,
        time: MediaTime { ticks: i64::from(index) * 3_600, rate: ClockRate::VIDEO },
        captured: start + index * Duration::from_millis(40),
        keyframe,
        data: Bytes::from(vec![0, 0, 0, 2, nal, index as u8]),
    }
}

fn received(queue: &mut mpsc::Receiver<Delivery>) -> Vec<u64> {
    std::iter::from_fn(|| queue.try_recv().ok()).map(|delivery| delivery.unit.number).collect()
}

#[test]
fn a_newcomer_gets_gop_and_live_without_gap_or_overlap() {
    let mut producer = producer();
    let start = Instant::now();
    for index in 0..5 {
        producer.publish(&picture(start, index, index % 3 == 0));
    }
    let (mailbox, mut queue) = mailbox(16);
    let attachment = producer.camera().attach(&mailbox);
    let join = producer.camera().join();
    let cached: Vec<_> = join.gop.iter().map(|unit| unit.number).collect();
    assert_eq!((cached, join.next), (vec![3, 4], 5));
    producer.publish(&picture(start, 5, false));
    assert_eq!(received(&mut queue), [5]);
    drop(attachment);
    producer.publish(&picture(start, 6, true));
    assert!(received(&mut queue).is_empty());
}

#[test]
fn a_full_mailbox_goes_on_at_the_next_keyframe_and_disturbs_no_other() {
    let mut producer = producer();
    let start = Instant::now();
    let (slow, mut slow_queue) = mailbox(2);
    let (quick, mut quick_queue) = mailbox(16);
    let _attachments = (producer.camera().attach(&slow), producer.camera().attach(&quick));
    for index in 0..4 {
        producer.publish(&picture(start, index, index == 0));
    }
    assert_eq!(received(&mut slow_queue), [0, 1]);
    producer.publish(&picture(start, 4, false));
    assert!(received(&mut slow_queue).is_empty(), "it could not be decoded");
    producer.publish(&picture(start, 5, true));
    producer.publish(&picture(start, 6, false));
    assert_eq!(received(&mut slow_queue), [5, 6]);
    assert_eq!(received(&mut quick_queue), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(producer.camera().counters.dropped.total(), 3);
}

#[test]
fn nothing_is_sent_before_the_parameter_sets_and_new_ones_count_at_once() {
    let mut producer = Producer::new(camera());
    let start = Instant::now();
    producer.publish(&picture(start, 0, true));
    assert_eq!(producer.camera().counters.unusable.total(), 1);
    assert_eq!(producer.camera().join().next, 0);
    for tag in [1, 2] {
        producer.set_video(format(tag));
        producer.publish(&picture(start, tag.into(), true));
        let gop = producer.camera().join().gop;
        assert_eq!(gop[0].payloads[0], [0x78, 0, 2, 0x67, tag, 0, 2, 0x68, tag].as_slice());
    }
}

#[test]
fn an_interrupted_camera_shows_newcomers_nothing_old() {
    let mut producer = producer();
    producer.publish(&picture(Instant::now(), 0, true));
    producer.camera().forget_gop();
    assert!(producer.camera().join().gop.is_empty());
}

#[test]
fn rates_and_gop_length_are_measured() {
    let mut producer = producer();
    let start = Instant::now();
    for index in 0..100 {
        producer.publish(&picture(start, index, index % 25 == 0));
    }
    let snapshot = producer.camera().snapshot(start + Duration::from_millis(99 * 40));
    assert!((snapshot.fps - 25.0).abs() < 0.1, "{}", snapshot.fps);
    assert_eq!(snapshot.gop, Some(Duration::from_secs(1)));
    assert!(snapshot.bitrate_bps > 0.0);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_camera_ends_when_it_is_live_or_will_not_be() {
    let producer = Producer::new(camera());
    let camera = producer.camera().clone();
    let deadline = Duration::from_secs(10);
    assert_eq!(camera.wait_ready(deadline).await.map_err(|status| status.state), Err(CameraState::Idle));
    let waiting = tokio::spawn({
        let camera = camera.clone();
        async move { camera.wait_ready(deadline).await }
    });
    camera.set_state(CameraState::Live);
    producer.set_audio(Some(AudioFormat { codec: AudioCodec::Opus, channels: 2 }));
    assert!(waiting.await.is_ok_and(|formats| formats.is_ok_and(|formats| formats.audio.is_some())));
    let retry_at = Instant::now() + Duration::from_secs(60);
    camera.set_state(CameraState::BackingOff { reason: Reason::new("wrong-password", "wrong password"), retry_at });
    let before = tokio::time::Instant::now();
    assert!(camera.wait_ready(deadline).await.is_err_and(|status| status.reason.is_some()));
    assert_eq!(before.elapsed(), Duration::ZERO, "there is nothing to wait for");
    let reason = Reason::new("unreachable", "no route");
    camera.set_state(CameraState::BackingOff { reason, retry_at: Instant::now() });
    let before = tokio::time::Instant::now();
    assert!(camera.wait_ready(deadline).await.is_err_and(|status| status.reason.is_some()));
    assert!(before.elapsed() < deadline, "nobody knows for how long a camera is away");
}

#[test]
fn an_outage_has_one_beginning_however_often_it_is_tried_again() {
    let camera = camera();
    let reason = Reason::new("unreachable", "no route");
    let failed = || CameraState::BackingOff { reason: reason.clone(), retry_at: Instant::now() };
    camera.set_state(CameraState::Connecting);
    camera.set_state(failed());
    let since = camera.status().since;
    for _ in 0..3 {
        camera.set_state(CameraState::Connecting);
        assert_eq!(camera.status().reason.as_ref(), Some(&reason), "while it is tried the page still says why");
        camera.set_state(failed());
        assert_eq!(camera.status().since, since);
    }
    camera.set_state(CameraState::Live);
    assert_eq!(camera.status().reason, None);
}

#[test]
fn viewers_are_counted_while_they_look() {
    let camera = camera();
    let count = camera.viewers();
    let (first, second) = (camera.view(), camera.view());
    assert_eq!(*count.borrow(), 2);
    drop((first, second));
    assert_eq!(*count.borrow(), 0);
}

#[test]
fn new_parameter_sets_end_the_words_about_b_frames() {
    let mut producer = producer();
    let start = Instant::now();
    let told = |producer: &Producer| producer.camera().formats().video_note().is_some();
    producer.publish(&picture(start, 0, true));
    assert!(!told(&producer));
    let b_slice = Bytes::from_static(&[0, 0, 0, 2, 0x01, 0b1010_0000]);
    producer.publish(&AccessUnit { data: b_slice, ..picture(start, 1, false) });
    assert!(told(&producer));
    producer.set_video(format(1));
    producer.publish(&picture(start, 2, false));
    assert!(told(&producer), "the same ones change nothing");
    producer.set_video(format(2));
    producer.publish(&picture(start, 3, true));
    assert!(!told(&producer));
}

#[test]
fn a_keyframe_is_overdue_when_somebody_has_waited_for_a_minute() {
    let limits = GopLimits { max_bytes: 1_000_000, max_age: Duration::from_secs(1) };
    let mut producer = Producer::new(Camera::new("front".parse().expect("a name"), limits));
    producer.set_video(format(1));
    let camera = producer.camera().clone();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    producer.publish(&picture(start, 0, true));
    camera.request_keyframe();
    assert!(!camera.is_keyframe_overdue(at(70)), "the cache has one");
    producer.publish(&picture(start, 40, false));
    assert!(!camera.is_keyframe_overdue(at(70)), "nobody waits");
    camera.request_keyframe();
    assert!(!camera.is_keyframe_overdue(at(59)));
    assert!(camera.is_keyframe_overdue(at(60)));
    producer.publish(&picture(start, 70 * 25, true));
    assert!(!camera.is_keyframe_overdue(at(200)), "it came");
}
