//! How long to wait before a camera is tried again. Pure: chance and time are arguments.

use std::time::Duration;

use super::FailureKind;

/// First wait after an ordinary failure. Short, because most are a camera that restarts or a cable that was moved.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait after an ordinary failure: a camera that comes back is seen again within half a minute, and one that
/// is away for weeks costs two small packets a minute.
const LONGEST: Duration = Duration::from_secs(30);
/// First wait after refused credentials. Cameras lock an account after 3 to 10 wrong tries within some minutes
/// (Hikvision: 7 tries, 30 min; Dahua: 5 tries, 5 min), and that locks out the owner too.
const FIRST_CREDENTIALS: Duration = Duration::from_secs(60);
/// Longest wait after refused credentials: four tries an hour stay below every lock-out known.
const LONGEST_CREDENTIALS: Duration = Duration::from_secs(15 * 60);
/// First wait for a camera that has come back a moment ago: DESCRIBE costs it a few milliseconds, and somebody waits.
const FIRST_BOOTING: Duration = Duration::from_millis(500);
/// Longest wait for such a camera.
const LONGEST_BOOTING: Duration = Duration::from_secs(5);
/// The wait is this part of the time since the camera came back, so that the picture comes by this part later than it could.
/// Within the minute that this is done, it makes 37 tries.
const BOOTING_SHARE: u32 = 10;
/// A wait is shortened by up to this part of itself, at random, so that cameras behind one switch that failed
/// together do not come back together.
const JITTER: f64 = 0.2;

/// The wait before the next try when `failures` tries in a row failed (at least 1), the last with `kind`. `chance` is
/// a random number from 0 up to 1.
pub(super) fn delay(kind: FailureKind, failures: u32, chance: f64) -> Duration {
    let (first, longest) = match kind {
        FailureKind::Credentials => (FIRST_CREDENTIALS, LONGEST_CREDENTIALS),
        FailureKind::Passing | FailureKind::Absent | FailureKind::Setting => (FIRST, LONGEST),
    };
    let doublings = failures.saturating_sub(1).min(16);
    shortened(first.saturating_mul(1 << doublings).min(longest), chance)
}

/// The wait before the next try of a camera that listens again for `back`, and says no because it is still starting.
pub(super) fn booting(back: Duration, chance: f64) -> Duration {
    shortened((back / BOOTING_SHARE).clamp(FIRST_BOOTING, LONGEST_BOOTING), chance)
}

fn shortened(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(kind: FailureKind) -> Vec<u64> {
        (1..=7).map(|failures| delay(kind, failures, 0.0).as_secs()).collect()
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        assert_eq!(seconds(FailureKind::Passing), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(seconds(FailureKind::Credentials), [60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(delay(FailureKind::Passing, u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn a_booting_camera_is_tried_37_times_in_its_first_minute() {
        let (mut back, mut tries) = (Duration::ZERO, 0);
        while back < Duration::from_secs(60) {
            back += booting(back, 0.0);
            tries += 1;
        }
        assert_eq!(tries, 37);
        assert_eq!(booting(Duration::from_secs(3_600), 0.0), LONGEST_BOOTING);
    }

    #[test]
    fn chance_only_shortens_and_only_a_little() {
        assert_eq!(delay(FailureKind::Passing, 6, 1.0), Duration::from_secs(24));
        assert_eq!(delay(FailureKind::Passing, 6, 0.5), Duration::from_secs(27));
        assert_eq!(delay(FailureKind::Passing, 6, 7.0), Duration::from_secs(24));
    }
}
