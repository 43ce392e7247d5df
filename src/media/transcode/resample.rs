//! Samples of one rate to samples of another, at a ratio that may change by a little all the time.
//!
//! A windowed-sinc interpolator: every output sample is the input's band-limited value at one exact point, so that
//! the output has no delay against the input's time line; it only has to wait for half a kernel of input to come. The
//! kernel is tabulated at [`PHASES`] points between two samples and interpolated linearly, which leaves errors below
//! -80 dB. (rubato would do, but it works in blocks, which delays, and brings a dozen crates.)

use std::f64::consts::PI;

use super::Pcm;

/// Kernels between two input samples.
const PHASES: usize = 128;
/// Length of the kernel, in input samples, below [`HIGH_RATE`]: half of it is 4 ms at 8 kHz, 2 ms at 16 kHz.
/// The filter falls from 92 % to 108 % of half the sample rate.
const TAPS: usize = 64;
/// Length from [`HIGH_RATE`] on, where falling from 84 % on (20 kHz at 48 kHz) is out of hearing.
const HIGH_TAPS: usize = 32;
const HIGH_RATE: u32 = 32_000;
/// Of the Kaiser window: 80 dB between pass band and stop band.
const BETA: f64 = 7.9;
/// Sums that are kept apart so that the compiler can use vector instructions.
const LANES: usize = 8;

/// One track's resampler.
#[derive(Debug)]
pub(super) struct Resampler {
    /// [`PHASES`] + 1 kernels of `taps` coefficients.
    kernels: Vec<f32>,
    taps: usize,
    /// Input samples per output sample, without slew.
    ratio: f64,
    /// With slew.
    step: f64,
    input: Pcm,
    /// Where the next output sample lies, in samples of `input`.
    at: f64,
}

impl Resampler {
    pub(super) fn new(channels: u8, from_hz: u32, to_hz: u32) -> Self {
        let ratio = f64::from(from_hz) / f64::from(to_hz);
        let taps = if from_hz < HIGH_RATE { TAPS } else { HIGH_TAPS };
        let kernels = kernels(taps, ratio.recip().min(1.0));
        let mut resampler = Self { kernels, taps, ratio, step: ratio, input: Pcm::new(channels), at: 0.0 };
        resampler.reset();
        resampler
    }

    /// Input samples per output sample, without slew.
    pub(super) fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Makes `slew` (for example 0.001) more output of the same input from now on.
    pub(super) fn set_slew(&mut self, slew: f64) {
        self.step = self.ratio * (1.0 - slew);
    }

    /// Where the next input sample will lie, in output samples from the next one.
    pub(super) fn pending(&self) -> f64 {
        (self.input.len() as f64 - self.at) / self.step
    }

    /// Appends to `out` all output that is due with `input`.
    pub(super) fn push(&mut self, input: &Pcm, out: &mut Pcm) {
        self.input.extend(input);
        let half = self.taps / 2;
        if self.step == 1.0 && self.at.fract() == 0.0 {
            // The kernel is 1 at its own sample and 0 at all others.
            let (start, end) = (self.at as usize, self.input.len() - half);
            for (plane, out) in self.input.planes().iter().zip(out.planes_mut()) {
                out.extend_from_slice(&plane[start..end.max(start)]);
            }
            self.at = end.max(start) as f64;
        } else {
            self.interpolate(out);
        }
        let spent = (self.at as usize + 1).saturating_sub(half).min(self.input.len());
        self.input.drop_front(spent);
        self.at -= spent as f64;
    }

    /// As if silence followed: appends to `out` what waits for more input, and starts anew.
    pub(super) fn flush(&mut self, out: &mut Pcm) {
        let mut silence = Pcm::new(self.input.planes().len() as u8);
        silence.extend_silent(self.taps / 2);
        self.push(&silence, out);
        self.reset();
    }

    fn reset(&mut self) {
        let half = self.taps / 2;
        self.input.clear();
        self.input.extend_silent(half);
        self.at = half as f64;
        self.step = self.ratio;
    }

