//! How old units are when they are handed out.

use std::time::Duration;

/// How fast a peak is forgotten: half of it in 44 units, 1 to 2 s.
const FORGOTTEN: f64 = 1.0 / 64.0;

/// The age of one track's late units, from the capture of the first sample on. Not the average: a jitter buffer waits for
/// the late ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Age {
    seconds: Option<f64>,
}

impl Age {
    pub(super) fn note(&mut self, age: Duration) {
        let age = age.as_secs_f64();
        let faded = self.seconds.map_or(age, |peak| peak + (age - peak) * FORGOTTEN);
        self.seconds = Some(faded.max(age));
    }

    /// By how many seconds these units are later than `other`s of the same instant; `None` before both have any.
    pub(super) fn later_than(self, other: Self) -> Option<f64> {
        Some(self.seconds? - other.seconds?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_track_is_later() {
        let (mut sound, mut picture) = (Age::default(), Age::default());
        picture.note(Duration::from_millis(30));
        assert_eq!(sound.later_than(picture), None);
        for _ in 0..200 {
            sound.note(Duration::from_millis(80));
            sound.note(Duration::from_millis(100));
        }
        let lag = sound.later_than(picture).expect("both have units");
        assert!((0.069..0.071).contains(&lag), "the late ones count: {lag}");
        assert!(picture.later_than(sound).is_some_and(|lag| lag < 0.0));
    }

    #[test]
    fn a_hiccup_is_forgotten() {
        let (mut sound, mut picture) = (Age::default(), Age::default());
        picture.note(Duration::ZERO);
        sound.note(Duration::from_secs(2));
        (0..500).for_each(|_| sound.note(Duration::from_millis(40)));
        let lag = sound.later_than(picture).expect("both have units");
        assert!((0.04..0.042).contains(&lag), "{lag}");
    }
}
