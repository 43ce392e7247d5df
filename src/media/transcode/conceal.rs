//! Fills holes so that they are hardly heard, and joins what does not fit together without a click.
//!
//! A hole is filled with the last period of the voice before it, again and again and softer and softer (the idea of
//! ITU-T G.711 appendix I); where real sound returns, it is faded in over the repetition.

use super::Pcm;

/// Periods that are looked for, in hertz: the voices of men and children. A higher tone is found as a multiple.
const PITCH_HZ: (u32, u32) = (66, 400);
/// How much of the past is compared with the past before it, in milliseconds.
const COMPARED_MS: u32 = 20;
/// Repetition is as loud as the original for so long, in milliseconds, and silent from [`SILENT_MS`] on.
const LOUD_MS: u32 = 30;
const SILENT_MS: u32 = 100;
/// Cross-fade between repetition and real sound, and the fade at an end, in milliseconds: long enough not to click.
const JOIN_MS: u32 = 10;

/// One track's memory of the last 36 ms.
#[derive(Debug)]
pub(super) struct Conceal {
    hz: u32,
    /// Length of the cross-fade in samples.
    join: usize,
    past: Pcm,
    /// What is repeated, while it is.
    repeated: Option<Repetition>,
}

#[derive(Debug)]
struct Repetition {
    /// One period.
    period: Pcm,
    /// From the last real sample to where the period would start, per channel.
    step: Vec<f32>,
    /// Samples since the last real one.
    at: usize,
}

impl Conceal {
    /// `unsettled`: so many samples behind a hole are not what they should be, because the decoder mixes them with what
    /// was before it; the repetition is faded out over all of them.
    pub(super) fn new(hz: u32, channels: u8, unsettled: usize) -> Self {
        let join = unsettled.max(samples(hz, JOIN_MS));
        Self { hz, join, past: Pcm::new(channels), repeated: None }
    }

    /// Takes real samples that go out, joined to what [`Self::fill`] made before.
    pub(super) fn join(&mut self, real: &mut Pcm) {
        if let Some(mut repeated) = self.repeated.take() {
            let length = self.join.min(real.len());
            for n in 0..length {
                let part = (n + 1) as f32 / (length + 1) as f32;
                let gain = self.gain(repeated.at);
                for (channel, plane) in real.planes_mut().iter_mut().enumerate() {
                    plane[n] = plane[n] * part + repeated.sample(channel) * gain * (1.0 - part);
                }
                repeated.at += 1;
            }
        }
        self.remember(real);
    }

    /// Appends `count` made-up samples to `out`.
    pub(super) fn fill(&mut self, count: usize, out: &mut Pcm) {
        let mut repeated = self.repeated.take().unwrap_or_else(|| self.repetition());
        for _ in 0..count {
            let gain = self.gain(repeated.at);
            for (channel, plane) in out.planes_mut().iter_mut().enumerate() {
                plane.push(repeated.sample(channel) * gain);
            }
            repeated.at += 1;
        }
        self.repeated = Some(repeated);
    }

    /// Appends the shortest end that does not click to `out`; what comes next fades in.
    pub(super) fn end(&mut self, out: &mut Pcm) {
        let count = samples(self.hz, JOIN_MS);
        let mut tail = Pcm::new(self.past.planes().len() as u8);
        self.fill(count, &mut tail);
        for plane in tail.planes_mut() {
            plane.iter_mut().enumerate().for_each(|(n, sample)| *sample *= 1.0 - (n + 1) as f32 / count as f32);
        }
        out.extend(&tail);
        self.past.clear();
        self.repeated = Some(self.repetition());
    }

    fn gain(&self, at: usize) -> f32 {
        let (loud, silent) = (samples(self.hz, LOUD_MS), samples(self.hz, SILENT_MS));
        let left = silent.saturating_sub(at.max(loud));
        left as f32 / (silent - loud) as f32
    }

    fn remember(&mut self, real: &Pcm) {
        let longest = samples(self.hz, COMPARED_MS) + (self.hz / PITCH_HZ.0) as usize + 1;
        self.past.extend(real);
        self.past.drop_front(self.past.len().saturating_sub(longest));
    }

    /// The last period of the past; silence when there is too little of it.
    fn repetition(&self) -> Repetition {
        let (shortest, longest) = ((self.hz / PITCH_HZ.1) as usize, (self.hz / PITCH_HZ.0) as usize);
        let compared = samples(self.hz, COMPARED_MS);
        let channels = self.past.planes().len();
        let mut period = Pcm::new(channels as u8);
        let mut step = vec![0.0; channels];
        if self.past.len() <= compared + longest {
            period.extend_silent(1);
            for (step, plane) in step.iter_mut().zip(self.past.planes()) {
                *step = plane.last().copied().unwrap_or(0.0);
            }
            return Repetition { period, step, at: 0 };
        }
        let lag = best_lag(&self.past, compared, shortest..=longest);
        for ((plane, out), step) in self.past.planes().iter().zip(period.planes_mut()).zip(&mut step) {
            let start = plane.len() - lag;
            out.extend_from_slice(&plane[start..]);
            // The end of a period leads to its start: over a quarter of it, it becomes what was before the start.
            let quarter = lag / 4;
            for n in 0..quarter {
                let part = (n + 1) as f32 / quarter as f32;
                out[lag - quarter + n] += part * (plane[start - quarter + n] - out[lag - quarter + n]);
            }
            *step = plane[plane.len() - 1] - plane[start - 1];
        }
        Repetition { period, step, at: 0 }
    }
}

