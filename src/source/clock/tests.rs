use super::*;
use crate::media::ClockRate;

/// A camera whose picture takes longer to encode than its sound, seen through a network.
struct Camera {
    zero: Instant,
    clock: Clock,
    /// Its clock's error in parts per million.
    ppm: f64,
    /// A fixed pseudo-random sequence for the network.
    seed: u64,
    last: [Option<Instant>; 2],
}

const VIDEO_DELAY: f64 = 0.150;
const AUDIO_DELAY: f64 = 0.020;
const JITTER: f64 = 0.030;
/// Camera time at the start: some moment in 2026, in seconds since 1900.
const NTP: f64 = 4.0e9;

impl Camera {
    fn new(ppm: f64) -> Self {
        Self { zero: Instant::now(), clock: Clock::default(), ppm, seed: 1, last: [None; 2] }
    }

    fn jitter(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every fourth packet is not delayed.
        ((self.seed >> 33) as f64 / (1u64 << 31) as f64 - 0.25).max(0.0) * JITTER
    }

    fn at(&self, seconds: f64) -> Instant {
        self.zero + Duration::from_secs_f64(seconds)
    }

    fn media(&self, kind: Kind, seconds: f64) -> MediaTime {
        let (rate, start) = match kind {
            Kind::Video => (ClockRate::VIDEO, 1_000_000.0),
            Kind::Audio => (ClockRate::G711, 77_000.0),
        };
        let ticks = start + seconds * (1.0 + self.ppm / 1e6) * f64::from(rate.hz());
        MediaTime { ticks: ticks.round() as i64, rate }
    }

    /// A unit captured at `seconds` that arrives after `delay`; returns how much later than that `captured` is, in
    /// seconds. Checks what must always hold.
    fn unit_after(&mut self, kind: Kind, seconds: f64, delay: f64) -> f64 {
        let arrival = self.at(seconds + delay);
        let last = &mut self.last[kind as usize];
        let arrival = last.map_or(arrival, |last| arrival.max(last));
        *last = Some(arrival);
        let media = self.media(kind, seconds);
        let captured = self.clock.captured(kind, media, arrival);
        assert!(captured <= arrival, "in the future");
        captured.duration_since(self.zero).as_secs_f64() - seconds
    }

    fn unit(&mut self, kind: Kind, seconds: f64) -> f64 {
        let delay = match kind {
            Kind::Video => VIDEO_DELAY,
            Kind::Audio => AUDIO_DELAY,
        };
        let delay = delay + self.jitter();
        self.unit_after(kind, seconds, delay)
    }

    fn report(&mut self, kind: Kind, seconds: f64, ntp: f64) {
        let media = self.media(kind, seconds);
        let ntp = NtpTime((ntp * 4_294_967_296.0) as u64);
        self.clock.sender_report(kind, media, ntp, self.at(seconds + 0.01));
    }

    /// Both tracks from `from` to `to` seconds; `report` is called every 5 s. Returns the errors of each pair.
    fn run(&mut self, from: u32, to: u32, mut report: impl FnMut(&mut Self, f64)) -> Vec<(f64, f64)> {
        let mut errors = Vec::new();
        for frame in from * 25..to * 25 {
            let seconds = f64::from(frame) / 25.0;
            if frame % 125 == 50 {
                report(self, seconds);
            }
            errors.push((self.unit(Kind::Video, seconds), self.unit(Kind::Audio, seconds)));
        }
        errors
    }
}

fn honest(camera: &mut Camera, seconds: f64) {
    let ntp = NTP + seconds * (1.0 + camera.ppm / 1e6);
    camera.report(Kind::Video, seconds, ntp);
    camera.report(Kind::Audio, seconds, ntp);
}

fn never(_: &mut Camera, _: f64) {}

/// The captured times of one track never go back and never move by more than the slew allows.
fn assert_smooth(errors: &[f64]) {
    for pair in errors.windows(2) {
        let step = pair[1] - pair[0];
        assert!(step.abs() <= 0.04 / 40.0 + 0.002, "moved by {step}");
    }
}

fn columns(errors: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
    errors.iter().copied().unzip()
}

#[test]
fn by_arrival_jitter_does_not_wobble() {
    let mut camera = Camera::new(0.0);
    let errors = camera.run(0, 60, never);
    let (video, audio) = columns(&errors[50..]);
    for (errors, delay) in [(video, VIDEO_DELAY), (audio, AUDIO_DELAY)] {
        let (min, max) = errors.iter().fold((f64::MAX, f64::MIN), |(min, max), e| (min.min(*e), max.max(*e)));
        assert!(min >= delay - 0.001 && max - min < 0.001, "{min} {max}");
    }
}

