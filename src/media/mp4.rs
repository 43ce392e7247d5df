//! Coded pictures and sound as an MP4 file (ISO/IEC 14496-12, -14 and -15; Opus in ISOBMFF): a plain one whose index comes first,
//! which every player knows how to play, to show the length of and to seek in, also while it arrives. A fragmented one is for
//! those who do not know yet what will come.
//!
//! Samples enter in pieces and leave as they are: only the index, some bytes for each sample, is made here.

use std::time::Duration;

use bytes::Bytes;
use mp4_atom::{
    Audio, Avc1, Avcc, AvccExt, Codec, Ctts, CttsEntry, Dinf, Dops, Dref, DrefEntry, Edts, Elst, ElstEntry,
    Encode as _, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvhd, Opus, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss,
    Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd,
};
use thiserror::Error;

use super::{
    VideoFormat,
    h264::{self, Coding},
};

/// Ticks per second of the film, of pictures and of sound. RTP's, so that times are kept exactly.
const VIDEO_RATE: u32 = 90_000;
const AUDIO_RATE: u32 = 48_000;
/// A sample that none comes after is taken to last as long as the one before it, or, if there is none, a 25th of a second.
const LONE_SAMPLE: Duration = Duration::from_millis(40);

/// The film could not be written.
#[derive(Debug, Error)]
pub enum Mp4Error {
    /// The parameter sets make no sense.
    #[error("unusable parameter sets: {0}")]
    Format(#[from] h264::BadSps),
    /// There is no keyframe that it could begin with.
    #[error("nothing of it can be decoded: it has no keyframe with parameter sets")]
    Empty,
    /// What an MP4 of this kind cannot hold.
    #[error("the clip has more than 4 GiB, or a picture of more than 65535 pixels")]
    TooLarge,
    /// The encoder's own.
    #[error("{0}")]
    Encode(#[from] mp4_atom::Error),
}

/// One picture, or one packet of sound.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it is presented, from the start of the film on.
    pub at: Duration,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Its bytes. Of a picture: NAL units behind their lengths in four bytes (ISO/IEC 14496-15 section 5.3.3).
    pub pieces: Vec<Bytes>,
}

/// Which of the two tracks a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// Pictures, H.264.
    Video,
    /// Sound, Opus.
    Audio,
}

/// A film that samples are added to in the order in which a player is to get them.
#[derive(Debug)]
pub struct Film {
    format: VideoFormat,
    channels: u8,
    video: Index,
    audio: Index,
    last: Option<Track>,
    body: Vec<Bytes>,
    size: u64,
}

/// What is known of one track's samples.
#[derive(Debug, Default)]
struct Index {
    at: Vec<Duration>,
    sizes: Vec<u32>,
    /// Numbers of keyframes, from 1 on.
    keyframes: Vec<u32>,
    /// Where each run of samples begins, from the first sample of the film on, and how many it has.
    chunks: Vec<(u64, u32)>,
}

impl Film {
    /// Pictures of this format, and sound of as many channels.
    pub fn new(format: VideoFormat, channels: u8) -> Self {
        let (video, audio) = Default::default();
        Self { format, channels, video, audio, last: None, body: Vec::new(), size: 0 }
    }

    /// Adds the next sample.
    pub fn push(&mut self, track: Track, sample: Sample) {
        let size: usize = sample.pieces.iter().map(Bytes::len).sum();
        let index = match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        index.at.push(sample.at);
        index.sizes.push(size as u32);
        if sample.keyframe {
            index.keyframes.push(index.sizes.len() as u32);
        }
        match index.chunks.last_mut().filter(|_| self.last == Some(track)) {
            Some((_, count)) => *count += 1,
            None => index.chunks.push((self.size, 1)),
        }
        self.last = Some(track);
        self.size += size as u64;
        self.body.extend(sample.pieces);
    }

