//! Tells what stands still from what only rests: pure, time is an argument.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Something that moves while the program is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// What it is, for a person: "camera front".
    pub of: String,
    /// Changes whenever it moves.
    pub count: u64,
    /// How long it may stay the same.
    pub patience: Duration,
}

/// Remembers since when each [`Sign`] has been the same.
#[derive(Debug, Default)]
pub(super) struct Judge {
    seen: HashMap<String, Seen>,
    last: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    still: Duration,
}

impl Judge {
    /// Which of the `signs` have been the same for longer than they may. What is not among them is forgotten: it rests.
    ///
    /// `step` is the time between two looks. A longer one was none in which anything could have moved, as while the machine
    /// slept or the whole program was stopped, so no more than twice that counts.
    pub(super) fn stuck(&mut self, signs: &[Sign], step: Duration, now: Instant) -> Vec<String> {
        let passed = self.last.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let passed = passed.min(step * 2);
        let before = std::mem::take(&mut self.seen);
        let still = |sign: &Sign| match before.get(&sign.of) {
            Some(seen) if seen.count == sign.count => seen.still + passed,
            _ => Duration::ZERO,
        };
        let now = signs.iter().map(|sign| (sign.of.clone(), Seen { count: sign.count, still: still(sign) }));
        self.seen = now.collect();
        let stuck = signs.iter().filter(|sign| self.seen[&sign.of].still > sign.patience);
        stuck.map(|sign| sign.of.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    fn sign(of: &str, count: u64) -> Sign {
        Sign { of: of.to_owned(), count, patience: STEP * 10 }
    }

    /// The seconds in which a judge calls something stuck that is shown `counts`, a second after another.
    fn stuck(counts: impl IntoIterator<Item = Option<u64>>) -> Vec<usize> {
        let (mut judge, mut now, mut named) = (Judge::default(), Instant::now(), Vec::new());
        for (second, count) in counts.into_iter().enumerate() {
            now += STEP;
            let signs: Vec<_> = count.map(|count| sign("camera front", count)).into_iter().collect();
            if !judge.stuck(&signs, STEP, now).is_empty() {
                named.push(second);
            }
        }
        named
    }

    #[test]
    fn what_stands_still_is_stuck_until_it_moves() {
        let moves_until_5_and_from_20 = |second: u64| Some(if second < 20 { second.min(5) } else { second });
        assert_eq!(stuck((0..30).map(moves_until_5_and_from_20)), [16, 17, 18, 19]);
    }

    #[test]
    fn what_rests_is_not_stuck() {
        let away_at_10 = |second: u64| (second != 10).then_some(7);
        assert_eq!(stuck((0..21).map(away_at_10)), Vec::<usize>::new());
        assert_eq!(stuck((0..23).map(away_at_10)), [22]);
    }

    #[test]
    fn only_what_stands_still_is_named() {
        let (mut judge, start) = (Judge::default(), Instant::now());
        for second in 0..20 {
            let signs = [sign("worker 0", u64::from(second)), sign("worker 1", 7)];
            let stuck = judge.stuck(&signs, STEP, start + STEP * second);
            assert_eq!(stuck, if second > 10 { vec!["worker 1".to_owned()] } else { Vec::new() });
        }
    }

    #[test]
    fn a_machine_that_slept_is_not_stuck() {
        let (mut judge, start) = (Judge::default(), Instant::now());
        assert!(judge.stuck(&[sign("worker 0", 7)], STEP, start).is_empty());
        let woken = start + STEP * 3_600;
        assert!(judge.stuck(&[sign("worker 0", 7)], STEP, woken).is_empty());
        assert!(judge.stuck(&[sign("worker 0", 8)], STEP, woken + STEP).is_empty());
    }
}
