//! The transcoder as a whole: what a viewer's libopus makes of its frames.

use std::f64::consts::PI;

use super::*;

/// Peak of the tone in the fixtures and of what is generated here.
const PEAK: f64 = 0.5;
/// What a viewer hears is at this rate.
const HZ: f64 = 48_000.0;

/// Output of a transcoder, and the same decoded.
struct Heard {
    frames: Vec<OpusFrame>,
    channels: usize,
    /// Interleaved.
    samples: Vec<f32>,
}

impl Heard {
    fn new(transcoder: &Transcoder) -> Self {
        Self { frames: Vec::new(), channels: transcoder.format().channels.into(), samples: Vec::new() }
    }

    fn take(&mut self, transcoder: &mut Transcoder) -> usize {
        let before = self.frames.len();
        self.frames.extend(std::iter::from_fn(|| transcoder.pull()));
        self.frames.len() - before
    }

    fn decode(mut self) -> Self {
        let layout = if self.channels == 1 { opusic_c::Channels::Mono } else { opusic_c::Channels::Stereo };
        let mut decoder = opusic_c::Decoder::new(layout, opusic_c::SampleRate::Hz48000).unwrap();
        for frame in &self.frames {
            let mut pcm = [0.0; 1_920];
            let count = decoder.decode_float_to_slice(&frame.data, &mut pcm[..960 * self.channels], false).unwrap();
            assert_eq!(count, 960, "20 ms");
            self.samples.extend_from_slice(&pcm[..count * self.channels]);
        }
        self
    }

    fn channel(&self, channel: usize) -> Vec<f32> {
        self.samples.iter().skip(channel).step_by(self.channels).copied().collect()
    }

    fn assert_without_gaps(&self) {
        assert!(self.frames.windows(2).all(|pair| pair[1].time.ticks - pair[0].time.ticks == 960));
    }
}

fn peak_rms(samples: &[f32]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (2.0 * power / samples.len() as f64).sqrt()
}

/// By counting the upward zero crossings.
fn frequency(samples: &[f32]) -> f64 {
    let crossings: Vec<_> =
        samples.windows(2).enumerate().filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0).collect();
    let exact = |(at, pair): &(usize, &[f32])| *at as f64 + f64::from(pair[0] / (pair[0] - pair[1]));
    let (first, last) = (crossings.first().unwrap(), crossings.last().unwrap());
    (crossings.len() - 1) as f64 * HZ / (exact(last) - exact(first))
}