    /// The pieces of the file, in order.
    ///
    /// # Errors
    /// [`Mp4Error`].
    pub fn finish(self, made: Duration) -> Result<Vec<Bytes>, Mp4Error> {
        let brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new);
        let ftyp = Ftyp { major_brand: brands[0], minor_version: 512, compatible_brands: brands.to_vec() };
        let mut start = Vec::new();
        ftyp.encode(&mut start)?;
        // The index tells where samples lie, which depends on its own size; numbers have one width whatever they are.
        let mut moov = Vec::new();
        self.moov(0, made)?.encode(&mut moov)?;
        let data = start.len() + moov.len() + MDAT_HEADER;
        u32::try_from(data as u64 + self.size).map_err(|_| Mp4Error::TooLarge)?;
        self.moov(data as u64, made)?.encode(&mut start)?;
        start.extend((self.size as u32 + MDAT_HEADER as u32).to_be_bytes());
        start.extend(b"mdat");
        debug_assert_eq!(start.len(), data);
        Ok(std::iter::once(start.into()).chain(self.body).collect())
    }

    fn moov(&self, data: u64, made: Duration) -> Result<Moov, Mp4Error> {
        let side = |side: u32| u16::try_from(side).map_err(|_| Mp4Error::TooLarge);
        let (width, height) = (side(self.format.width)?, side(self.format.height)?);
        // Seconds since 1904 (ISO/IEC 14496-12 section 8.2.2.3).
        let made = made.as_secs() + 2_082_844_800;
        let mut trak = vec![Trak {
            tkhd: Tkhd { width: width.into(), height: height.into(), ..self.video.tkhd(1, VIDEO_RATE, made) },
            edts: self.video.edts(VIDEO_RATE),
            mdia: self.video.mdia(VIDEO_RATE, made, data, b"vide", Codec::Avc1(self.avc1(width, height)?)),
            ..Trak::default()
        }];
        if !self.audio.sizes.is_empty() {
            trak.push(Trak {
                tkhd: Tkhd { volume: 1.into(), alternate_group: 1, ..self.audio.tkhd(2, AUDIO_RATE, made) },
                edts: self.audio.edts(AUDIO_RATE),
                mdia: self.audio.mdia(AUDIO_RATE, made, data, b"soun", Codec::Opus(self.opus())),
                ..Trak::default()
            });
        }
        let duration = trak.iter().map(|trak| trak.tkhd.duration).max().unwrap_or_default();
        let mvhd = Mvhd {
            creation_time: made,
            modification_time: made,
            timescale: VIDEO_RATE,
            duration,
            rate: 1.into(),
            volume: 1.into(),
            matrix: Default::default(),
            next_track_id: 3,
        };
        Ok(Moov { mvhd, trak, ..Moov::default() })
    }

    fn avc1(&self, width: u16, height: u16) -> Result<Avc1, Mp4Error> {
        let sps = &self.format.sps;
        let (pps, more) = self.format.pps.split_first().ok_or(Mp4Error::Empty)?;
        let [chroma_format, bit_depth_luma, bit_depth_chroma] = Coding::of(sps)?.chroma;
        let mut avcc = Avcc::new(sps, pps)?;
        avcc.picture_parameter_sets.extend(more.iter().map(|pps| pps.to_vec()));
        // Only for profiles that have a choice (ISO/IEC 14496-15 section 5.3.3.1.2).
        if matches!(avcc.avc_profile_indication, 100 | 110 | 122 | 144) {
            avcc.ext = Some(AvccExt { chroma_format, bit_depth_luma, bit_depth_chroma, ..AvccExt::default() });
        }
        let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
        Ok(Avc1 { visual, avcc, btrt: None, colr: None, pasp: None, taic: None, fiel: None, spatial: None })
    }

    fn opus(&self) -> Opus {
        let channels = self.channels.clamp(1, 2);
        Opus {
            audio: Audio {
                data_reference_index: 1,
                channel_count: channels.into(),
                sample_size: 16,
                sample_rate: 48_000.into(),
            },
            // It begins in the middle of a stream: what a decoder needs to find its feet is not there to be skipped.
            dops: Dops {
                output_channel_count: channels,
                pre_skip: 0,
                input_sample_rate: AUDIO_RATE,
                output_gain: 0,
                channel_mapping: None,
            },
            btrt: None,
        }
    }
}

/// Size and kind of the box that holds the samples.
const MDAT_HEADER: usize = 8;

impl Index {
    /// Where the track begins and ends in the film, and for how long its samples are shown, each in decoding order, and by how
    /// much later or earlier than it is decoded. Pictures with B-frames are decoded in another order than they are shown.
    fn times(&self, rate: u32) -> Times {
        let shown: Vec<i64> = self.at.iter().map(|at| ticks(*at, rate)).collect();
        let mut decoded = shown.clone();
        decoded.sort_unstable();
        // None at the time of another.
        for at in 1..decoded.len() {
            decoded[at] = decoded[at].max(decoded[at - 1] + 1);
        }
        let mut lengths: Vec<u32> = decoded.windows(2).map(|pair| (pair[1] - pair[0]) as u32).collect();
        if !decoded.is_empty() {
            lengths.push(lengths.last().copied().unwrap_or_else(|| ticks(LONE_SAMPLE, rate) as u32));
        }
        let start = decoded.first().copied().unwrap_or_default();
        let offsets = shown.iter().zip(&decoded).map(|(shown, decoded)| shown - decoded).collect();
        Times { start, lengths, offsets }
    }

