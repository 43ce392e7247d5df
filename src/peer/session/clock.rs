//! The time as a viewer is told it: pure, both clocks are arguments.

use std::time::{Instant, SystemTime};

/// Goes on evenly from when it was first asked, whatever is done to the machine's clock meanwhile: reports that contradict each
/// other cost a viewer its lip sync, and us its round trip.
#[derive(Debug, Default)]
pub(super) struct SteadyClock(Option<(Instant, SystemTime)>);

impl SteadyClock {
    /// The time at `now`, when the machine's clock says `wall`.
    pub(super) fn time(&mut self, now: Instant, wall: SystemTime) -> SystemTime {
        let (at, then) = *self.0.get_or_insert((now, wall));
        then + now.saturating_duration_since(at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_is_not_seen() {
        let (mut clock, start) = (SteadyClock::default(), Instant::now());
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        assert_eq!(clock.time(start, wall), wall);
        assert_eq!(clock.time(start + second, wall + second), wall + second);
        assert_eq!(clock.time(start + second * 2, wall + hour), wall + second * 2);
        assert_eq!(clock.time(start + second * 3, wall - hour), wall + second * 3);
    }
}