fn steepest(samples: &[f32]) -> f32 {
    samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

fn assert_tone(samples: &[f32], hz: f64, peak: f64, what: &str) {
    let (is, level) = (frequency(samples), 20.0 * (peak_rms(samples) / peak).log10());
    assert!((is - hz).abs() < hz / 500.0, "{what}: {is} Hz");
    assert!(level.abs() < 1.0, "{what}: {level} dB");
}

/// A fixture: its AudioSpecificConfig and access units, out of ADTS (ISO/IEC 14496-3 section 1.A.2).
fn fixture(name: &str) -> (Source, ClockRate, Vec<Vec<u8>>) {
    let path = format!("{}/tests/fixtures/aac/{name}.aac", env!("CARGO_MANIFEST_DIR"));
    let adts = std::fs::read(path).unwrap();
    let (rate_index, channels) = (adts[2] >> 2 & 15, (adts[2] & 1) << 2 | adts[3] >> 6);
    let config = Bytes::copy_from_slice(&[0x10 | rate_index >> 1, rate_index << 7 | channels << 3]);
    let (mut units, mut rest) = (Vec::new(), &adts[..]);
    while let [0xff, flags, _, a, b, c, ..] = *rest {
        let length = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
        let header = if flags & 1 == 1 { 7 } else { 9 };
        units.push(rest[header..length].to_vec());
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    let hz = aac::Config::parse(&config).unwrap().hz;
    (Source::Aac { config }, ClockRate::new(hz).unwrap(), units)
}

/// A camera's line of frames of one length.
struct Camera {
    transcoder: Transcoder,
    heard: Heard,
    zero: Instant,
    rate: ClockRate,
}

impl Camera {
    fn new(source: &Source, rate: ClockRate) -> Self {
        let transcoder = Transcoder::new(source, Options::default()).unwrap();
        let heard = Heard::new(&transcoder);
        Self { transcoder, heard, zero: Instant::now() + Duration::from_secs(10), rate }
    }

    fn l16(hz: u32, channels: u8) -> Self {
        let rate = ClockRate::new(hz).unwrap();
        Self::new(&Source::L16 { rate, channels }, rate)
    }

    fn captured(&self, ticks: i64) -> Instant {
        self.zero + self.rate.duration(ticks)
    }

    /// A frame with media and capture time in step; how many frames came out.
    fn push(&mut self, frame: &[u8], ticks: i64, lost: u32) -> usize {
        let time = MediaTime { ticks, rate: self.rate };
        self.transcoder.push(frame, time, self.captured(ticks), lost).unwrap();
        self.heard.take(&mut self.transcoder)
    }
}

/// L16 of `sound`, which gives the value at a time in seconds, from sample `start` on.
fn l16(sound: impl Fn(f64) -> f64, hz: u32, channels: u8, start: i64, count: i64) -> Vec<u8> {
    let sample = |n: i64| ((sound(n as f64 / f64::from(hz)) * 32_767.0) as i16).to_be_bytes();
    (start..start + count).flat_map(|n| sample(n).repeat(channels.into())).collect()
}

fn tone(hz: f64) -> impl Fn(f64) -> f64 {
    move |time| PEAK * (2.0 * PI * hz * time).sin()
}

/// A beep every second, at the second, that says exactly when it is.
fn beeps(time: f64) -> f64 {
    let at = time - time.round();
    PEAK * (-(at / 0.004).powi(2)).exp() * (2.0 * PI * 700.0 * at).cos()
}

/// By how much the beep of `second` came late, in milliseconds.
fn lateness(heard: &Heard, samples: &[f32], second: f64) -> f64 {
    let near: Vec<_> = heard
        .frames
        .iter()
        .zip(samples.chunks(960))
        .filter(|(frame, _)| (frame.time.ticks as f64 / HZ - second).abs() < 0.06)
        .collect();
    let likeness = |late: f64| -> f64 {
        let samples = near.iter().flat_map(|(frame, samples)| (frame.time.ticks..).zip(samples.iter()));
        samples.map(|(ticks, sample)| f64::from(*sample) * beeps(ticks as f64 / HZ - late / 1_000.0)).sum()
    };
    let candidates = (-150..=150).map(|late| f64::from(late) / 5.0).map(|late| (late, likeness(late)));
    candidates.max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap().0
}

#[test]
fn aac_of_every_rate_is_heard_as_it_was_sent() {
    for name in [
        "lc-8000-mono",
        "lc-16000-mono",
        "lc-16000-mono-voaac",
        "lc-16000-stereo",
        "lc-44100-mono",
        "lc-44100-stereo",
        "lc-48000-mono",
        "lc-48000-stereo",
    ] {
        let (source, rate, units) = fixture(name);
        let mut camera = Camera::new(&source, rate);
        assert_eq!(camera.transcoder.reduction(), None);
        for (index, unit) in units.iter().enumerate() {
            camera.push(unit, index as i64 * 1_024, 0);
        }
        let heard = camera.heard.decode();
        heard.assert_without_gaps();
        assert_eq!(heard.frames[0].time.ticks, -312, "{name}: lookahead");
        let sent = units.len() as f64 * 1_024.0 / f64::from(rate.hz());
        let missing = sent - heard.frames.len() as f64 / 50.0;
        assert!((0.0..0.0245).contains(&missing), "{name}: {missing} s wait for more");
        for channel in 0..heard.channels {
            assert_tone(&heard.channel(channel)[19_200..43_200], 1_000.0, PEAK, name);
        }
    }
}

#[test]
fn he_aac_is_heard_without_its_extensions() {
    for (name, channels) in [("he-v1-32000-stereo", 2), ("he-v2-32000-stereo", 1)] {
        let (source, rate, units) = fixture(name);
        assert_eq!(rate.hz(), 16_000, "the rate of the AAC-LC part");
        let mut camera = Camera::new(&source, rate);
        for (index, unit) in units.iter().enumerate() {
            camera.push(unit, index as i64 * 1_024, 0);
        }
        assert_eq!(camera.transcoder.format().channels, channels);
        let heard = camera.heard.decode();
        assert_tone(&heard.channel(0)[24_000..48_000], 1_000.0, PEAK, name);
    }
    // The same when the configuration says it, with timestamps that count at the full rate.
    let (_, _, units) = fixture("he-v1-32000-stereo");
    let config = Bytes::from_static(&[0x2c, 0x12, 0x88, 0x00]);
    let mut camera = Camera::new(&Source::Aac { config }, ClockRate::new(32_000).unwrap());
    assert_eq!(camera.transcoder.reduction(), Some(Reduction::HeAac { up_to_hz: 8_000 }));
    for (index, unit) in units.iter().enumerate() {
        camera.push(unit, index as i64 * 2_048, 0);
    }
    let heard = camera.heard.decode();
    heard.assert_without_gaps();
    assert_tone(&heard.channel(0)[24_000..48_000], 1_000.0, PEAK, "explicit");
}

#[test]
fn l16_of_every_rate_is_on_time() {
    for hz in [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
        for channels in [1, 2] {
            let mut camera = Camera::l16(hz, channels);
            let packet = i64::from(hz / 50);
            for start in (0..i64::from(hz) * 2).step_by(packet as usize) {
                camera.push(&l16(beeps, hz, channels, start, packet), start, 0);
            }
            let heard = camera.heard.decode();
            heard.assert_without_gaps();
            for channel in 0..heard.channels {
                let samples = heard.channel(channel);
                let late = lateness(&heard, &samples, 1.0);
                assert!(late.abs() <= 0.2, "{hz} Hz, {channels} channels: {late} ms late");
                let loudest = samples[40_000..56_000].iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
                assert!((0.44..0.56).contains(&loudest), "{hz} Hz, {channels} channels: {loudest}");
            }
            // What a frame says of its capture is true of its first sample.
            for frame in &heard.frames[1..] {
                let captured = frame.captured.duration_since(camera.zero).as_secs_f64();
                assert!((captured - frame.time.ticks as f64 / HZ).abs() < 1e-6, "{hz} Hz: {captured}");
            }
        }
    }
}

#[test]
fn channels_are_not_swapped() {
    let mut camera = Camera::l16(48_000, 2);
    for start in (0..48_000).step_by(960) {
        let (left, right) = (l16(tone(1_000.0), 48_000, 1, start, 960), l16(tone(400.0), 48_000, 1, start, 960));
        let both: Vec<u8> =
            left.chunks(2).zip(right.chunks(2)).flat_map(|(one, other)| [one, other].concat()).collect();
        camera.push(&both, start, 0);
    }
    let heard = camera.heard.decode();
    assert_tone(&heard.channel(0)[19_200..43_200], 1_000.0, PEAK, "left");
    assert_tone(&heard.channel(1)[19_200..43_200], 400.0, PEAK, "right");
}

#[test]
fn at_most_31_ms_are_added() {
    for name in ["lc-8000-mono", "lc-16000-mono", "lc-44100-stereo", "lc-48000-stereo"] {
        let (source, rate, units) = fixture(name);
        let mut camera = Camera::new(&source, rate);
        let mut worst = 0.0_f64;
        for (index, unit) in units.iter().enumerate() {
            let before = camera.heard.frames.len();
            camera.push(unit, index as i64 * 1_024, 0);
            // It arrives when its last sample was taken; without transcoding, its first would be one frame late.
            let first = index as f64 * 1_024.0 / f64::from(rate.hz());
            for frame in &camera.heard.frames[before..] {
                worst = worst.max(first - frame.time.ticks as f64 / HZ);
            }
        }
        assert!(worst < 0.031, "{name}: {worst} s");
    }
}

#[test]
fn a_drifting_sound_card_stays_in_step() {
    for (minutes, drift, allowed_ms) in [(5, 1e-4, 1.5), (1, -1e-4, 1.5), (1, 2e-3, 25.0)] {
        let mut camera = Camera::l16(8_000, 1);
        for start in (0..8_000 * 60 * minutes).step_by(160) {
            // The card's seconds are shorter or longer than those of the clock that the timestamps are from.
            let frame = l16(|time| beeps(time * (1.0 + drift)), 8_000, 1, start, 160);
            let ticks = (start as f64 * (1.0 + drift)) as i64;
            camera.push(&frame, ticks, 0);
        }
        let heard = camera.heard.decode();
        heard.assert_without_gaps();
        let samples = heard.channel(0);
        for second in [30.0, 60.0 * minutes as f64 - 2.0] {
            let late = lateness(&heard, &samples, second);
            assert!(late.abs() < allowed_ms, "{drift}: {late} ms late after {second} s");
        }
        let expected = minutes as f64 * 3_000.0 * (1.0 + drift);
        let tolerance = 2.0 + allowed_ms / 20.0;
        assert!((heard.frames.len() as f64 - expected).abs() <= tolerance, "{drift}: {}", heard.frames.len());
    }
}

#[test]
fn a_slewed_tone_has_no_clicks() {
    let mut camera = Camera::l16(16_000, 1);
    for start in (0..16_000 * 20).step_by(320) {
        let jitter = if start % 960 == 0 { 160 } else { 0 };
        camera.push(&l16(tone(1_000.0), 16_000, 1, start, 320), (start as f64 * 1.003) as i64 + jitter, 0);
    }
    let heard = camera.heard.decode();
    heard.assert_without_gaps();
    let samples = heard.channel(0);
    assert!(steepest(&samples[4_800..]) < 0.08, "{}", steepest(&samples));
}

#[test]
fn lost_frames_do_not_click_and_take_their_time() {
    for name in ["lc-8000-mono", "lc-16000-stereo", "lc-44100-mono", "lc-48000-stereo"] {
        let (source, rate, units) = fixture(name);
        let play = |lost: usize| {
            let mut camera = Camera::new(&source, rate);
            for (index, unit) in units.iter().enumerate().filter(|(index, _)| !(5..5 + lost).contains(index)) {
                camera.push(unit, index as i64 * 1_024, if index == 5 + lost { lost as u32 } else { 0 });
            }
            camera.heard.decode()
        };
        let whole = play(0);
        for lost in [1, 2] {
            let heard = play(lost);
            let [steepest, intact] = [&heard, &whole].map(|heard| steepest(&heard.channel(0)[9_600..]));
            assert!(steepest < 1.05 * intact, "{name}, {lost}: {steepest} instead of {intact}");
            if lost as u32 * 1_024 <= rate.hz() / 5 {
                heard.assert_without_gaps();
            }
            let [end, intact] = [&heard, &whole].map(|heard| heard.frames.last().unwrap().time.ticks);
            assert!((intact - end).abs() <= 960, "{name}, {lost}: {end} instead of {intact}");
        }
    }
    let mut camera = Camera::l16(48_000, 2);
    for start in (0..96_000).step_by(960).filter(|start| start % 9_600 != 0) {
        camera.push(&l16(tone(1_000.0), 48_000, 2, start, 960), start, u32::from(start % 9_600 == 960));
    }
    let heard = camera.heard.decode();
    heard.assert_without_gaps();
    assert!(steepest(&heard.channel(1)[9_600..]) < 0.08);
    assert_tone(&heard.channel(1)[19_200..67_200], 1_000.0, PEAK, "concealed");
}

#[test]
fn a_long_hole_is_neither_filled_nor_followed_by_a_burst() {
    let mut camera = Camera::l16(16_000, 1);
    for start in (0..64_000).step_by(320).filter(|start| !(16_000..48_000).contains(start)) {
        let frames = camera.push(&l16(tone(1_000.0), 16_000, 1, start, 320), start, 0);
        assert!(frames <= 3, "{frames} at once");
    }
    let heard = camera.heard.decode();
    let steps: Vec<_> = heard.frames.windows(2).map(|pair| pair[1].time.ticks - pair[0].time.ticks).collect();
    assert_eq!(steps.iter().filter(|step| **step != 960).count(), 1);
    assert!((86_000..98_000).contains(steps.iter().max().unwrap()));
    assert!(steepest(&heard.channel(0)[4_800..]) < 0.08);
    let last = heard.frames.last().unwrap();
    assert!((3.93..4.0).contains(&(last.time.ticks as f64 / HZ)), "{:?}", last.time);
}

#[test]
fn a_stepped_camera_clock_is_not_heard() {
    let mut camera = Camera::l16(16_000, 1);
    for start in (0..48_000).step_by(320) {
        let ticks = if (16_000..32_000).contains(&start) { start + 90_000_000 } else { start - 7 };
        let time = MediaTime { ticks, rate: camera.rate };
        let captured = camera.captured(start);
        camera.transcoder.push(&l16(tone(1_000.0), 16_000, 1, start, 320), time, captured, 0).unwrap();
        camera.heard.take(&mut camera.transcoder);
    }
    let heard = camera.heard.decode();
    heard.assert_without_gaps();
    assert!(steepest(&heard.channel(0)[4_800..]) < 0.08);
}

#[test]
fn a_frame_that_comes_twice_is_heard_once() {
    let mut camera = Camera::l16(16_000, 1);
    for start in (0..32_000).step_by(1_024) {
        let frame = l16(tone(1_000.0), 16_000, 1, start, 1_024);
        camera.push(&frame, start, 0);
        if start % 5_120 == 0 {
            camera.push(&frame, start, 0);
        }
    }
    let heard = camera.heard.decode();
    heard.assert_without_gaps();
    assert!(heard.frames.len().abs_diff(102) <= 1, "{}", heard.frames.len());
    assert!(steepest(&heard.channel(0)[4_800..]) < 0.08);
}

#[test]
fn an_endless_run_of_bad_frames_is_said_once() {
    let (source, rate, units) = fixture("lc-16000-mono");
    let mut camera = Camera::new(&source, rate);
    let mut ticks = 0;
    let mut push = |camera: &mut Camera, unit: &[u8]| {
        ticks += 1_024;
        let time = MediaTime { ticks, rate };
        camera.transcoder.push(unit, time, camera.captured(ticks), 0)
    };
    for _ in 0..2 {
        for _ in 1..ENDLESS {
            assert!(matches!(push(&mut camera, &[]), Err(FrameError::Empty)));
        }
        assert!(matches!(push(&mut camera, &[]), Err(FrameError::Endless { frames: ENDLESS, .. })));
        for _ in 0..100 {
            push(&mut camera, &[]).unwrap();
        }
        push(&mut camera, &units[3]).unwrap();
    }
}

#[test]
fn a_transcoder_can_move_to_a_thread() {
    fn is_send<T: Send>() {}
    is_send::<Transcoder>();
}

#[test]
fn what_cannot_be_transcoded_is_refused() {
    let refusal = |source: Source, bitrate_bps| Transcoder::new(&source, Options { bitrate_bps }).err();
    let l16 = |hz, channels| Source::L16 { rate: ClockRate::new(hz).unwrap(), channels };
    assert!(matches!(refusal(l16(192_000, 1), None), Some(TranscodeError::Rate(192_000))));
    assert!(matches!(refusal(l16(16_000, 0), None), Some(TranscodeError::Channels(0))));
    assert!(matches!(refusal(l16(16_000, 7), None), Some(TranscodeError::Channels(7))));
    assert!(matches!(refusal(l16(16_000, 1), Some(5_999)), Some(TranscodeError::Bitrate(5_999))));
    let low_delay = Source::Aac { config: Bytes::from_static(&[0xb9, 0x88, 0x00]) };
    assert!(matches!(refusal(low_delay, None), Some(TranscodeError::AacObjectType(23))));
}

/// xorshift64, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn garbage_is_survived_and_time_goes_on() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for name in ["lc-16000-mono", "lc-44100-stereo", "he-v2-32000-stereo"] {
        let (source, rate, units) = fixture(name);
        let mut camera = Camera::new(&source, rate);
        let mut ticks = 0_i64;
        for _ in 0..2_000 {
            let mut unit = units[dice.roll(units.len() as u64) as usize].clone();
            match dice.roll(4) {
                0 => unit = (0..dice.roll(600)).map(|_| dice.roll(256) as u8).collect(),
                1 => unit.truncate(dice.roll(unit.len() as u64) as usize),
                2 => {
                    let bit = dice.roll(unit.len() as u64 * 8) as usize;
                    unit[bit / 8] ^= 1 << (bit % 8);
                }
                _ => {}
            }
            ticks = match dice.roll(100) {
                0 => dice.roll(u64::MAX) as i64,
                1 => ticks.wrapping_sub(5_000),
                _ => ticks.wrapping_add(1_024),
            };
            let time = MediaTime { ticks, rate };
            let captured = camera.zero + Duration::from_millis(dice.roll(100_000));
            let _ = camera.transcoder.push(&unit, time, captured, dice.roll(20).saturating_sub(17) as u32);
            camera.heard.take(&mut camera.transcoder);
        }
        assert!(camera.heard.frames.len() > 1_000, "{name}: {}", camera.heard.frames.len());
        let heard = camera.heard.decode();
        assert!(heard.frames.windows(2).all(|pair| pair[1].time.ticks - pair[0].time.ticks >= 960));
        assert!(heard.frames.windows(2).all(|pair| pair[1].captured >= pair[0].captured));
    }
}

#[test]
fn any_configuration_is_taken_or_refused() {
    let mut dice = Dice(1);
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut config: Vec<u8> = (0..dice.roll(8)).map(|_| dice.roll(256) as u8).collect();
        // Half of them claim to be AAC-LC.
        if let Some(first) = config.first_mut().filter(|_| dice.roll(2) == 0) {
            *first = 0x10 | *first & 7;
        }
        let config = config.into();
        let Ok(mut transcoder) = Transcoder::new(&Source::Aac { config }, Options::default()) else { continue };
        taken += 1;
        let time = MediaTime { ticks: 0, rate: ClockRate::OPUS };
        let _ = transcoder.push(&[0x01, 0x40, 0x22, 0x80, 0xa3, 0x6e], time, Instant::now(), 0);
    }
    assert!(taken > 20, "{taken}");
}