    fn tkhd(&self, track_id: u32, rate: u32, made: u64) -> Tkhd {
        let times = self.times(rate);
        let duration = (times.start as u64 + times.length()) * u64::from(VIDEO_RATE) / u64::from(rate);
        Tkhd {
            creation_time: made,
            modification_time: made,
            track_id,
            duration,
            enabled: true,
            in_movie: true,
            ..Tkhd::default()
        }
    }

    /// What begins later than the film says so by an edit that is empty, in the film's ticks.
    fn edts(&self, rate: u32) -> Option<Edts> {
        let times = self.times(rate);
        let film = |ticks: u64| ticks * u64::from(VIDEO_RATE) / u64::from(rate);
        let whole = ElstEntry { segment_duration: film(times.length()), media_time: Some(0), media_rate: 1.into() };
        let empty = ElstEntry { segment_duration: film(times.start as u64), media_time: None, media_rate: 1.into() };
        (times.start > 0).then(|| Edts { elst: Some(Elst { entries: vec![empty, whole] }) })
    }

    fn mdia(&self, rate: u32, made: u64, data: u64, handler: &[u8; 4], codec: Codec) -> Mdia {
        let times = self.times(rate);
        let is_video = handler == b"vide";
        let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } };
        let needs_offsets = times.offsets.iter().any(|offset| *offset != 0);
        let stbl = Stbl {
            stsd: Stsd { codecs: vec![codec] },
            stts: Stts {
                entries: runs(&times.lengths)
                    .map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta })
                    .collect(),
            },
            ctts: needs_offsets.then(|| Ctts {
                entries: runs(&times.offsets)
                    .map(|(sample_count, sample_offset)| CttsEntry { sample_count, sample_offset })
                    .collect(),
            }),
            stss: is_video.then(|| Stss { entries: self.keyframes.clone() }),
            stsc: self.stsc(),
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes.clone() } },
            stco: Some(Stco { entries: self.chunks.iter().map(|(at, _)| (data + at) as u32).collect() }),
            ..Stbl::default()
        };
        Mdia {
            mdhd: Mdhd {
                creation_time: made,
                modification_time: made,
                timescale: rate,
                duration: times.length(),
                language: "und".to_owned(),
            },
            hdlr: Hdlr { handler: FourCC::new(handler), name: if is_video { "Video" } else { "Sound" }.to_owned() },
            minf: Minf {
                vmhd: is_video.then(Vmhd::default),
                smhd: (!is_video).then(Smhd::default),
                dinf,
                stbl,
                ..Minf::default()
            },
        }
    }

    /// One entry for all runs of the same length that follow each other.
    fn stsc(&self) -> Stsc {
        let mut entries: Vec<StscEntry> = Vec::new();
        for (number, (_, samples_per_chunk)) in (1..).zip(self.chunks.iter().copied()) {
            if entries.last().is_none_or(|last| last.samples_per_chunk != samples_per_chunk) {
                entries.push(StscEntry { first_chunk: number, samples_per_chunk, sample_description_index: 1 });
            }
        }
        Stsc { entries }
    }
}

struct Times {
    start: i64,
    lengths: Vec<u32>,
    offsets: Vec<i64>,
}

impl Times {
    fn length(&self) -> u64 {
        self.lengths.iter().copied().map(u64::from).sum()
    }
}

fn ticks(time: Duration, rate: u32) -> i64 {
    // Up, because whoever made a time of ticks cut off what is less than a nanosecond.
    (time.as_nanos() * u128::from(rate)).div_ceil(1_000_000_000) as i64
}

/// Equal values that follow each other: how many, and which.
fn runs<T: Copy + PartialEq>(values: &[T]) -> impl Iterator<Item = (u32, T)> + '_ {
    values.chunk_by(|one, other| one == other).map(|run| (run.len() as u32, run[0]))
}

#[cfg(test)]
mod tests;
