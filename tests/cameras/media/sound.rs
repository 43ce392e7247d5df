//! Sound that comes late, stops, or has a clock of its own.

use super::{FAULT, VIDEO, scene};
use crate::LIMIT;
use crate::support::camera::scripted::packets::sender_report;
use crate::support::camera::scripted::{Builder, Scripted, Sound};
use crate::support::viewer::Kind;

fn camera() -> Builder {
    Scripted::builder().video(VIDEO).sound(Sound::Pcmu)
}

/// Sound begins three seconds behind the picture.
#[tokio::test]
async fn sound_starts_late() {
    let scene = scene(camera().shape_sound(|line, payload| match line.frame {
        ..150 => Vec::new(),
        _ => vec![line.packet(payload.to_vec(), false)],
    }))
    .await;
    scene.goes_on("sound that starts late").await;
    scene.viewer.wait_packets(Kind::Audio, 50, LIMIT).await;
    scene.is_smooth();
    scene.is_in_step().await;
    scene.is_first_session();
}

/// Sound stops for four seconds and goes on: the picture does not wait for it.
#[tokio::test]
async fn sound_stops_and_goes_on() {
    let scene = scene(camera().shape_sound(|line, payload| match line.frame {
        150..350 => Vec::new(),
        _ => vec![line.packet(payload.to_vec(), false)],
    }))
    .await;
    scene.goes_on("sound that stops").await;
    scene.viewer.wait_packets(Kind::Audio, 200, LIMIT).await;
    scene.is_smooth();
    scene.is_in_step().await;
    scene.is_first_session();
}

/// Sound stops for good.
#[tokio::test]
async fn sound_stops_for_good() {
    let scene = scene(camera().shape_sound(|line, payload| match line.frame {
        150.. => Vec::new(),
        _ => vec![line.packet(payload.to_vec(), false)],
    }))
    .await;
    scene.goes_on("sound that stops for good").await;
    scene.sent(FAULT + 200).await;
    scene.is_watched().await;
    scene.is_first_session();
}

/// The picture's clock is half a percent fast, the sound's half a percent slow.
#[tokio::test]
async fn both_clocks_drift() {
    let camera = camera()
        .timestamps(|_, at| (at.as_secs_f64() * 90_000.0 * 1.005) as u32)
        .shape_sound(|line, payload| {
            line.timestamp = (line.frame as f64 * 160.0 * 0.995) as u32;
            vec![line.packet(payload.to_vec(), false)]
        })
        .reports(|now| {
            let (hz, rate) = if now.track == 0 { (90_000.0, 1.005) } else { (8_000.0, 0.995) };
            sender_report(now.ssrc, now.ntp, (now.elapsed.as_secs_f64() * hz * rate) as u32)
        });
    let scene = scene(camera).await;
    scene.sent(500).await;
    scene.goes_on("clocks that drift").await;
    scene.runs_at_the_right_rate(400);
    scene.is_in_step().await;
    scene.is_first_session();
}
