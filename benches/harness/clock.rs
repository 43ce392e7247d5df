//! A browser's clock beside ours.

use std::time::SystemTime;

use crate::support::browser::Browser;

/// Looks at the browser's clock, of which the quickest counts.
const LOOKS: usize = 50;

/// The browser's clock beside ours.
pub struct Clock {
    /// Milliseconds.
    pub ahead: f64,
    /// At most so many milliseconds wrong.
    pub error: f64,
}

impl Clock {
    /// Asks it.
    pub async fn of(browser: &Browser) -> Self {
        let mut best = Self { ahead: 0.0, error: f64::INFINITY };
        for _ in 0..LOOKS {
            let before = now();
            let theirs = browser.eval("performance.timeOrigin + performance.now()").await;
            let after = now();
            let error = (after - before) / 2.0;
            if error < best.error {
                best = Self { ahead: theirs.as_f64().expect("a number") - (before + after) / 2.0, error };
            }
        }
        best
    }
}

/// Milliseconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}
