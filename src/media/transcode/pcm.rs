//! Decoded sound: one or two channels of samples, full scale at 1.0, channel after channel.

/// One or two channels of the same length.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pcm {
    planes: Vec<Vec<f32>>,
}

impl Pcm {
    /// Nothing yet, in one or two channels.
    pub(super) fn new(channels: u8) -> Self {
        Self { planes: vec![Vec::new(); usize::from(channels.clamp(1, 2))] }
    }

    /// Samples per channel.
    pub(super) fn len(&self) -> usize {
        self.planes[0].len()
    }

    /// Left, then right.
    pub(super) fn planes(&self) -> &[Vec<f32>] {
        &self.planes
    }

    /// Left, then right; whoever changes a length changes both.
    pub(super) fn planes_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.planes
    }

    pub(super) fn clear(&mut self) {
        self.planes.iter_mut().for_each(Vec::clear);
    }

    /// Appends `count` samples of silence.
    pub(super) fn extend_silent(&mut self, count: usize) {
        for plane in &mut self.planes {
            plane.resize(plane.len() + count, 0.0);
        }
    }

    /// Appends what `other`, which has as many channels, holds.
    pub(super) fn extend(&mut self, other: &Self) {
        for (plane, more) in self.planes.iter_mut().zip(&other.planes) {
            plane.extend_from_slice(more);
        }
    }

    /// Removes the first `count` samples, or all.
    pub(super) fn drop_front(&mut self, count: usize) {
        for plane in &mut self.planes {
            plane.drain(..count.min(plane.len()));
        }
    }

    /// The largest magnitude; infinite when any sample is not a number.
    pub(super) fn peak(&self) -> f32 {
        let samples = self.planes.iter().flatten();
        samples.fold(0.0, |peak: f32, sample| if sample.is_nan() { f32::INFINITY } else { peak.max(sample.abs()) })
    }
}
