//! Samples of one kind, row by row, and smaller ones made of them.

/// One byte a sample, without gaps between the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    samples: Vec<u8>,
}

impl Plane {
    /// Takes over the visible samples of rows that are `stride` apart; keeps its memory. Returns whether there are as many.
    pub(super) fn copy(&mut self, (width, height): (usize, usize), samples: &[u8], stride: usize) -> bool {
        (self.width, self.height) = (width, height);
        self.samples.clear();
        if width == 0 || stride < width {
            return false;
        }
        for row in samples.chunks(stride).take(height) {
            self.samples.extend(row.iter().take(width));
        }
        self.samples.len() == width * height
    }

    pub(super) fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height.saturating_sub(1)) * self.width;
        &self.samples[start..start + self.width]
    }

    /// The same in another size, which is not larger: each sample is the mean of those that it stands for.
    pub(super) fn scaled(&self, (width, height): (usize, usize)) -> Self {
        let mut samples = Vec::with_capacity(width * height);
        for y in 0..height {
            let rows = span(y, height, self.height);
            for x in 0..width {
                let columns = span(x, width, self.width);
                let count = rows.len() * columns.len();
                let sum: usize = rows
                    .clone()
                    .map(|y| self.row(y)[columns.clone()].iter().map(|sample| usize::from(*sample)).sum::<usize>())
                    .sum();
                samples.push(((sum + count / 2) / count) as u8);
            }
        }
        Self { width, height, samples }
    }
}

/// Which of `of` the sample number `at` of `count` stands for: one at least.
fn span(at: usize, count: usize, of: usize) -> std::ops::Range<usize> {
    let (start, end) = (at * of / count, (at + 1) * of / count);
    let start = start.min(of - 1);
    start..end.clamp(start + 1, of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_copied_without_what_is_between_them() {
        let mut plane = Plane::default();
        assert!(plane.copy((2, 2), &[1, 2, 9, 3, 4, 9], 3));
        assert_eq!((plane.row(0), plane.row(1), plane.row(7)), (&[1, 2][..], &[3, 4][..], &[3, 4][..]));
        assert!(plane.copy((2, 2), &[1, 2, 9, 3, 4], 3), "the last row ends where the picture does");
        assert!(!plane.copy((2, 3), &[1, 2, 9, 3, 4, 9], 3), "too few rows");
        assert!(!plane.copy((4, 2), &[1, 2, 9, 3, 4, 9], 3), "wider than its rows");
        assert!(!plane.copy((0, 0), &[], 0));
    }

    #[test]
    fn smaller_is_the_mean() {
        let mut plane = Plane::default();
        assert!(plane.copy((4, 2), &[0, 10, 100, 200, 20, 30, 100, 200], 4));
        assert_eq!(plane.scaled((2, 1)).samples, [15, 150]);
        assert_eq!(plane.scaled((4, 2)), plane);
        assert_eq!(plane.scaled((3, 2)).samples.len(), 6);
        assert_eq!(plane.scaled((1, 1)).samples, [83]);
    }
}
