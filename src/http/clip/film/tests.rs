use super::*;
use crate::media::AudioFormat;

/// From x264enc of GStreamer 1.22: 1920x1080, and 322x182.
const LARGE: &[u8] = &[
    0x67, 0x64, 0x00, 0x28, 0xac, 0xb2, 0x00, 0xf0, 0x04, 0x4f, 0xcb, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40, 0x00, 0x00,
    0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc6, 0x0c, 0x92,
];
const SMALL: &[u8] = &[
    0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00, 0x03,
    0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
];
const PPS: &[u8] = &[0x68, 0xee];

struct Scene {
    start: Instant,
    units: Vec<Arc<Unit>>,
}

impl Scene {
    fn new() -> Self {
        // In the past, as everything that was captured.
        let start = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that runs for a minute");
        Self { start, units: Vec::new() }
    }

    fn unit(&mut self, kind: Kind, ms: u64, ticks: i64, keyframe: bool, payloads: Vec<Bytes>) {
        let bytes = payloads.iter().map(Bytes::len).sum();
        let captured = self.start + Duration::from_millis(ms);
        let number = self.units.len() as u64;
        self.units.push(Arc::new(Unit { number, kind, keyframe, ticks, captured, payloads, bytes }));
    }

    /// A picture by the camera's clock at `ticks`, captured at `ms`; of a keyframe, `sps`.
    fn picture(&mut self, ms: u64, ticks: i64, sps: Option<&[u8]>) {
        let mut payloads = Vec::new();
        if let Some(sps) = sps {
            let length = |nal: &[u8]| (nal.len() as u16).to_be_bytes();
            payloads.push([&[0x78][..], &length(sps), sps, &length(PPS), PPS].concat().into());
        }
        let header = if sps.is_some() { 0x65 } else { 0x41 };
        // Two fragments of one NAL unit.
        payloads.push(vec![0x7c, 0x80 | header & 0x1f, 1, 2].into());
        payloads.push(vec![0x7c, 0x40 | header & 0x1f, 3].into());
        self.unit(Kind::Video, ms, ticks, sps.is_some(), payloads);
    }

    fn sound(&mut self, ms: u64, ticks: i64) {
        self.unit(Kind::Audio, ms, ticks, true, vec![vec![9; 40].into()]);
    }

    fn clip(&self, codec: Option<AudioCodec>) -> Clip {
        Clip { units: self.units.clone(), audio: codec.map(|codec| AudioFormat { codec, channels: 1 }) }
    }
}

/// How often a text is in the file.
fn count(file: &[u8], text: &[u8]) -> usize {
    file.windows(text.len()).filter(|window| *window == text).count()
}

#[test]
fn a_film_has_the_bytes_that_viewers_had() {
    let mut scene = Scene::new();
    for number in 0..25i64 {
        scene.picture(number as u64 * 40, 7_000 + number * 3_600, (number == 0).then_some(LARGE));
        scene.sound(number as u64 * 40 + 3, number * 1_920);
    }
    let film = of(&scene.clip(Some(AudioCodec::Opus))).expect("a film");
    let file = film.pieces.concat();
    assert_eq!(film.size(), file.len());
    assert_eq!(count(&file, &[0, 0, 0, 4, 0x65, 1, 2, 3]), 1, "one NAL unit in the place of two fragments");
    assert_eq!(count(&file, &[0, 0, 0, 4, 0x61, 1, 2, 3]), 24);
    assert_eq!(count(&file, &[9; 40]), 25);
    assert_eq!((count(&file, LARGE), count(&file, b"avc1")), (1, 2), "in the index, and nowhere else");
    assert_eq!(count(&file, b"Opus"), 1);
    let silent = of(&scene.clip(Some(AudioCodec::G722))).expect("a film").pieces.concat();
    assert_eq!((count(&silent, &[9; 40]), count(&silent, b"soun")), (0, 0));
}

#[test]
fn it_begins_after_the_last_change_of_the_picture() {
    let mut scene = Scene::new();
    for (number, sps) in [LARGE, SMALL, LARGE, LARGE].into_iter().enumerate() {
        scene.picture(number as u64 * 1_000, number as i64 * 90_000, Some(sps));
        scene.picture(number as u64 * 1_000 + 40, number as i64 * 90_000 + 3_600, None);
    }
    let (units, format) = coherent(&scene.units).expect("a keyframe");
    assert_eq!((units[0].number, units.len(), format.width), (4, 4, 1920));
    let empty = Scene::new();
    assert!(matches!(of(&empty.clip(None)), Err(Mp4Error::Empty)));
}

#[test]
fn time_is_the_cameras_as_long_as_it_agrees_with_the_capture() {
    let mut scene = Scene::new();
    // Jitter of capture, then an interruption of 5 s that the camera's clock knows nothing of.
    for (ms, ticks) in [(0, 900), (49, 4_500), (71, 8_100), (5_120, 11_700), (5_155, 15_300)] {
        scene.picture(ms, ticks, Some(LARGE));
    }
    let mut clock = Clock::new(scene.start, VIDEO_HZ);
    let at: Vec<_> =
        scene.units.iter().map(|unit| clock.at(unit.ticks, unit.captured).map(|at| at.as_millis())).collect();
    assert_eq!(at, [0, 40, 80, 5_120, 5_160].map(Some));
}

#[test]
fn sound_before_the_first_picture_is_left_out_and_none_goes_back() {
    let mut scene = Scene::new();
    let start = scene.start + Duration::from_millis(1_000);
    for (ms, ticks) in [(980, 0), (1_000, 960), (1_020, 1_920), (1_300, 15_000), (1_150, 20_000)] {
        scene.sound(ms, ticks);
    }
    let mut clock = Clock::new(start, 48_000);
    let at: Vec<_> = scene.units.iter().map(|unit| clock.next(unit.ticks, unit.captured)).collect();
    assert_eq!(at[0], None);
    let at: Vec<_> = at[1..].iter().map(|at| at.expect("a time")).collect();
    assert_eq!(at[0], Duration::ZERO);
    assert!(at.windows(2).all(|pair| pair[0] < pair[1]), "{at:?}");
}

#[test]
fn b_frames_are_shown_when_they_were_captured() {
    let mut scene = Scene::new();
    for (number, ms) in [0, 120, 40, 80].into_iter().enumerate() {
        scene.picture(ms, number as i64, (number == 0).then_some(LARGE));
    }
    assert!(is_reordered(&scene.units));
    assert_eq!(count(&of(&scene.clip(None)).expect("a film").pieces.concat(), b"ctts"), 1);
}

#[test]
fn g711_is_made_into_opus() {
    let mut scene = Scene::new();
    for number in 0..50i64 {
        scene.picture(number as u64 * 20, number * 1_800, (number == 0).then_some(LARGE));
        scene.unit(Kind::Audio, number as u64 * 20, number * 160, true, vec![vec![0xd5; 160].into()]);
    }
    let file = of(&scene.clip(Some(AudioCodec::Pcma))).expect("a film").pieces.concat();
    assert_eq!((count(&file, b"soun"), count(&file, &[0xd5; 160])), (1, 0));
    let Sound::G711(mut sound) = Sound::of(Some(AudioFormat { codec: AudioCodec::Pcma, channels: 1 })) else {
        panic!("no transcoder")
    };
    let units = scene.units.iter().filter(|unit| unit.kind == Kind::Audio);
    let times: Vec<_> = units.flat_map(|unit| sound.frames(unit)).map(|frame| frame.ticks).collect();
    assert!(times.len() >= 48 && times.windows(2).all(|pair| pair[1] - pair[0] == 960), "{times:?}");
}
