//! Times that jump, stand still, or run at another rate than they should, and reports about them that lie.

use std::time::Duration;

use super::{FAULT, VIDEO, scene};
use crate::support::camera::scripted::packets::sender_report;
use crate::support::camera::scripted::{Builder, Now, Scripted, Sound};

/// What the camera's reports count from in its first session.
const BASE: i64 = 0x1000_0000 + 12_345;
const HOUR: i64 = 3_600 * 90_000;
/// Pictures behind the fault by which a wrong rate is known and made up for.
const SETTLED: u64 = FAULT + 300;

/// A camera with sound, whose pictures have these times from [`FAULT`] on: `0` pictures later.
fn camera(tell: impl Fn(i64) -> i64 + Send + Sync + 'static) -> Builder {
    Scripted::builder().video(VIDEO).sound(Sound::Pcmu).timestamps(move |frame, _| {
        let before = FAULT as i64 * 3_600;
        let ticks = match frame {
            ..FAULT => frame as i64 * 3_600,
            _ => before + tell((frame - FAULT) as i64),
        };
        (BASE + ticks) as u32
    })
}

/// The picture's clock jumps, once.
async fn jumps(by: i64, what: &str) {
    let scene = scene(camera(move |later| later * 3_600 + by)).await;
    scene.goes_on(what).await;
    scene.is_in_step().await;
    scene.runs_at_the_right_rate(50);
    scene.is_first_session();
}

#[tokio::test]
async fn times_jump_forward_by_an_hour() {
    jumps(HOUR, "times an hour forward").await;
}

#[tokio::test]
async fn times_jump_backward_by_an_hour() {
    jumps(-HOUR, "times an hour back").await;
}

#[tokio::test]
async fn times_jump_backward_by_half_a_second() {
    jumps(-45_000, "times half a second back").await;
}

/// The picture's clock goes at another rate from [`FAULT`] on.
async fn runs(ticks_per_picture: i64, what: &str) {
    let scene = scene(camera(move |later| later * ticks_per_picture)).await;
    scene.sent(SETTLED).await;
    scene.goes_on(what).await;
    scene.runs_at_the_right_rate(125);
    scene.is_in_step().await;
    scene.is_first_session();
}

#[tokio::test]
async fn times_stand_still() {
    runs(0, "times that stand still").await;
}

/// A camera that counts its pictures, and makes half as many at night.
#[tokio::test]
async fn times_run_at_half_the_rate() {
    runs(1_800, "times at half the rate").await;
}

/// A camera that says 30 pictures a second, and makes 25.
#[tokio::test]
async fn times_run_five_sixths_as_fast() {
    runs(3_000, "times five sixths as fast").await;
}

#[tokio::test]
async fn times_run_twice_as_fast() {
    runs(7_200, "times twice as fast").await;
}

#[tokio::test]
async fn times_run_backward() {
    runs(-3_600, "times that run backward").await;
}

/// Reports that are not true, of a camera whose times are.
async fn lies(what: &str, tell: impl Fn(&Now) -> Vec<u8> + Send + Sync + 'static) {
    let scene = scene(Scripted::builder().video(VIDEO).sound(Sound::Pcmu).reports(tell)).await;
    scene.sent(200).await;
    scene.goes_on(what).await;
    scene.runs_at_the_right_rate(50);
    scene.is_in_step().await;
    scene.is_first_session();
}

/// The camera's clock stands still.
#[tokio::test]
async fn reports_always_tell_the_same_time() {
    lies("reports of one time", |now| sender_report(now.ssrc, 0xe000_0000 << 32, now.rtp)).await;
}

/// The sound's reports are an hour ahead of the picture's.
#[tokio::test]
async fn reports_of_two_tracks_are_an_hour_apart() {
    lies("reports an hour apart", |now| {
        let ahead = if now.track == 0 { 0 } else { 3_600 << 32 };
        sender_report(now.ssrc, now.ntp.wrapping_add(ahead), now.rtp)
    })
    .await;
}

/// The camera's clock is set again and again.
#[tokio::test]
async fn reports_jump_by_a_minute_each_time() {
    lies("reports that jump", |now| {
        let jump = if now.count % 2 == 0 { 0 } else { 60 << 32 };
        sender_report(now.ssrc, now.ntp.wrapping_add(jump), now.rtp)
    })
    .await;
}

/// Media times in reports have nothing to do with those of the packets.
#[tokio::test]
async fn reports_tell_times_of_another_stream() {
    lies("reports of another stream", |now| sender_report(now.ssrc, now.ntp, now.rtp ^ 0x5555_5555)).await;
}

/// The picture's reports tell that it takes 300 ms longer than the sound, as an encoder may.
#[tokio::test]
async fn reports_tell_a_delay_that_is_none() {
    lies("reports of a delay", |now| {
        let late = if now.track == 0 { Duration::from_millis(300) } else { Duration::ZERO };
        sender_report(now.ssrc, now.ntp - (((late.as_millis() as u64) << 32) / 1_000), now.rtp)
    })
    .await;
}
