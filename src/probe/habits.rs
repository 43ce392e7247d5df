//! How a camera packs its pictures: what a bug report needs when a depacketizer and a camera disagree (RFC 6184).

use std::collections::BTreeMap;

use serde::Serialize;

/// Habits of one H.264 track.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Habits {
    /// Packets by kind: `single`, `STAP-A`, `FU-A`; others by number.
    pub packets: BTreeMap<String, u64>,
    /// NAL units by `nal_unit_type` (H.264 table 7-1), fragmented ones once.
    pub nal_units: BTreeMap<u8, u64>,
    /// Times (RTP timestamps) whose last packet alone has the marker, as it should be.
    pub marked: u64,
    /// Times without a marker.
    pub unmarked: u64,
    /// Times with a marker before their last packet, such as on parameter sets.
    pub marked_early: u64,
    /// Most coded slices in one time.
    pub most_slices: u64,
    /// Most packets in one time.
    pub most_packets: u64,
    #[serde(skip)]
    time: Option<Time>,
}

#[derive(Clone, Debug)]
struct Time {
    ticks: i64,
    packets: u64,
    slices: u64,
    markers: u64,
    last_marked: bool,
}

impl Habits {
    /// Takes the next packet's timestamp, marker and payload.
    pub(super) fn note(&mut self, ticks: i64, marker: bool, payload: &[u8]) {
        if self.time.as_ref().is_some_and(|time| time.ticks != ticks) {
            self.finish();
        }
        let kind = payload.first().map_or(0, |byte| byte & 0x1f);
        let (name, slices) = match (kind, payload) {
            (1..=23, _) => ("single".to_owned(), self.nal(kind)),
            (24, [_, rest @ ..]) => ("STAP-A".to_owned(), self.aggregate(rest)),
            (28, [_, header, ..]) if header & 0x80 != 0 => ("FU-A".to_owned(), self.nal(header & 0x1f)),
            (28, _) => ("FU-A".to_owned(), 0),
            (other, _) => (format!("type {other}"), 0),
        };
        *self.packets.entry(name).or_default() += 1;
        let time = self.time.get_or_insert(Time { ticks, packets: 0, slices: 0, markers: 0, last_marked: false });
        time.packets += 1;
        time.slices += slices;
        time.markers += u64::from(marker);
        time.last_marked = marker;
    }

    /// Ends the time that is under way.
    pub(super) fn finish(&mut self) {
        let Some(time) = self.time.take() else { return };
        match (time.markers, time.last_marked) {
            (0, _) => self.unmarked += 1,
            (1, true) => self.marked += 1,
            _ => self.marked_early += 1,
        }
        self.most_slices = self.most_slices.max(time.slices);
        self.most_packets = self.most_packets.max(time.packets);
    }

    /// Counts a NAL unit; 1 if it is a coded slice.
    fn nal(&mut self, kind: u8) -> u64 {
        *self.nal_units.entry(kind).or_default() += 1;
        u64::from((1..=5).contains(&kind))
    }

    fn aggregate(&mut self, mut rest: &[u8]) -> u64 {
        let mut slices = 0;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let Some((nal, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
            slices += nal.first().map_or(0, |byte| self.nal(byte & 0x1f));
            rest = after;
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_markers_and_slices_are_counted() {
        let mut habits = Habits::default();
        // Parameter sets together, then a picture of two slices, the first of them in two fragments.
        habits.note(0, false, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2]);
        habits.note(0, false, &[0x7c, 0x85, 1]);
        habits.note(0, false, &[0x7c, 0x45, 2]);
        habits.note(0, true, &[0x65, 3]);
        // Parameter sets with a marker of their own.
        habits.note(3_000, true, &[0x67, 1]);
        habits.note(3_000, true, &[0x41, 1]);
        habits.note(6_000, false, &[0x41, 1]);
        habits.finish();
        assert_eq!((habits.marked, habits.marked_early, habits.unmarked), (1, 1, 1));
        assert_eq!((habits.most_slices, habits.most_packets), (2, 4));
        assert_eq!(habits.nal_units, [(1, 2), (5, 2), (7, 2), (8, 1)].into());
        let packets = [("FU-A", 2), ("STAP-A", 1), ("single", 4)];
        assert_eq!(habits.packets, packets.map(|(name, count)| (name.to_owned(), count)).into());
    }

    #[test]
    fn garbage_is_counted_as_what_it_says_it_is() {
        let mut habits = Habits::default();
        for payload in [&[][..], &[0x78], &[0x78, 0xff, 0xff, 1], &[0x7c], &[0x1f], &[0x79, 1]] {
            habits.note(0, false, payload);
        }
        habits.finish();
        assert_eq!(habits.packets.values().sum::<u64>(), 6);
        assert!(habits.nal_units.is_empty());
    }
}
