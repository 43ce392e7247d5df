//! The report: how each figure was in the beginning, in the middle and in the end, and whether its line is flat.

use std::fmt::Write;

use super::record::{COLUMNS, Column, Row};
use crate::harness::numbers::Line;

/// Left out in the beginning: caches fill, the heap finds its size. Less in a run of minutes.
const WARM_UP: f64 = 600.0;
/// Length of the beginning, the middle and the end. Less in a run of minutes.
const WINDOW: f64 = 600.0;
/// What must be flat, and by how much the end may be off from the beginning: a share, and an amount below which a
/// difference is no more than chance.
const FLAT: [(&str, f64, f64); 6] = [
    ("rss_kb", 0.05, 1_500.0),
    ("anonymous_kb", 0.05, 1_500.0),
    ("fds", 0.05, 4.0),
    ("threads", 0.0, 0.5),
    ("cpu_percent", 0.15, 0.5),
    ("screen_ms", 0.1, 30.0),
];
/// What the table has a line for.
const LEVELS: [&str; 15] = [
    "rss_kb",
    "anonymous_kb",
    "fds",
    "threads",
    "cpu_percent",
    "sessions",
    "cameras_live",
    "cameras_missed",
    "tiles_moving",
    "tiles_stuck",
    "screen_ms",
    "drift_ms",
    "worst_drift_ms",
    "sound_lag_ms",
    "machine_idle_percent",
];

pub fn column(name: &str) -> &'static Column {
    COLUMNS.iter().find(|column| column.name == name).expect("a column")
}

/// One figure over time.
pub struct Course {
    pub column: &'static Column,
    pub start: f64,
    pub middle: f64,
    pub end: f64,
    pub least: f64,
    pub most: f64,
    /// Per hour, by least squares.
    pub slope: f64,
}

impl Course {
    /// Nothing if the run is too short.
    fn of(column: &'static Column, rows: &[Row]) -> Option<Self> {
        let length = rows.last()?.seconds;
        let warm_up = WARM_UP.min(length / 6.0);
        let window = WINDOW.min((length - warm_up) / 3.0);
        let middle = warm_up + (length - warm_up - window) / 2.0;
        let kept: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.seconds >= warm_up)
            .map(|row| (row.seconds, (column.of)(row)))
            .filter(|point| point.1.is_finite())
            .collect();
        let mean = |from: f64| {
            let values = kept.iter().filter(|point| point.0 >= from && point.0 <= from + window);
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), point| (sum + point.1, count + 1.0));
            if count > 0.0 { Some(sum / count) } else { None }
        };
        let hours: Vec<_> = kept.iter().map(|&(seconds, value)| (seconds / 3_600.0, value)).collect();
        Some(Self {
            column,
            start: mean(warm_up)?,
            middle: mean(middle)?,
            end: mean(length - window)?,
            least: kept.iter().map(|point| point.1).fold(f64::INFINITY, f64::min),
            most: kept.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max),
            slope: Line::fit(&hours).slope,
        })
    }

    /// Whether the end is where the beginning was, within a share of it and an amount.
    fn is_flat(&self, share: f64, amount: f64) -> bool {
        (self.end - self.start).abs() <= (self.start.abs() * share).max(amount)
    }
}

/// The table of levels, what happened, and the verdict, in Markdown.
pub fn markdown(rows: &[Row], events: &[(String, String)]) -> String {
    let Some(last) = rows.last() else { return String::new() };
    let (warm_up, length) = (WARM_UP.min(last.seconds / 6.0), last.seconds);
    let window = WINDOW.min((length - warm_up) / 3.0) / 60.0;
    let mut text = format!(
        "{:.1} min, of which the first {:.1} are left out; {}\n\n| the gateway | first {window:.0} min | middle {window:.0} \
         min | last {window:.0} min | least | most | slope per hour |\n|---|--:|--:|--:|--:|--:|--:|\n",
        length / 60.0,
        warm_up / 60.0,
        crate::harness::machine::line()
    );
    for name in LEVELS {
        let Some(course) = Course::of(column(name), rows) else { continue };
        let Course { column, start, middle, end, least, most, slope } = course;
        let d = column.decimals;
        let title = column.title;
        writeln!(text, "| {title} | {start:.d$} | {middle:.d$} | {end:.d$} | {least:.d$} | {most:.d$} | {slope:+.2} |")
            .expect("a String takes it");
    }
    text += "\n| what happened | |\n|---|--:|\n";
    for (what, how_often) in events {
        writeln!(text, "| {what} | {how_often} |").expect("a String takes it");
    }
    text + "\n" + &verdict(rows) + "\n"
}

fn verdict(rows: &[Row]) -> String {
    let (mut flat, mut not) = (Vec::new(), Vec::new());
    for (name, share, amount) in FLAT {
        let Some(course) = Course::of(column(name), rows) else { continue };
        let word =
            format!("{} {:.d$} to {:.d$}", course.column.title, course.start, course.end, d = course.column.decimals);
        if course.is_flat(share, amount) { flat.push(word) } else { not.push(word) }
    }
    let panics = rows.last().map_or(0.0, |row| row.panics + row.restarts);
    if panics > 0.0 {
        not.push(format!("{panics} panics or ends of the gateway"));
    }
    let list = |words: &[String]| words.join("; ");
    match not.is_empty() {
        true => format!("Verdict: flat ({}); no panic.", list(&flat)),
        false => format!("Verdict: NOT flat: {}. Flat: {}.", list(&not), list(&flat)),
    }
}
