//! When to tell that no connection can be taken, and that it can again: pure, time is an argument.

use std::{
    io,
    time::{Duration, Instant},
};

/// Between two lines about it. What is short stays so for as long as nobody does anything.
const REMIND: Duration = Duration::from_secs(60);
/// Without a failure for so long it is over: while descriptors are short, one becomes free now and then.
const OVER: Duration = Duration::from_secs(5);
/// "Too many open files", of the process and of the machine: Linux, all architectures.
const NO_DESCRIPTORS: [i32; 2] = [24, 23];

/// What a port that takes connections is short of.
#[derive(Debug, Default)]
pub struct Shortage {
    told: Option<Instant>,
    failed: Option<Instant>,
}

impl Shortage {
    /// A connection could not be taken. What to tell, if it is time to.
    pub fn failed(&mut self, error: &io::Error, now: Instant) -> Option<&'static str> {
        self.failed = Some(now);
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < REMIND) {
            return None;
        }
        self.told = Some(now);
        Some(match error.raw_os_error() {
            Some(code) if NO_DESCRIPTORS.contains(&code) => {
                "no file descriptor is left for it: if that lasts, raise the limit (LimitNOFILE= under systemd, ulimit -n), or \
                 lower [http] max_connections and [webrtc] max_tcp_connections; those that there are go on"
            }
            _ => "the system refuses it; those that there are go on",
        })
    }

    /// A connection was taken. Whether to tell that it is over.
    pub fn taken(&mut self, now: Instant) -> bool {
        let is_over = self.failed.is_some_and(|failed| now.saturating_duration_since(failed) >= OVER);
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_minute_and_once_when_it_is_over() {
        let (mut shortage, start) = (Shortage::default(), Instant::now());
        let error = io::Error::from_raw_os_error(24);
        let at = |tenths: u32| start + Duration::from_millis(100) * tenths;
        assert!(!shortage.taken(start), "nothing was wrong");
        let told = (0..1_500).filter(|tenths| {
            // One becomes free now and then.
            let over = tenths % 20 == 7 && shortage.taken(at(*tenths));
            assert!(!over, "it is not over");
            shortage.failed(&error, at(*tenths)).is_some_and(|told| told.contains("LimitNOFILE"))
        });
        assert_eq!(told.collect::<Vec<_>>(), [0, 600, 1_200]);
        assert!(shortage.taken(at(1_600)));
        assert!(!shortage.taken(at(1_601)));
        assert!(shortage.failed(&error, at(1_700)).is_some(), "another one");
    }
}