#[test]
fn reports_on_both_tracks_bring_lips_and_voice_together() {
    let mut camera = Camera::new(0.0);
    let errors = camera.run(0, 60, honest);
    let (video, audio) = errors.last().copied().unwrap();
    assert!((video - audio).abs() < 0.001, "{video} {audio}");
    assert!((audio - AUDIO_DELAY).abs() < 0.002, "{audio}");
}

#[test]
fn reports_that_come_late_are_slewed_to() {
    let mut camera = Camera::new(0.0);
    let before = camera.run(0, 30, never);
    let (video, audio) = *before.last().unwrap();
    assert!((video - audio - (VIDEO_DELAY - AUDIO_DELAY)).abs() < 0.002);
    let errors = camera.run(30, 60, honest);
    let (video, audio) = columns(&errors);
    assert_smooth(&video);
    assert_smooth(&audio);
    assert!((video.last().unwrap() - audio.last().unwrap()).abs() < 0.001);
}

#[test]
fn a_drift_of_100_ppm_is_followed_for_an_hour() {
    for ppm in [100.0, -100.0] {
        for report in [never, honest] {
            let mut camera = Camera::new(ppm);
            let errors = camera.run(0, 3_600, report);
            let (video, audio) = columns(&errors[25 * 30..]);
            assert_smooth(&video);
            assert_smooth(&audio);
            for (video, audio) in video.iter().zip(&audio) {
                assert!(*audio > AUDIO_DELAY - 0.003 && *audio < AUDIO_DELAY + 0.003, "{ppm} {audio}");
                assert!(*video > AUDIO_DELAY - 0.003 && *video < VIDEO_DELAY + 0.003, "{ppm} {video}");
            }
        }
    }
}

#[test]
fn a_report_whose_rtp_timestamp_lies_is_not_believed() {
    let mut camera = Camera::new(0.0);
    let errors = camera.run(0, 60, |camera, seconds| {
        let ntp = NTP + seconds;
        camera.report(Kind::Video, seconds, ntp);
        let media = camera.media(Kind::Audio, seconds + 1_000.0);
        let ntp = NtpTime((ntp * 4_294_967_296.0) as u64);
        camera.clock.sender_report(Kind::Audio, media, ntp, camera.at(seconds));
    });
    let (video, audio) = *errors.last().unwrap();
    assert!((video - VIDEO_DELAY).abs() < 0.001 && (audio - AUDIO_DELAY).abs() < 0.001, "{video} {audio}");
}

#[test]
fn tracks_that_count_from_different_epochs_are_not_tied_together() {
    let mut camera = Camera::new(0.0);
    let errors = camera.run(0, 60, |camera, seconds| {
        camera.report(Kind::Video, seconds, NTP + seconds);
        camera.report(Kind::Audio, seconds, 17.0 + seconds);
    });
    let (video, audio) = *errors.last().unwrap();
    assert!((video - VIDEO_DELAY).abs() < 0.001 && (audio - AUDIO_DELAY).abs() < 0.001, "{video} {audio}");
}

#[test]
fn reports_that_always_say_the_same_time_are_not_believed() {
    let mut camera = Camera::new(0.0);
    let errors = camera.run(0, 60, |camera, seconds| {
        camera.report(Kind::Video, seconds, NTP);
        camera.report(Kind::Audio, seconds, NTP);
    });
    let (video, audio) = columns(&errors[25 * 30..]);
    assert_smooth(&video);
    assert!((video.last().unwrap() - VIDEO_DELAY).abs() < 0.001, "{:?}", video.last());
    assert!((audio.last().unwrap() - AUDIO_DELAY).abs() < 0.001, "{:?}", audio.last());
}

#[test]
fn a_camera_that_sets_its_clock_is_not_noticed() {
    let mut camera = Camera::new(0.0);
    camera.run(0, 30, |camera, seconds| {
        camera.report(Kind::Video, seconds, 100.0 + seconds);
        camera.report(Kind::Audio, seconds, 100.0 + seconds);
    });
    let errors = camera.run(30, 90, honest);
    let (video, audio) = columns(&errors);
    assert_smooth(&video);
    assert_smooth(&audio);
    assert!((video.last().unwrap() - audio.last().unwrap()).abs() < 0.001);
}

#[test]
fn without_newer_reports_the_old_ones_are_given_up() {
    let mut camera = Camera::new(0.0);
    camera.run(0, 30, honest);
    let errors = camera.run(30, 120, never);
    let (video, audio) = *errors.last().unwrap();
    assert!((video - VIDEO_DELAY).abs() < 0.002 && (audio - AUDIO_DELAY).abs() < 0.002, "{video} {audio}");
}