    fn interpolate(&mut self, out: &mut Pcm) {
        let half = self.taps / 2;
        let mut kernel = [0.0; TAPS];
        let kernel = &mut kernel[..self.taps];
        // Sample `at` lies between the two in the middle of the kernel.
        while self.at as usize + half < self.input.len() {
            let first = self.at as usize + 1 - half;
            let phase = self.at.fract() * PHASES as f64;
            let row = phase as usize * self.taps;
            let (low, high) = (&self.kernels[row..][..self.taps], &self.kernels[row + self.taps..][..self.taps]);
            let part = phase.fract() as f32;
            for ((tap, low), high) in kernel.iter_mut().zip(low).zip(high) {
                *tap = low + part * (high - low);
            }
            for (plane, out) in self.input.planes().iter().zip(out.planes_mut()) {
                out.push(dot(&plane[first..][..kernel.len()], kernel));
            }
            self.at += self.step;
        }
    }
}

fn dot(samples: &[f32], kernel: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (samples, taps) in samples.chunks_exact(LANES).zip(kernel.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += samples[lane] * taps[lane];
        }
    }
    sums.iter().sum()
}

/// `cutoff` is 1 for half the input's rate.
fn kernels(taps: usize, cutoff: f64) -> Vec<f32> {
    let half = taps as f64 / 2.0;
    let mut kernels = Vec::with_capacity((PHASES + 1) * taps);
    for phase in 0..=PHASES {
        let part = phase as f64 / PHASES as f64;
        let kernel: Vec<f64> = (0..taps)
            .map(|tap| {
                let at = tap as f64 - (half - 1.0) - part;
                let window = bessel(BETA * (1.0 - (at / half).powi(2)).max(0.0).sqrt()) / bessel(BETA);
                cutoff * sinc(cutoff * at) * window
            })
            .collect();
        let gain: f64 = kernel.iter().sum();
        kernels.extend(kernel.iter().map(|tap| (tap / gain) as f32));
    }
    kernels
}

fn sinc(x: f64) -> f64 {
    if x.fract() == 0.0 { f64::from(u8::from(x == 0.0)) } else { (PI * x).sin() / (PI * x) }
}

/// The modified Bessel function of the first kind and order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..=40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: f64, count: usize) -> Pcm {
        let mut pcm = Pcm::new(1);
        pcm.planes_mut()[0].extend((0..count).map(|n| (2.0 * PI * hz * n as f64 / rate).sin() as f32));
        pcm
    }

    /// The largest difference to the same tone, sampled at `rate` from the first sample on.
    fn error(out: &Pcm, hz: f64, rate: f64) -> f32 {
        let wanted = tone(hz, rate, out.len());
        let pairs = out.planes()[0].iter().zip(&wanted.planes()[0]);
        // The first samples are a tone that was switched on.
        pairs.skip(600).map(|(is, wanted)| (is - wanted).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn output_is_the_input_sampled_elsewhere() {
        for (from, to) in [(44_100, 48_000), (22_050, 24_000), (11_025, 12_000), (32_000, 48_000), (96_000, 48_000)] {
            let mut resampler = Resampler::new(1, from, to);
            let mut out = Pcm::new(1);
            for _ in 0..20 {
                resampler.push(&Pcm::new(1), &mut out);
            }
            assert_eq!((out.len(), resampler.pending()), (0, 0.0), "nothing comes of nothing");
            resampler.push(&tone(1_000.0, f64::from(from), from as usize), &mut out);
            assert!(error(&out, 1_000.0, f64::from(to)) < 3e-4, "{from} to {to}");
            let waiting = f64::from(to) - out.len() as f64;
            assert!((resampler.pending() - waiting).abs() < 1e-6);
            resampler.flush(&mut out);
            assert!(out.len().abs_diff(to as usize) <= 1, "{from} to {to}: {}", out.len());
        }
    }

    #[test]
    fn equal_rates_are_copied_and_slewing_is_seamless() {
        let mut resampler = Resampler::new(1, 16_000, 16_000);
        let input = tone(1_000.0, 16_000.0, 16_000);
        let mut out = Pcm::new(1);
        resampler.push(&input, &mut out);
        assert_eq!(out.planes()[0], input.planes()[0][..out.len()]);
        resampler.set_slew(0.002);
        resampler.push(&input, &mut out);
        resampler.set_slew(0.0);
        resampler.push(&input, &mut out);
        assert!((out.len() as f64 - 48_032.0 + f64::from(TAPS as u8) / 2.0).abs() < 2.0, "{}", out.len());
        let steepest = out.planes()[0].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.4, "1 kHz at 16 kHz moves by 0.39 at most, not {steepest}");
    }
}
