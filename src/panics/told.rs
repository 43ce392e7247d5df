//! How many panics there were, and which of them are worth a line: pure, time is an argument.

use std::time::{Duration, Instant};

use super::Part;

/// Between two lines about one part: a stranger who finds out how to make the gateway panic must not fill the disk by it.
const INTERVAL: Duration = Duration::from_secs(1);

const PARTS: usize = Part::ALL.len();

/// Counts, by [`Part`].
#[derive(Debug)]
pub(super) struct Told {
    totals: [u64; PARTS],
    /// Of those how many the log has not heard of since its last line.
    unheard: [u64; PARTS],
    last: [Option<Instant>; PARTS],
}

impl Told {
    pub(super) const fn new() -> Self {
        Self { totals: [0; PARTS], unheard: [0; PARTS], last: [None; PARTS] }
    }

    /// Notes one. If it is worth a line, how many there were before it that were not.
    pub(super) fn note(&mut self, part: Part, now: Instant) -> Option<u64> {
        let index = part as usize;
        self.totals[index] += 1;
        if self.last[index].is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.unheard[index] += 1;
            return None;
        }
        self.last[index] = Some(now);
        Some(std::mem::take(&mut self.unheard[index]))
    }

    pub(super) fn total(&self, part: Part) -> u64 {
        self.totals[part as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_panics_are_one_line_a_second_and_all_are_counted() {
        let (mut told, start) = (Told::new(), Instant::now());
        let lines: Vec<_> =
            (0..300).filter_map(|step| told.note(Part::Reader, start + step * INTERVAL / 100)).collect();
        assert_eq!(lines, [0, 99, 99]);
        assert_eq!(told.total(Part::Reader), 300);
        assert_eq!(told.note(Part::Session, start), Some(0), "another part");
        assert_eq!((told.total(Part::Session), told.total(Part::Camera)), (1, 0));
    }
}
