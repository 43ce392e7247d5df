//! A way in for `fuzz/`.

use std::time::Instant;

use bytes::BytesMut;
use rtc::sansio::Protocol;

use super::Session;

impl Session {
    /// Hands a datagram to the connection as if ICE had a pair.
    pub(in crate::peer) fn fuzz_connection(&mut self, datagram: BytesMut, now: Instant) {
        if self.is_wanted(&datagram) {
            let _ = self.last_flight.on_datagram(&datagram, now);
            self.read(datagram, now);
        }
        while self.connection.rtc.poll_event().is_some() {}
        while self.connection.rtc.poll_write().is_some() {}
        drop(self.inbox.take());
    }
}
