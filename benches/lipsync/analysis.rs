//! From what watch.js noted to the skew of each beep.
#![allow(unreachable_pub)]

use std::collections::HashMap;

use serde::Deserialize;

use super::{FPS, harness::numbers};

/// Half a second and more apart, a flash and a beep are not of the same instant.
const SAME: f64 = 480.0;
/// Chunks of sound this close to a beep, in milliseconds, tell when the device played it.
const NEAR: f64 = 500.0;

/// Of RTP's clock, from one picture to the next.
const TICKS: u32 = 90_000 / FPS;

/// What one viewer saw and heard; times in milliseconds.
#[derive(Debug, Deserialize)]
pub struct Recording {
    start: f64,
    frames: Vec<Frame>,
    estimates: Vec<Estimate>,
    sound: Sound,
    truth: Option<Truth>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    at: f64,
    rtp: Option<u32>,
    counter: Option<u32>,
    white: bool,
    /// Behind the player's curtain.
    hidden: bool,
}

#[derive(Debug, Deserialize)]
struct Sound {
    /// Null when nothing came.
    shift: Option<f64>,
    /// Position in the sound, and when it was taken.
    chunks: Vec<(f64, f64)>,
    beeps: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Truth {
    sound: Sound,
    flashes: Vec<f64>,
}

/// A second's getStats().
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Estimate {
    at: f64,
    video: Option<f64>,
    audio: Option<f64>,
    video_buffer: Option<(f64, f64)>,
    audio_buffer: Option<(f64, f64)>,
    concealed: Option<f64>,
    device: Option<(f64, f64)>,
    /// How long the player held the picture back.
    hold: Option<f64>,
}

/// One flash and its beep.
#[derive(Clone, Copy, Debug)]
pub struct Beep {
    /// Seconds since the viewer came.
    pub after: f64,
    /// Milliseconds from the flash to the beep.
    pub late: f64,
}

/// The skew of one viewer.
#[derive(Clone, Debug)]
pub struct Skew {
    pub beeps: Vec<Beep>,
    /// Flashes without a beep.
    pub missed: usize,
    /// Seconds since the viewer came, and what Chromium thinks by how many milliseconds sound is late.
    pub estimates: Vec<(f64, f64)>,
}

impl Sound {
    /// When each beep was taken from the stream by what plays it. Several chunks are taken at once and played one after
    /// the other: the first of them tells the truth, the others look early.
    fn taken(&self) -> Vec<f64> {
        let shift = self.shift.unwrap_or(0.0);
        let at = |beep: f64| {
            let lags: Vec<f64> = self
                .chunks
                .iter()
                .filter(|(position, _)| (position - beep).abs() < NEAR)
                .map(|(position, taken)| taken - position)
                .collect();
            beep + numbers::percentile(&lags, 80.0) + shift
        };
        self.beeps.iter().map(|&beep| at(beep)).collect()
    }

    /// Median and 95th percentile of the time between two chunks, and of their length.
    fn rhythm(&self) -> [f64; 3] {
        let gaps: Vec<f64> = self.chunks.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        let lengths: Vec<f64> = self.chunks.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        [numbers::median(&gaps), numbers::percentile(&gaps, 95.0), numbers::median(&lengths)]
    }
}

impl Recording {
    /// Delay of the audio device as Chromium counts it, in milliseconds.
    fn device_delay(&self) -> f64 {
        let last = self.estimates.iter().rev().find_map(|estimate| estimate.device);
        last.filter(|(_, count)| *count > 0.0).map_or(0.0, |(total, count)| total * 1e3 / count)
    }

    fn heard(&self) -> Vec<f64> {
        let delay = self.device_delay();
        self.sound.taken().into_iter().map(|at| at + delay).collect()
    }

    /// When flashes were seen: pictures of whole seconds, by their RTP timestamps, that looked white then or one look before.
    fn seen(&self) -> Vec<f64> {
        let first = self.first_timestamp();
        let number = |frame: &Frame| Some(frame.rtp?.wrapping_sub(first) / TICKS);
        let mut white = false;
        let flashes = self.frames.iter().filter(|frame| {
            let before = std::mem::replace(&mut white, frame.white);
            let flash = number(frame).is_some_and(|number| number % FPS == 0);
            flash && !frame.hidden && (frame.white || before)
        });
        flashes.map(|frame| frame.at).collect()
    }

