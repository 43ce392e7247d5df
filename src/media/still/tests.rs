use openh264::{encoder::Encoder, formats::YUVBuffer, nal_units};

use super::*;
use crate::media::{VideoFormat, h264};

const SIZE: (usize, usize) = (320, 192);

/// A grey that rises from left to right, each picture brighter than the one before, in colours of its own.
fn painted(number: u8) -> YUVBuffer {
    let (width, height) = SIZE;
    let mut samples: Vec<u8> = (0..width * height).map(|at| 40 + (at % width / 4) as u8 + 8 * number).collect();
    samples.resize(width * height * 5 / 4, 100);
    samples.resize(width * height * 3 / 2, 150);
    YUVBuffer::from_vec(samples, width, height)
}

fn stream(count: u8) -> (VideoFormat, Vec<Vec<u8>>) {
    let mut encoder = Encoder::new().expect("an encoder");
    let pictures: Vec<_> =
        (0..count).map(|number| encoder.encode(&painted(number)).expect("a picture").to_vec()).collect();
    let start = |nal: &[u8]| nal.iter().position(|byte| *byte == 1).expect("a start code") + 1;
    let nals: Vec<_> = nal_units(&pictures[0]).map(|nal| &nal[start(nal)..]).collect();
    let find = |kind| nals.iter().find(|nal| h264::nal_type(nal) == kind).expect("a parameter set").to_vec().into();
    let format = VideoFormat::from_parameter_sets(find(h264::NAL_SPS), vec![find(h264::NAL_PPS)]).expect("a format");
    (format, pictures)
}

fn coded(pictures: Vec<Vec<u8>>) -> impl Iterator<Item = Coded<usize>> {
    pictures.into_iter().enumerate().map(|(tag, data)| Coded { tag, data })
}

#[test]
fn the_last_picture_is_decoded_and_it_is_the_one_that_was_painted() {
    let (format, pictures) = stream(10);
    let decoded = decode(coded(pictures.clone()), &format).expect("a picture");
    assert_eq!((decoded.tag, decoded.picture.size()), (9, SIZE));
    let near = |seen: u8, painted: u8| seen.abs_diff(painted) < 12;
    let row = decoded.picture.luma.row(100);
    assert!(near(row[8], 40 + 2 + 72) && near(row[308], 40 + 77 + 72), "{row:?}");
    assert!(near(decoded.picture.chroma[0].row(50)[80], 100) && near(decoded.picture.chroma[1].row(50)[80], 150));
    let keyframe = decode(coded(pictures[..1].to_vec()), &format).expect("a picture");
    assert!(keyframe.tag == 0 && near(keyframe.picture.luma.row(100)[8], 42));
    let wish = Wish { width: Some(160), height: None, quality: Quality::DEFAULT };
    let jpeg = decoded.picture.to_jpeg(&wish).expect("a JPEG");
    assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
    // Start of frame, precision, height, width (ITU-T T.81 section B.2.2).
    let frame = [0xff, 0xc0, 0, 17, 8, 0, 96, 0, 160, 3];
    assert!(jpeg.windows(frame.len()).any(|window| window == frame));
}

#[test]
fn what_is_damaged_ends_it_at_the_last_good_picture() {
    let (format, mut pictures) = stream(5);
    assert_eq!(decode(coded(pictures[1..].to_vec()), &format).map(|decoded| decoded.tag), Err(StillError::Undecodable));
    assert!(matches!(decode(coded(Vec::new()), &format), Err(StillError::Undecodable)));
    pictures[3].truncate(12);
    let decoded = decode(coded(pictures), &format).expect("a picture");
    assert!(decoded.tag <= 3, "{}", decoded.tag);
}

/// Not a fuzzer: what a bad network makes of a picture, many times over.
#[test]
fn no_damage_breaks_the_decoder() {
    let (format, pictures) = stream(3);
    let mut seed = 0x2545_f491_u32;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as usize % below
    };
    for _ in 0..300 {
        let mut damaged = pictures.clone();
        for _ in 0..=random(8) {
            let picture = &mut damaged[random(3)];
            // Parameter sets are read in Rust before, and are what they were.
            let Some(rest) = picture.len().checked_sub(40).filter(|rest| *rest > 0) else { continue };
            let at = 40 + random(rest);
            match random(3) {
                0 => picture[at] ^= 1 << random(8),
                1 => picture.truncate(at),
                _ => picture[at..].fill(random(256) as u8),
            }
        }
        if let Ok(decoded) = decode(coded(damaged), &format) {
            assert_eq!(decoded.picture.size(), SIZE);
        }
    }
}

#[test]
fn what_the_decoder_does_not_know_is_refused_before_it_sees_it() {
    let (format, pictures) = stream(1);
    let large = VideoFormat { width: 4_096, height: 2_320, ..format.clone() };
    assert_eq!(
        decode(coded(pictures.clone()), &large).map(|decoded| decoded.tag),
        Err(StillError::TooLarge(4_096, 2_320))
    );
    let other = VideoFormat { width: 318, ..format };
    assert!(matches!(decode(coded(pictures), &other), Err(StillError::Undecodable)), "another size than promised");
}
