//! A way in for `fuzz/`.

use std::time::{Instant, SystemTime};

use bytes::BytesMut;
use rtc::sansio::Protocol;

use super::{Session, datagram::is_dtls};
use crate::peer::{batch::Batch, feedback::told};

impl Session {
    /// Hands over a datagram as if ICE had a pair and, if it is RTCP, as if it had been opened.
    pub(in crate::peer) fn fuzz_connection(&mut self, datagram: BytesMut, now: Instant) {
        if let Ok(packets) = rtc::rtcp::packet::unmarshal(&mut &datagram[..]) {
            for feedback in told(&packets) {
                self.on_feedback(feedback, now, SystemTime::UNIX_EPOCH, &mut Batch::default());
            }
        }
        if is_dtls(&datagram) {
            let _ = self.last_flight.on_datagram(&datagram, now);
            self.read(datagram, now);
        }
        while self.connection.rtc.poll_event().is_some() {}
        while self.connection.rtc.poll_write().is_some() {}
    }
}
