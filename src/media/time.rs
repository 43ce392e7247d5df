//! Time on a media clock, and time on the wall.

use std::{
    num::NonZeroU32,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Ticks per second of a media clock, in hertz (RFC 3550 calls it the RTP clock rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockRate(NonZeroU32);

impl ClockRate {
    /// Every video payload format used here (RFC 6184 section 8.2.1).
    pub const VIDEO: Self = Self::of(90_000);
    /// Opus, whatever it was recorded at (RFC 7587 section 4.1).
    pub const OPUS: Self = Self::of(48_000);
    /// G.711 (RFC 3551 section 4.5.14).
    pub const G711: Self = Self::of(8_000);

    /// A rate known when the program is written; `hz` is not zero.
    const fn of(hz: u32) -> Self {
        match NonZeroU32::new(hz) {
            Some(hz) => Self(hz),
            None => panic!("a clock rate is not zero"),
        }
    }

    /// `None` for zero.
    pub fn new(hz: u32) -> Option<Self> {
        NonZeroU32::new(hz).map(Self)
    }

    /// In hertz.
    pub fn hz(self) -> u32 {
        self.0.get()
    }

    /// How many ticks pass in `duration`, rounded down; saturates after some million years.
    pub fn ticks(self, duration: Duration) -> i64 {
        let ticks = duration.as_nanos() * u128::from(self.hz()) / 1_000_000_000;
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    /// How long `ticks` last; zero for a negative number.
    pub fn duration(self, ticks: i64) -> Duration {
        let ticks = u128::try_from(ticks).unwrap_or(0);
        let nanos = ticks * 1_000_000_000 / u128::from(self.hz());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A point on a track's media clock; the zero is the source's choice and may change when it reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaTime {
    /// Ticks since the source's zero.
    pub ticks: i64,
    /// Length of a tick.
    pub rate: ClockRate,
}

/// Wall-clock time in the 64-bit NTP format: seconds since 1900 above, fraction below (RFC 3550 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds between the NTP epoch (1900) and the Unix epoch (1970).
    const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

    /// The seconds wrap in 2036 (NTP era 1), as RFC 3550 receivers expect.
    pub fn from_system(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = (since.as_secs() + Self::UNIX_EPOCH_SECONDS) & 0xffff_ffff;
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, as reception reports carry it (RFC 3550 section 6.4.1, LSR).
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_durations_agree() {
        let rate = ClockRate::VIDEO;
        assert_eq!(rate.ticks(Duration::from_millis(40)), 3_600);
        assert_eq!(rate.duration(3_600), Duration::from_millis(40));
        assert_eq!(rate.duration(-1), Duration::ZERO);
    }

    #[test]
    fn ntp_time_of_a_known_second() {
        let half_past = UNIX_EPOCH + Duration::from_millis(1_500);
        let ntp = NtpTime::from_system(half_past);
        assert_eq!(ntp.0 >> 32, NtpTime::UNIX_EPOCH_SECONDS + 1);
        assert_eq!(ntp.0 & 0xffff_ffff, 1 << 31);
        assert_eq!(ntp.middle() & 0xffff, 1 << 15);
    }
}
