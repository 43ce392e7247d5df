//! What the viewers of each camera were sent and asked for, those that have left included, so that the sums never go back.

use std::collections::BTreeMap;

use super::{SessionStatus, session::End};
use crate::media::CameraName;

/// Of one camera's viewers, since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerTotals {
    /// Sessions opened.
    pub opened: u64,
    /// Sessions that are over, by what ended them.
    pub ended: BTreeMap<&'static str, u64>,
    /// Bytes sent, everything included.
    pub bytes_sent: u64,
    /// RTP packets sent, retransmissions included.
    pub rtp_packets_sent: u64,
    /// Packets that viewers asked for again.
    pub nacks: u64,
    /// Packets that were sent again.
    pub retransmissions: u64,
    /// Keyframe requests (PLI and FIR).
    pub plis: u64,
    /// Units that were not sent because a viewer had to skip.
    pub skipped_units: u64,
}

impl ViewerTotals {
    /// With what a session has come to.
    pub(super) fn add(&mut self, session: &SessionStatus) {
        self.bytes_sent += session.bytes_sent.total();
        self.rtp_packets_sent += session.rtp_packets_sent.total();
        self.nacks += session.nacks.total();
        self.retransmissions += session.retransmissions.total();
        self.plis += session.plis.total();
        self.skipped_units += session.skipped_units.total();
    }
}

/// Of all cameras that ever had a viewer.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<CameraName, ViewerTotals>);

impl Totals {
    pub(super) fn note_opened(&mut self, session: &SessionStatus) {
        self.0.entry(session.camera.clone()).or_default().opened += 1;
    }

    pub(super) fn note_ended(&mut self, session: &SessionStatus, end: End) {
        let totals = self.0.entry(session.camera.clone()).or_default();
        totals.add(session);
        *totals.ended.entry(end.name()).or_default() += 1;
    }

    /// Together with sessions that are not over.
    pub(super) fn with<'a>(
        &self,
        sessions: impl Iterator<Item = &'a SessionStatus>,
    ) -> BTreeMap<CameraName, ViewerTotals> {
        let mut all = self.0.clone();
        for session in sessions {
            all.entry(session.camera.clone()).or_default().add(session);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{SessionId, Visitor};

    #[test]
    fn what_a_viewer_was_sent_counts_once_before_and_after_it_left() {
        let camera: CameraName = "front".parse().expect("a name");
        let session = SessionStatus::new(SessionId::random(), camera.clone(), Visitor::here());
        let mut totals = Totals::default();
        totals.note_opened(&session);
        session.note_media(3, 3_000);
        session.nacks.add(2);
        let before = totals.with(std::iter::once(&session))[&camera].clone();
        assert_eq!((before.opened, before.bytes_sent, before.rtp_packets_sent, before.nacks), (1, 3_000, 3, 2));
        totals.note_ended(&session, End::ViewerLeft);
        let after = totals.with(std::iter::empty())[&camera].clone();
        assert_eq!(after, ViewerTotals { ended: [("viewer_left", 1)].into(), ..before });
    }
}
