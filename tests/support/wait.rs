//! Waiting with a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition: short beside any time the tests measure, long enough to
/// leave the two cores of a small machine to what is being tested.
pub const POLL: Duration = Duration::from_millis(20);

/// Calls `look` until it gives a value and panics with `what` after `limit`.
pub async fn until<T, F>(what: &str, limit: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Polls `read` until `accept` likes what it gives, and panics with the last value after `limit`.
pub async fn until_value<T: Debug, F>(
    what: &str,
    limit: Duration,
    mut read: impl FnMut() -> F,
    mut accept: impl FnMut(&T) -> bool,
) -> T
where
    F: Future<Output = T>,
{
    let end = Instant::now() + limit;
    loop {
        let value = read().await;
        if accept(&value) {
            return value;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}; last seen: {value:?}");
        tokio::time::sleep(POLL).await;
    }
}
