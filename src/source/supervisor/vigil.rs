//! Notices that a live camera has gone without a word, as when its power is cut: nobody closes the connection then, and a
//! connection on which nothing comes may be a slow camera's.
//!
//! In: how much the camera has delivered, and whether knocks are answered. Out: that it is gone. The waiting and the
//! knocking are done by [`absence`].

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::now;
use crate::{
    hub::Camera,
    source::{Error, door::Door},
};

/// From one look at what has come to the next.
const LOOK: Duration = Duration::from_millis(500);
/// Silence after which to knock: what the page takes for a picture that stands still.
const SILENCE: Duration = Duration::from_secs(3);
/// A camera that was silent for longer than this before is a slow one; to wait for it is left to the reader's limit.
const SLOW: Duration = Duration::from_millis(1_500);
/// So many knocks in a row that nobody answers mean that it is gone: one may be lost, and a sleepy radio may delay another.
const GONE: u32 = 3;
/// After a knock that was answered: the camera is there, and knocks are connections that it has to serve.
const THERE: Duration = Duration::from_secs(5);

/// Completes when the live camera is gone, with what the last knock came to.
pub(super) async fn absence(camera: &Camera, door: &Door) -> Error {
    let mut silence = Silence::new(camera.counters.units.total(), now());
    loop {
        sleep(LOOK).await;
        silence.look(camera.counters.units.total(), now());
        while silence.asks_to_knock(now()) {
            let knock = door.knock().await;
            let is_gone = silence.knocked(knock.is_ok(), now());
            if let Err(error) = knock
                && is_gone
            {
                return error;
            }
        }
    }
}

/// What is known of a camera's silence.
#[derive(Debug)]
struct Silence {
    units: u64,
    since: Instant,
    longest: Duration,
    unanswered: u32,
    quiet_until: Instant,
}

impl Silence {
    fn new(units: u64, now: Instant) -> Self {
        Self { units, since: now, longest: Duration::ZERO, unanswered: 0, quiet_until: now }
    }

    fn look(&mut self, units: u64, now: Instant) {
        if units != self.units {
            self.longest = self.longest.max(now.saturating_duration_since(self.since).saturating_sub(LOOK));
            (self.units, self.since, self.unanswered) = (units, now, 0);
        }
    }

    fn asks_to_knock(&self, now: Instant) -> bool {
        self.longest < SLOW && now.saturating_duration_since(self.since) >= SILENCE && now >= self.quiet_until
    }

    /// Whether it is gone.
    fn knocked(&mut self, answered: bool, now: Instant) -> bool {
        if answered {
            (self.unanswered, self.quiet_until) = (0, now + THERE);
        } else {
            self.unanswered += 1;
        }
        self.unanswered >= GONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_camera_is_gone_when_it_is_silent_and_three_knocks_are_not_answered() {
        let zero = Instant::now();
        let mut silence = Silence::new(0, zero);
        silence.look(15, zero + ms(500));
        silence.look(15, zero + ms(3_000));
        assert!(!silence.asks_to_knock(zero + ms(3_000)));
        assert!(silence.asks_to_knock(zero + ms(3_500)));
        assert!(!silence.knocked(false, zero + ms(4_000)));
        assert!(!silence.knocked(false, zero + ms(4_500)));
        assert!(silence.asks_to_knock(zero + ms(4_500)));
        assert!(silence.knocked(false, zero + ms(5_000)));
    }

    #[test]
    fn one_that_answers_is_left_alone() {
        let zero = Instant::now();
        let mut silence = Silence::new(0, zero);
        assert!(silence.asks_to_knock(zero + ms(3_000)));
        assert!(!silence.knocked(false, zero + ms(3_500)));
        assert!(!silence.knocked(false, zero + ms(4_000)));
        assert!(!silence.knocked(true, zero + ms(4_000)));
        assert!(!silence.asks_to_knock(zero + ms(8_900)));
        assert!(silence.asks_to_knock(zero + ms(9_000)));
        assert!(!silence.knocked(false, zero + ms(9_000)), "in a row");
    }

    #[test]
    fn a_picture_that_comes_after_all_begins_anew() {
        let zero = Instant::now();
        let mut silence = Silence::new(0, zero);
        assert!(!silence.knocked(false, zero + ms(3_000)));
        assert!(!silence.knocked(false, zero + ms(3_500)));
        silence.look(1, zero + ms(1_900));
        assert!(!silence.knocked(false, zero + ms(5_000)));
    }

    #[test]
    fn a_slow_camera_is_not_knocked_at() {
        let zero = Instant::now();
        let mut silence = Silence::new(0, zero);
        silence.look(1, zero + ms(5_000));
        assert!(!silence.asks_to_knock(zero + ms(60_000)));
    }
}
