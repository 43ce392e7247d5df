//! Counts what some threads allocate.
#![allow(unreachable_pub)]

use std::cell::Cell;
use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

use tracking_allocator::{AllocationGroupId, AllocationRegistry, AllocationTracker};

/// What the names of the threads begin with.
const THREADS: &str = "peer-";

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// From now on.
pub fn start() {
    AllocationRegistry::set_global_tracker(Tracker).expect("there is no other");
    AllocationRegistry::enable_tracking();
}

struct Tracker;

impl AllocationTracker for Tracker {
    fn allocated(&self, _: usize, size: usize, _: usize, _: AllocationGroupId) {
        // A thread that ends allocates without being asked.
        let counted = COUNTED.try_with(|counted| {
            counted.get().unwrap_or_else(|| {
                let is = std::thread::current().name().is_some_and(|name| name.starts_with(THREADS));
                counted.set(Some(is));
                is
            })
        });
        if counted.unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            BYTES.fetch_add(size as u64, Ordering::Relaxed);
        }
    }

    fn deallocated(&self, _: usize, _: usize, _: usize, _: AllocationGroupId, _: AllocationGroupId) {}
}

/// What they have allocated.
#[derive(Clone, Copy)]
pub struct Count {
    pub allocations: f64,
    pub bytes: f64,
}

impl Count {
    pub fn now() -> Self {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        Self { allocations: read(&ALLOCATIONS), bytes: read(&BYTES) }
    }

    pub fn scaled(self, by: f64) -> Self {
        Self { allocations: self.allocations * by, bytes: self.bytes * by }
    }
}

impl Sub for Count {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { allocations: self.allocations - other.allocations, bytes: self.bytes - other.bytes }
    }
}
