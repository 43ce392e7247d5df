//! Whether a media clock keeps time.
//!
//! Some cameras count their pictures instead of the time (as many ticks per picture at 12 pictures a second as at 25), count
//! with another clock than they say, or give every picture the same time.

use super::{Nanos, SECOND};

/// How long a stretch is that is judged. Long enough that what a network delays is little beside it.
const STRETCH: Nanos = 3 * SECOND;
/// A stretch is wrong that is off by more than this part of it. No clock of quartz is off by a thousandth; a network's queue
/// that fills or empties does not change by so much in two stretches one after the other.
const TOLERANCE: Nanos = 8;

/// Judges one clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Media time and arrival at the beginning of the stretch.
    from: Option<(Nanos, Nanos)>,
    last: Verdict,
    wrong: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    Right,
    Slow,
    Fast,
}

impl Pace {
    /// Takes in a unit. Two stretches alike decide.
    pub(super) fn note(&mut self, media: Nanos, arrival: Nanos) {
        let (media_from, arrival_from) = *self.from.get_or_insert((media, arrival));
        let passed = arrival - arrival_from;
        if passed < STRETCH {
            return;
        }
        let error = media - media_from - passed;
        let verdict = match error {
            _ if error.abs() <= passed / TOLERANCE => Verdict::Right,
            ..0 => Verdict::Slow,
            _ => Verdict::Fast,
        };
        if verdict == self.last {
            self.wrong = verdict != Verdict::Right;
        }
        self.last = verdict;
        self.from = Some((media, arrival));
    }

    /// The clock has jumped: the stretch begins anew.
    pub(super) fn jumped(self) -> Self {
        Self { from: None, ..self }
    }

    /// Whether its times mean nothing.
    pub(super) fn is_wrong(self) -> bool {
        self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Nanos = SECOND / 25;

    /// So many seconds at this rate.
    fn run(pace: &mut Pace, at: &mut (Nanos, Nanos), seconds: i64, percent: i64) {
        for _ in 0..seconds * 25 {
            *at = (at.0 + FRAME * percent / 100, at.1 + FRAME);
            pace.note(at.0, at.1);
        }
    }

    #[test]
    fn clocks_that_are_wrong_are_found_out_and_forgiven() {
        for percent in [-100, 0, 50, 80, 120, 200, 1_000] {
            let (mut pace, mut at) = (Pace::default(), (0, 0));
            run(&mut pace, &mut at, 7, percent);
            assert!(pace.is_wrong(), "{percent}");
            run(&mut pace, &mut at, 10, 100);
            assert!(!pace.is_wrong(), "{percent}");
        }
    }

    #[test]
    fn clocks_that_drift_are_not_wrong() {
        for percent in [95, 99, 101, 105] {
            let (mut pace, mut at) = (Pace::default(), (0, 0));
            run(&mut pace, &mut at, 60, percent);
            assert!(!pace.is_wrong(), "{percent}");
        }
    }

    #[test]
    fn a_network_that_stands_still_and_goes_on_is_no_wrong_clock() {
        let (mut pace, mut at) = (Pace::default(), (0, 0));
        for _ in 0..10 {
            run(&mut pace, &mut at, 5, 100);
            // Nothing for 10 s, and then all of it at once.
            let late = at.1 + 10 * SECOND;
            for _ in 0..250 {
                at.0 += FRAME;
                pace.note(at.0, late);
                assert!(!pace.is_wrong());
            }
            at.1 = late;
        }
    }

    #[test]
    fn a_jump_decides_nothing() {
        let (mut pace, mut at) = (Pace::default(), (0, 0));
        for _ in 0..20 {
            run(&mut pace, &mut at, 2, 100);
            at.0 += 3_600 * SECOND;
            pace = pace.jumped();
        }
        assert!(!pace.is_wrong());
    }
}
