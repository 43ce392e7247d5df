//! How many connectivity checks (RFC 8445 section 7.2) an address is sent before it has shown that it wants them.
//!
//! An offer may name anybody's address as a candidate, and every pair of candidates is checked again and again: whoever may
//! offer could let the gateway send to a stranger what the gateway's own address then answers for (RFC 8445 section 19.5.1).
//! ICE bounds that per session; this bounds it per address, over all sessions.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{places::customer, stats::Counter};

/// What an address may be sent at once, in seconds of what it may be sent for long: a wall of 30 cameras that is opened from
/// one address draws some 700 checks within two seconds, and is connected then.
const BURST: f64 = 20.0;
/// Addresses remembered at one time. Beyond, those that have been sent nothing for [`BURST`] seconds are forgotten, and if
/// there are none, newcomers share one allowance.
const MAX_ADDRESSES: usize = 4_096;

/// Counts checks by address.
#[derive(Debug)]
pub(super) struct Checks {
    per_second: AtomicU32,
    sent: Mutex<HashMap<Option<IpAddr>, Allowance>>,
    /// Checks that were not sent.
    pub(super) withheld: Counter,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Checks {
    /// So many for one address for as long as it likes, and [`BURST`] times as many at once.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), sent: Mutex::default(), withheld: Counter::default() }
    }

    /// Another number from now on; what was sent counts.
    pub(super) fn set(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Whether one more may be sent to `address`.
    pub(super) fn allow(&self, address: IpAddr, now: Instant) -> bool {
        let per_second = f64::from(self.per_second.load(Ordering::Relaxed));
        let most = per_second * BURST;
        let mut sent = self.sent.lock().unwrap_or_else(|e| e.into_inner());
        let mut key = Some(customer(address));
        if sent.len() >= MAX_ADDRESSES && !sent.contains_key(&key) {
            let rested = Duration::from_secs_f64(BURST);
            sent.retain(|_, allowance| now.saturating_duration_since(allowance.at) < rested);
            key = key.filter(|_| sent.len() < MAX_ADDRESSES);
        }
        let allowance = sent.entry(key).or_insert(Allowance { left: most, at: now });
        let gained = now.saturating_duration_since(allowance.at).as_secs_f64() * per_second;
        *allowance = Allowance { left: (allowance.left + gained).min(most), at: allowance.at.max(now) };
        let is_allowed = allowance.left >= 1.0;
        if is_allowed {
            allowance.left -= 1.0;
        } else {
            self.withheld.add(1);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(checks: &Checks, address: IpAddr, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| checks.allow(address, now)).count()
    }

    #[test]
    fn a_stranger_is_sent_so_many_and_then_so_many_a_second() {
        let (checks, start) = (Checks::new(50), Instant::now());
        let stranger = IpAddr::from([203, 0, 113, 9]);
        assert_eq!(allowed(&checks, stranger, 20_000, start), 1_000);
        assert_eq!(checks.withheld.total(), 19_000);
        assert_eq!(allowed(&checks, IpAddr::from([203, 0, 113, 10]), 10, start), 10, "another is another");
        assert_eq!(allowed(&checks, stranger, 20_000, start + Duration::from_secs(2)), 100);
        assert_eq!(allowed(&checks, stranger, 20_000, start + Duration::from_secs(3_600)), 1_000);
    }

    #[test]
    fn many_strangers_share_what_is_left() {
        let (checks, start) = (Checks::new(1), Instant::now());
        for number in 0..MAX_ADDRESSES as u32 {
            assert!(checks.allow(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), start));
        }
        let more =
            (0..1_000).filter(|number: &u32| checks.allow(IpAddr::from((0x0b00_0000 + number).to_be_bytes()), start));
        assert_eq!(more.count(), 20);
        let later = start + Duration::from_secs(60);
        assert_eq!(allowed(&checks, [192, 0, 2, 1].into(), 100, later), 20);
        assert!(checks.sent.lock().expect("no panic").len() < 10, "those of before are forgotten");
    }
}
