//! The smallest value of the last ten seconds.

use std::collections::VecDeque;

use super::{Nanos, SECOND};

/// How far back it looks. Long enough to hold a packet that the network did not delay, even at one frame a second;
/// short enough that a clock that is 100 ppm off is followed within 1 ms.
const LENGTH: i64 = 10;

/// A sliding minimum in buckets of one second, so that it costs the same at any frame rate.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Second, and the smallest value in it; oldest first.
    buckets: VecDeque<(i64, Nanos)>,
}

impl Window {
    /// Takes in a value of the time `at`, which does not go back.
    pub(super) fn note(&mut self, at: Nanos, value: Nanos) {
        let second = at / SECOND;
        match self.buckets.back_mut() {
            Some((newest, min)) if *newest >= second => *min = value.min(*min),
            _ => self.buckets.push_back((second, value)),
        }
        while self.buckets.front().is_some_and(|(oldest, _)| *oldest <= second - LENGTH) {
            self.buckets.pop_front();
        }
    }

    /// The smallest value; `None` when there is none.
    pub(super) fn min(&self) -> Option<Nanos> {
        self.buckets.iter().map(|(_, min)| *min).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_ten_seconds() {
        let mut window = Window::default();
        assert_eq!(window.min(), None);
        window.note(0, 5);
        window.note(SECOND / 2, 3);
        window.note(SECOND / 2, 4);
        window.note(9 * SECOND, 8);
        assert_eq!(window.min(), Some(3));
        window.note(10 * SECOND, 9);
        assert_eq!(window.min(), Some(8));
        window.note(40 * SECOND, 20);
        assert_eq!(window.min(), Some(20));
    }
}
