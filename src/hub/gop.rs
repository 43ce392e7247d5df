//! The GOP cache: the video units since the last keyframe, bounded in bytes and in age.

use std::{sync::Arc, time::Duration};

use super::Unit;

/// How much a camera's GOP cache may hold. When a GOP outgrows either bound the cache is emptied, because a GOP with a
/// hole cannot be decoded; newcomers then wait for the next keyframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GopLimits {
    /// Most bytes of payload; 0 turns the cache off. The cache uses this much memory at most, once per camera, whoever watches.
    pub max_bytes: usize,
    /// Longest time from the keyframe to the newest unit.
    pub max_age: Duration,
}

#[derive(Debug)]
pub(super) struct GopCache {
    limits: GopLimits,
    units: Vec<Arc<Unit>>,
    bytes: usize,
}

impl GopCache {
    pub(super) fn new(limits: GopLimits) -> Self {
        Self { limits, units: Vec::new(), bytes: 0 }
    }

    /// Counts from the next video unit on; one that is turned off forgets what it has.
    pub(super) fn set_limits(&mut self, limits: GopLimits) {
        self.limits = limits;
        if limits.max_bytes == 0 {
            self.clear();
            self.units.shrink_to_fit();
        }
    }

    /// Takes in the next video unit. Returns `false` when it made the cache overflow.
    pub(super) fn push(&mut self, unit: &Arc<Unit>) -> bool {
        if self.limits.max_bytes == 0 {
            return true;
        }
        if unit.keyframe {
            self.clear();
        } else if self.units.is_empty() {
            return true;
        }
        self.units.push(unit.clone());
        self.bytes += unit.bytes;
        let age = unit.captured.saturating_duration_since(self.units[0].captured);
        if self.bytes > self.limits.max_bytes || age > self.limits.max_age {
            self.clear();
            self.units.shrink_to_fit();
            return false;
        }
        true
    }

    pub(super) fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }

    /// Keyframe first; empty when there is none.
    pub(super) fn units(&self) -> &[Arc<Unit>] {
        &self.units
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;

    use super::*;
    use crate::media::Kind;

    fn unit(start: Instant, number: u64, keyframe: bool, bytes: usize) -> Arc<Unit> {
        Arc::new(Unit {
            number,
            kind: Kind::Video,
            keyframe,
            ticks: number as i64 * 3_600,
            captured: start + Duration::from_millis(number * 40),
            payloads: vec![Bytes::from(vec![0; bytes])],
            bytes,
        })
    }

    fn cache(max_bytes: usize, max_age_ms: u64) -> GopCache {
        GopCache::new(GopLimits { max_bytes, max_age: Duration::from_millis(max_age_ms) })
    }

    #[test]
    fn starts_at_a_keyframe_and_only_there() {
        let start = Instant::now();
        let mut cache = cache(10_000, 10_000);
        assert!(cache.push(&unit(start, 0, false, 10)));
        assert!(cache.units().is_empty());
        for (number, keyframe) in [(1, true), (2, false), (3, true), (4, false)] {
            assert!(cache.push(&unit(start, number, keyframe, 10)));
        }
        let numbers: Vec<_> = cache.units().iter().map(|unit| unit.number).collect();
        assert_eq!(numbers, [3, 4]);
    }

    #[test]
    fn overflow_in_bytes_empties_it_until_the_next_keyframe() {
        let start = Instant::now();
        let mut cache = cache(100, 10_000);
        assert!(cache.push(&unit(start, 0, true, 60)));
        assert!(!cache.push(&unit(start, 1, false, 60)));
        assert!(cache.push(&unit(start, 2, false, 1)));
        assert!(cache.units().is_empty());
        assert!(cache.push(&unit(start, 3, true, 60)));
        assert_eq!(cache.units().len(), 1);
    }

    #[test]
    fn overflow_in_age_empties_it() {
        let start = Instant::now();
        let mut cache = cache(10_000, 100);
        assert!(cache.push(&unit(start, 0, true, 1)));
        assert!(cache.push(&unit(start, 2, false, 1)));
        assert!(!cache.push(&unit(start, 3, false, 1)));
    }
}