fn samples(hz: u32, ms: u32) -> usize {
    (hz * ms / 1_000) as usize
}

impl Repetition {
    /// Without gain.
    fn sample(&self, channel: usize) -> f32 {
        let period = &self.period.planes()[channel];
        // The first period starts where the real sound stopped.
        let quarter = (period.len() / 4).max(16);
        let left = quarter.saturating_sub(self.at) as f32 / quarter as f32;
        period[self.at % period.len()] + self.step[channel] * left
    }
}

/// The distance at which the last `compared` samples are most like the ones before them.
fn best_lag(past: &Pcm, compared: usize, lags: impl Iterator<Item = usize>) -> usize {
    let length = past.len();
    let mono: Vec<f32> = (0..length).map(|n| past.planes().iter().map(|plane| plane[n]).sum()).collect();
    let now = &mono[length - compared..];
    let likeness = |lag: usize| {
        let then = &mono[length - compared - lag..][..compared];
        let product: f32 = now.iter().zip(then).map(|(now, then)| now * then).sum();
        let power: f32 = then.iter().map(|then| then * then).sum();
        product / power.sqrt().max(1e-6)
    };
    let best = lags.map(|lag| (lag, likeness(lag))).max_by(|(_, one), (_, other)| one.total_cmp(other));
    best.map_or(compared, |(lag, _)| lag)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;

    const HZ: u32 = 16_000;

    fn tone(hz: f32, range: std::ops::Range<usize>) -> Pcm {
        let mut pcm = Pcm::new(2);
        for n in range {
            let sample = 0.5 * (2.0 * PI * hz * n as f32 / HZ as f32).sin();
            pcm.planes_mut()[0].push(sample);
            pcm.planes_mut()[1].push(-sample);
        }
        pcm
    }

    /// The largest step from one sample to the next.
    fn steepest(pcm: &Pcm) -> f32 {
        let steps = pcm.planes().iter().flat_map(|plane| plane.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
        steps.fold(0.0, f32::max)
    }

    #[test]
    fn a_short_hole_in_a_tone_is_not_there() {
        for hz in [100.0, 440.0, 1_000.0] {
            let mut conceal = Conceal::new(HZ, 2, 0);
            let mut out = tone(hz, 0..2_000);
            conceal.join(&mut out);
            conceal.fill(320, &mut out);
            let mut more = tone(hz, 2_320..4_000);
            conceal.join(&mut more);
            out.extend(&more);
            let whole = tone(hz, 0..4_000);
            assert!(steepest(&out) < 1.2 * steepest(&whole), "{hz}: {} {}", steepest(&out), steepest(&whole));
            let power = |pcm: &Pcm| pcm.planes()[0][2_000..2_320].iter().map(|sample| sample * sample).sum::<f32>();
            assert!((0.8..1.2).contains(&(power(&out) / power(&whole))), "{hz}");
        }
    }

    #[test]
    fn a_long_hole_fades_out_and_sound_fades_in() {
        let mut conceal = Conceal::new(HZ, 2, 0);
        let mut out = tone(440.0, 0..2_000);
        conceal.join(&mut out);
        conceal.fill(3_200, &mut out);
        assert!(out.planes()[0][4_000..].iter().all(|sample| *sample == 0.0));
        let mut more = tone(440.0, 5_209..6_000);
        conceal.join(&mut more);
        out.extend(&more);
        assert!(steepest(&out) < 1.2 * steepest(&tone(440.0, 0..2_000)));
    }

    #[test]
    fn an_end_is_soft_with_any_past() {
        for past in [0, 5, 200, 2_000] {
            let mut conceal = Conceal::new(HZ, 2, 0);
            let mut out = tone(440.0, 0..past);
            conceal.join(&mut out);
            conceal.end(&mut out);
            assert_eq!(out.len(), past + 160);
            assert!(out.planes()[0].last().unwrap().abs() < 1e-6);
            let mut next = tone(440.0, 9..1_000);
            conceal.join(&mut next);
            out.extend(&next);
            assert!(steepest(&out) < 1.2 * steepest(&tone(440.0, 0..2_000)), "{past}: {}", steepest(&out));
        }
    }
}