    /// The timestamp that picture 0 would have had: what most of those that could be read say.
    fn first_timestamp(&self) -> u32 {
        let mut votes = HashMap::new();
        for frame in &self.frames {
            if let (Some(rtp), Some(counter)) = (frame.rtp, frame.counter) {
                *votes.entry(rtp.wrapping_sub(counter.wrapping_mul(TICKS))).or_insert(0) += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map_or(0, |(first, _)| first)
    }

    pub fn skew(&self) -> Skew {
        self.pair(&self.seen(), &self.heard())
    }

    /// For a sender whose skew is known: what is measured less what is true.
    pub fn against_truth(&self) -> Skew {
        let truth = self.truth.as_ref().expect("a loopback");
        let sent = truth.sound.taken();
        let nearest =
            |list: &[f64], to: f64| list.iter().copied().min_by(|a, b| (a - to).abs().total_cmp(&(b - to).abs()));
        let mut last = f64::NEG_INFINITY;
        let mut seen: Vec<f64> = self.frames.iter().filter(|frame| frame.white).map(|frame| frame.at).collect();
        seen.retain(|&at| {
            let first = at - last > 500.0;
            last = at;
            first
        });
        let mut skew = self.pair(&seen, &self.heard());
        let offsets: Vec<f64> = truth
            .flashes
            .iter()
            .filter_map(|&at| Some(nearest(&sent, at)? - at))
            .filter(|late| late.abs() < SAME)
            .collect();
        let real = numbers::median(&offsets);
        let spread = [5.0, 95.0].map(|percent| numbers::percentile(&offsets, percent));
        println!("loopback: sent {real:.1} ms apart ({:.1} to {:.1})", spread[0], spread[1]);
        self.print_health("loopback");
        skew.beeps.iter_mut().for_each(|beep| beep.late -= real);
        skew
    }

    fn pair(&self, seen: &[f64], heard: &[f64]) -> Skew {
        let mut missed = 0;
        let beeps = seen.iter().filter_map(|&flash| {
            let late = heard.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()));
            let late = late.filter(|late| late.abs() < SAME);
            missed += usize::from(late.is_none());
            Some(Beep { after: (flash - self.start) / 1e3, late: late? })
        });
        let beeps: Vec<Beep> = beeps.collect();
        let estimates = self
            .estimates
            .iter()
            .filter_map(|estimate| Some(((estimate.at - self.start) / 1e3, estimate.video? - estimate.audio?)))
            .filter(|(_, late)| late.abs() < 10_000.0)
            .collect();
        Skew { beeps, missed, estimates }
    }

    /// What a reader needs to judge the numbers.
    pub fn print_health(&self, name: &str) {
        let per = |buffer: Option<(f64, f64)>| {
            buffer.filter(|(_, count)| *count > 0.0).map_or(0.0, |(total, count)| total * 1e3 / count)
        };
        let Some(last) = self.estimates.last() else { return println!("{name}: no stats") };
        let [gap, p95, length] = self.sound.rhythm();
        println!(
            "{name}: {} frames, {} beeps; buffers: video {:.0} ms, audio {:.0} ms, device {:.0} ms; hold {:.0} ms; {:.0} samples \
             concealed; chunks of {length:.0} ms every {gap:.1} ms, p95 {p95:.1}",
            self.frames.len(),
            self.sound.beeps.len(),
            per(last.video_buffer),
            per(last.audio_buffer),
            self.device_delay(),
            last.hold.unwrap_or(0.0),
            last.concealed.unwrap_or(0.0),
        );
    }
}

impl Skew {
    /// Those of a part of the watching, in seconds since the viewer came.
    pub fn between(&self, from: f64, to: f64) -> Self {
        let within = |after: f64| after >= from && after < to;
        Self {
            beeps: self.beeps.iter().copied().filter(|beep| within(beep.after)).collect(),
            missed: 0,
            estimates: self.estimates.iter().copied().filter(|(after, _)| within(*after)).collect(),
        }
    }

    /// By how many milliseconds the last third is later than the first.
    pub fn drift(&self) -> f64 {
        let third = self.beeps.len().div_ceil(3);
        let late = |beeps: &[Beep]| numbers::median(&beeps.iter().map(|beep| beep.late).collect::<Vec<_>>());
        late(&self.beeps[self.beeps.len() - third..]) - late(&self.beeps[..third])
    }

    pub fn by_second(&self) -> String {
        let one = |beep: &Beep| format!("{:.1} s {:+.0}", beep.after, beep.late);
        self.beeps.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