#[test]
fn a_stall_of_the_network_keeps_capture_times() {
    let mut camera = Camera::new(0.0);
    camera.run(0, 20, never);
    let errors: Vec<f64> = (0..100)
        .map(|frame| {
            let seconds = 20.0 + f64::from(frame) / 25.0;
            // Everything of these 4 s comes in one burst.
            camera.unit_after(Kind::Video, seconds, 24.0 - seconds + VIDEO_DELAY)
        })
        .collect();
    assert!(errors.iter().all(|error| (error - VIDEO_DELAY).abs() < 0.085), "{errors:?}");
}

#[test]
fn media_time_that_starts_again_is_anchored_anew() {
    let mut camera = Camera::new(0.0);
    camera.run(0, 20, honest);
    // The same media times again, 20 s later.
    camera.zero += Duration::from_secs(20);
    camera.last = [None; 2];
    let errors = camera.run(0, 20, never);
    let (video, audio) = columns(&errors[50..]);
    assert!(video.iter().all(|error| (error - VIDEO_DELAY).abs() < 0.04), "{video:?}");
    assert!(audio.iter().all(|error| (error - AUDIO_DELAY).abs() < 0.04), "{audio:?}");
    // And a jump ahead.
    let ahead = camera.clock.captured(Kind::Video, camera.media(Kind::Video, 5_000.0), camera.at(20.5));
    assert_eq!(ahead, camera.at(20.5));
}

#[test]
fn nonsense_neither_overflows_nor_goes_back() {
    let zero = Instant::now();
    let mut clock = Clock::default();
    let mut last = zero;
    let values = [0, i64::MAX, i64::MIN, 1, -1, i64::MAX - 1];
    for (index, ticks) in values.into_iter().cycle().take(60).enumerate() {
        let arrival = zero + Duration::from_millis(index as u64 * 40);
        let media = MediaTime { ticks, rate: ClockRate::VIDEO };
        for kind in [Kind::Video, Kind::Audio] {
            clock.sender_report(kind, media, NtpTime(ticks as u64), arrival);
        }
        let captured = clock.captured(Kind::Video, media, arrival);
        assert!(captured >= last && captured <= arrival);
        last = captured;
    }
}

/// A camera's clock that runs at a wrong rate, from the start or behind a minute in which it was right.
#[test]
fn a_clock_of_a_wrong_rate_is_replaced_by_arrival() {
    for rate in [-1.0, 0.0, 0.5, 0.8, 1.2, 2.0, 8.0] {
        for right in [0, 60] {
            let (mut clock, zero, mut media) = (Clock::default(), Instant::now(), 1_000_000.0);
            let mut units = Vec::new();
            for frame in 0..(right + 60) * 25 {
                media += 3_600.0 * if frame < right * 25 { 1.0 } else { rate };
                let time = MediaTime { ticks: media as i64, rate: ClockRate::VIDEO };
                let arrival = zero + Duration::from_millis(40) * frame;
                let captured = clock.captured(Kind::Video, time, arrival);
                units.push((clock.time(Kind::Video, time), captured, arrival));
            }
            for pair in units.windows(2) {
                assert!(pair[1].1 >= pair[0].1 && pair[1].1 <= pair[1].2);
                let [media, captured] =
                    [pair[1].0.ticks - pair[0].0.ticks, ClockRate::VIDEO.ticks(pair[1].1 - pair[0].1)];
                assert!((media - captured).abs() < 90_000, "a jump for viewers: {media} {captured}");
            }
            let settled = &units[(right as usize + 15) * 25..];
            for pair in settled.windows(2) {
                assert_eq!(pair[1].0.ticks - pair[0].0.ticks, 3_600, "at {rate}");
                assert_eq!(pair[1].1, pair[1].2, "at {rate}");
            }
        }
    }
}

#[test]
fn a_clock_that_runs_as_it_should_again_is_believed() {
    let (mut clock, zero, mut media) = (Clock::default(), Instant::now(), 0);
    for frame in 0..60 * 25 {
        media += if frame < 30 * 25 { 1_800 } else { 3_600 };
        let time = MediaTime { ticks: media, rate: ClockRate::VIDEO };
        // From the fortieth second on the network delays every other picture.
        let delay = Duration::from_millis(if frame > 40 * 25 { 20 * (frame % 2) } else { 0 });
        let arrival = zero + Duration::from_millis(40) * frame as u32 + delay;
        let captured = clock.captured(Kind::Video, time, arrival);
        if frame > 45 * 25 {
            let delay = arrival - captured;
            assert_eq!(delay.as_millis() as u64, 20 * (frame % 2), "its times are used, not those of the network");
        }
    }
}
