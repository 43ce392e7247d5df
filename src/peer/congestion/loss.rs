//! Loss as a sign that the path is too narrow: a policer lets packets queue nowhere, it throws away what is too much.

use super::LEAST;

/// What is lost in a window of this length, in microseconds, and of at least [`PACKETS`] packets, is looked at together.
const WINDOW: i64 = 1_000_000;
const PACKETS: u32 = 30;
/// Radios lose packets without being full; 10 % is a bad Wi-Fi that a picture survives by retransmission.
const TOO_MUCH: f64 = 0.25;
/// Windows with too much loss, one after the other, that are believed.
const BELIEVED: u32 = 2;
/// While a limit is known, loss above which it is lowered and below which it is raised.
const HELD: std::ops::Range<f64> = 0.05..0.15;
/// How much a limit rises in a window.
const RISE: f64 = 1.25;
/// The share of what arrived that a limit begins with: the rest repairs what is lost.
const FIRST: f64 = 0.9;

/// One viewer's losses.
#[derive(Debug, Default)]
pub(super) struct Loss {
    since: Option<i64>,
    arrived: u32,
    lost: u32,
    bytes: usize,
    bad: u32,
    limit: Option<f64>,
}

impl Loss {
    pub(super) fn on_arrival(&mut self, bytes: usize) {
        self.arrived += 1;
        self.bytes += bytes;
    }

    pub(super) fn on_loss(&mut self) {
        self.lost += 1;
    }

    /// All of one feedback has been told, at `now` in microseconds. Where packets queue, the queue tells more: what is lost
    /// there was one too many for it.
    pub(super) fn settle(&mut self, now: i64, queues: bool) {
        let since = *self.since.get_or_insert(now);
        let (time, packets) = (now - since, self.arrived + self.lost);
        if !queues && (time < WINDOW || packets < PACKETS) {
            return;
        }
        if !queues {
            let (fraction, carried) =
                (f64::from(self.lost) / f64::from(packets), self.bytes as f64 * 8e6 / time as f64);
            self.bad = if fraction >= TOO_MUCH { self.bad + 1 } else { 0 };
            self.limit = match self.limit {
                None => (self.bad >= BELIEVED).then_some((carried * FIRST).max(LEAST)),
                Some(limit) if fraction >= HELD.end => Some((limit * (1.0 - fraction)).max(carried * FIRST).max(LEAST)),
                Some(limit) if fraction < HELD.start => Some(limit * RISE),
                held => held,
            };
        }
        (self.since, self.arrived, self.lost, self.bytes) = (Some(now), 0, 0, 0);
    }

    /// What may be sent, in bits per second, while much of what was sent was lost.
    pub(super) fn limit(&self) -> Option<f64> {
        self.limit
    }

    /// It is over.
    pub(super) fn lift(&mut self) {
        (self.limit, self.bad) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window in which all or nothing arrives.
    fn window(loss: &mut Loss, second: i64, arrives: bool) {
        for _ in 0..PACKETS {
            if arrives { loss.on_arrival(1_200) } else { loss.on_loss() }
        }
        loss.settle(second * WINDOW, false);
    }

    #[test]
    fn a_limit_never_becomes_so_low_that_it_does_not_rise_again() {
        let mut loss = Loss::default();
        (0..60).for_each(|second| window(&mut loss, second, false));
        assert_eq!(loss.limit(), Some(LEAST));
        (60..80).for_each(|second| window(&mut loss, second, true));
        assert!(loss.limit().is_some_and(|limit| limit > 3e6), "{:?}", loss.limit());
    }
}
