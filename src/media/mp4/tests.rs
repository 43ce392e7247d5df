use mp4_atom::{Decode as _, Mdat, ReadAtom as _};

use super::*;

/// From x264enc of GStreamer 1.22: 1920x1080, High, level 4.0.
const SPS: &[u8] = &[
    0x67, 0x64, 0x00, 0x28, 0xac, 0xb2, 0x00, 0xf0, 0x04, 0x4f, 0xcb, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40, 0x00, 0x00,
    0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc6, 0x0c, 0x92,
];

fn film() -> Film {
    let format = VideoFormat::from_parameter_sets(Bytes::from_static(SPS), vec![Bytes::from_static(&[0x68, 0xee])]);
    Film::new(format.expect("a format"), 1)
}

fn sample(ms: u64, keyframe: bool, bytes: usize) -> Sample {
    let half = |len| Bytes::from(vec![ms as u8; len]);
    Sample { at: Duration::from_millis(ms), keyframe, pieces: vec![half(bytes / 2), half(bytes - bytes / 2)] }
}

struct Read {
    moov: Moov,
    file: Vec<u8>,
}

impl Read {
    fn of(film: Film) -> Self {
        let file = film.finish(Duration::from_secs(1_700_000_000)).expect("a film").concat();
        let mut rest = file.as_slice();
        Ftyp::decode(&mut rest).expect("ftyp");
        let moov = Moov::decode(&mut rest).expect("moov, first");
        Mdat::read_atom(&mp4_atom::Header::decode(&mut rest).expect("a header"), &mut rest).expect("mdat");
        assert!(rest.is_empty());
        Self { moov, file }
    }

    fn table(&self, track: usize) -> &Stbl {
        &self.moov.trak[track].mdia.minf.stbl
    }

    /// The bytes of each sample, found by the index.
    fn samples(&self, track: usize) -> Vec<&[u8]> {
        let table = self.table(track);
        let StszSamples::Different { sizes } = &table.stsz.samples else { panic!("sizes") };
        let mut sizes = sizes.iter().map(|size| *size as usize);
        let chunks = &table.stco.as_ref().expect("chunks").entries;
        let mut samples = Vec::new();
        for (number, chunk) in (1..).zip(chunks) {
            let run = table.stsc.entries.iter().rfind(|entry| entry.first_chunk <= number).expect("a run");
            let mut at = *chunk as usize;
            for size in sizes.by_ref().take(run.samples_per_chunk as usize) {
                samples.push(&self.file[at..at + size]);
                at += size;
            }
        }
        samples
    }
}

#[test]
fn every_sample_is_where_the_index_says_and_when_it_was() {
    let mut film = film();
    for number in 0..50u64 {
        film.push(Track::Video, sample(number * 40, number % 25 == 0, 100 + number as usize));
        if number >= 10 {
            film.push(Track::Audio, sample(number * 40 + 5, true, 30));
            film.push(Track::Audio, sample(number * 40 + 25, true, 31));
        }
    }
    let read = Read::of(film);
    for track in [0, 1] {
        let samples = read.samples(track);
        assert_eq!(samples.len(), [50, 80][track]);
        assert!(samples.iter().all(|sample| sample.iter().all(|byte| *byte == sample[0])), "none of another");
    }
    assert_eq!(read.samples(0)[7], vec![(7 * 40) as u8; 107]);
    let video = read.table(0);
    assert_eq!(video.stts.entries, [SttsEntry { sample_count: 50, sample_delta: 3_600 }]);
    assert_eq!(video.stss.as_ref().map(|stss| stss.entries.clone()), Some(vec![1, 26]));
    assert!(video.ctts.is_none());
    assert_eq!(read.moov.mvhd.duration, 2 * 90_000 + 90_000 * 5 / 1_000, "up to the end of the sound");
    let audio = &read.moov.trak[1];
    assert_eq!(read.table(1).stts.entries, [SttsEntry { sample_count: 80, sample_delta: 960 }]);
    let edit = &audio.edts.as_ref().and_then(|edts| edts.elst.as_ref()).expect("it begins later").entries;
    assert_eq!((edit[0].segment_duration, edit[0].media_time), (405 * 90, None));
    assert_eq!((edit[1].segment_duration, edit[1].media_time), (1_600 * 90, Some(0)));
    let Codec::Avc1(avc1) = &video.stsd.codecs[0] else { panic!("avc1") };
    assert_eq!((avc1.visual.width, avc1.visual.height, avc1.avcc.avc_level_indication), (1920, 1080, 40));
    assert!(avc1.avcc.ext.is_some(), "of a High profile");
}

#[test]
fn b_frames_are_decoded_in_their_order_and_shown_in_theirs() {
    let mut film = film();
    for (number, shown) in [0, 120, 40, 80, 240, 160, 200].into_iter().enumerate() {
        film.push(Track::Video, sample(shown, number == 0, 10));
    }
    let read = Read::of(film);
    let offsets = read.table(0).ctts.as_ref().expect("offsets");
    let offsets: Vec<_> = offsets
        .entries
        .iter()
        .flat_map(|entry| std::iter::repeat_n(entry.sample_offset / 90, entry.sample_count as usize))
        .collect();
    assert_eq!(offsets, [0, 80, -40, -40, 80, -40, -40]);
    assert_eq!(read.table(0).stts.entries, [SttsEntry { sample_count: 7, sample_delta: 3_600 }]);
}

#[test]
fn a_gap_is_a_long_sample_and_a_single_one_has_a_length() {
    let mut gap = film();
    for at in [0, 40, 5_040, 5_080] {
        gap.push(Track::Video, sample(at, at == 0, 10));
    }
    let lengths: Vec<_> = Read::of(gap).table(0).stts.entries.iter().map(|entry| entry.sample_delta / 90).collect();
    assert_eq!(lengths, [40, 5_000, 40]);
    let mut single = film();
    single.push(Track::Video, sample(0, true, 10));
    let read = Read::of(single);
    assert_eq!((read.moov.trak.len(), read.moov.mvhd.duration), (1, 3_600));
}
