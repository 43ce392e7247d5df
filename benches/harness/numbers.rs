//! Order statistics of a handful of measurements.

/// The value below which `percent` of the others are (nearest rank); 0 when there is none.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

pub fn max(values: &[f64]) -> f64 {
    percentile(values, 100.0)
}

/// The straight line with the least squares of distances.
pub struct Line {
    pub start: f64,
    pub slope: f64,
    /// Share of the variance that it explains (r squared).
    pub fit: f64,
}

impl Line {
    pub fn fit(points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|point| of(point.0 - x, point.1 - y)).sum::<f64>();
        let (xx, xy, yy) = (sum(&|dx, _| dx * dx), sum(&|dx, dy| dx * dy), sum(&|_, dy| dy * dy));
        let slope = if xx == 0.0 { 0.0 } else { xy / xx };
        let fit = if xx == 0.0 || yy == 0.0 { 1.0 } else { xy * xy / (xx * yy) };
        Self { start: y - slope * x, slope, fit }
    }

    pub fn at(&self, x: f64) -> f64 {
        self.start + self.slope * x
    }
}
