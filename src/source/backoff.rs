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
/// A wait is shortened by up to this part of itself, at random, so that cameras behind one switch that failed
/// together do not come back together.
const JITTER: f64 = 0.2;

/// The wait before the next try when `failures` tries in a row failed (at least 1), the last with `kind`. `chance` is
/// a random number from 0 up to 1.
pub(super) fn delay(kind: FailureKind, failures: u32, chance: f64) -> Duration {
    let (first, longest) = match kind {
        FailureKind::Credentials => (FIRST_CREDENTIALS, LONGEST_CREDENTIALS),
        FailureKind::Passing | FailureKind::Setting => (FIRST, LONGEST),
    };
    let doublings = failures.saturating_sub(1).min(16);
    let full = first.saturating_mul(1 << doublings).min(longest);
    full.mul_f64(1.0 - JITTER * chance.clamp(0.0, 1.0))
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
    fn chance_only_shortens_and_only_a_little() {
        assert_eq!(delay(FailureKind::Passing, 6, 1.0), Duration::from_secs(24));
        assert_eq!(delay(FailureKind::Passing, 6, 0.5), Duration::from_secs(27));
        assert_eq!(delay(FailureKind::Passing, 6, 7.0), Duration::from_secs(24));
    }
}
