//! From when pictures went in and when they came out to how long each took.
#![allow(unreachable_pub)]

use std::collections::HashMap;

use super::harness::crowd::Arrival;
use super::harness::{numbers, table::Table};
use super::relay::Passed;

/// Milliseconds from the picture's last packet in to its packets out, of all viewers.
#[derive(Debug, Default)]
pub struct Delays {
    pub first: Vec<f64>,
    pub last: Vec<f64>,
    /// Pictures that a viewer did not get whole.
    pub missing: usize,
}

impl Delays {
    /// Adds what one viewer got. A viewer has a timeline of its own, which lies a constant beside the camera's: the one that
    /// most pictures have which came before the next went in. Those that took longer are then recognised by it as well.
    pub fn add(&mut self, passed: &[Passed], arrivals: &[Arrival]) {
        let mut votes: HashMap<u32, usize> = HashMap::new();
        for &(timestamp, first, _) in arrivals {
            let before = passed.partition_point(|&(_, at)| at <= first);
            if let Some(&(of_camera, _)) = before.checked_sub(1).and_then(|index| passed.get(index)) {
                *votes.entry(timestamp.wrapping_sub(of_camera)).or_default() += 1;
            }
        }
        let Some((&beside, &count)) = votes.iter().max_by_key(|(_, count)| **count) else { return };
        let share = count as f64 / arrivals.len() as f64;
        assert!(
            share > 0.5,
            "only {share:.2} of a viewer's pictures came before the next one: they cannot be told apart"
        );
        let went_in: HashMap<u32, u64> = passed.iter().copied().collect();
        let mut found = 0;
        for &(timestamp, first, last) in arrivals {
            if let Some(&at) = went_in.get(&timestamp.wrapping_sub(beside)) {
                found += 1;
                self.push(at, first, last);
            }
        }
        let (Some(start), Some(end)) = (arrivals.first(), arrivals.last()) else { return };
        let expected = passed.iter().filter(|(_, at)| (start.1..end.1).contains(at)).count();
        self.missing += expected.saturating_sub(found);
    }

    pub fn push(&mut self, at: u64, first: u64, last: u64) {
        let ms = |time: u64| (time as f64 - at as f64) / 1e6;
        self.first.push(ms(first));
        self.last.push(ms(last));
    }

    /// `idle` is the share of the machine that nobody used meanwhile.
    pub fn row(&self, table: &mut Table, case: &str, viewers: usize, idle: f64) {
        let cell = |value: f64| format!("{value:.2}");
        table.row([
            case.to_owned(),
            viewers.to_string(),
            self.last.len().to_string(),
            cell(numbers::median(&self.first)),
            cell(numbers::percentile(&self.first, 99.0)),
            cell(numbers::median(&self.last)),
            cell(numbers::percentile(&self.last, 99.0)),
            cell(numbers::max(&self.last)),
            self.missing.to_string(),
            format!("{:.0} %", idle * 100.0),
        ]);
    }
}
