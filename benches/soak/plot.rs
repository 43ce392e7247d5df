//! The figures as a picture: one small chart for each, in SVG, for light and dark pages.

use std::fmt::Write;

use super::record::Row;
use super::report::column;

const WIDTH: f64 = 430.0;
const HEIGHT: f64 = 150.0;
/// Around the lines of a chart: for its numbers and its title.
const LEFT: f64 = 52.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 12.0;
const BOTTOM: f64 = 24.0;
/// Points of one line; more are put together by their mean.
const POINTS: usize = 240;

/// A chart: its title, its unit's share of the figure, and its columns.
const CHARTS: [(&str, f64, &[&str]); 8] = [
    ("memory, MB (RSS; paler: anonymous)", 1e-3, &["rss_kb", "anonymous_kb"]),
    ("file descriptors", 1.0, &["fds"]),
    ("threads", 1.0, &["threads"]),
    ("CPU, % of a core", 1.0, &["cpu_percent"]),
    ("sessions", 1.0, &["sessions"]),
    ("cameras live; paler: tiles moving in Chromium", 1.0, &["cameras_live", "tiles_moving"]),
    ("from capture to screen in Chromium, ms", 1.0, &["screen_ms"]),
    ("so far: misdeeds of cameras; paler: reconnects", 1.0, &["misdeeds", "reconnects"]),
];

pub fn svg(rows: &[Row]) -> String {
    let (columns, height) = (2.0, HEIGHT * (CHARTS.len() / 2) as f64);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {height}\" width=\"{0}\" height=\"{height}\" \
         role=\"img\" aria-label=\"What the gateway held over the run\">\n<style>\n\
         text {{ font: 11px system-ui, sans-serif; fill: #555; }} .title {{ font-weight: 600; fill: #222; }}\n\
         .axis {{ stroke: #bbb; stroke-width: 1; fill: none; }} polyline {{ fill: none; stroke-width: 1.4; }}\n\
         .first {{ stroke: #0b6bcb; }} .second {{ stroke: #0b6bcb; opacity: .4; }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #aaa; }} .title {{ fill: #eee; }} .axis {{ stroke: #555; }}\n\
         .first, .second {{ stroke: #6cb6ff; }} }}\n</style>\n",
        WIDTH * columns
    );
    for (index, chart) in CHARTS.iter().enumerate() {
        let (x, y) = ((index % 2) as f64 * WIDTH, (index / 2) as f64 * HEIGHT);
        writeln!(text, "<g transform=\"translate({x} {y})\">").expect("a String takes it");
        draw(&mut text, rows, *chart);
        text += "</g>\n";
    }
    text + "</svg>\n"
}

fn draw(text: &mut String, rows: &[Row], (title, unit, names): (&str, f64, &[&str])) {
    let lines: Vec<Vec<(f64, f64)>> = names.iter().map(|name| thinned(rows, name, unit)).collect();
    let end = rows.last().map_or(1.0, |row| row.seconds.max(1.0));
    let values = || lines.iter().flatten().map(|point| point.1).filter(|value| value.is_finite());
    let (least, most) = (values().fold(0.0, f64::min), values().fold(1.0, f64::max));
    let (least, most) = (round(least), round(most * 1.05));
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let at = |seconds: f64, value: f64| {
        let x = LEFT + seconds / end * (right - LEFT);
        let y = bottom - (value - least) / (most - least) * (bottom - TOP);
        format!("{x:.1},{y:.1}")
    };
    let mut put = |line: String| writeln!(text, "{line}").expect("a String takes it");
    put(format!("<text class=\"title\" x=\"{LEFT}\" y=\"18\">{title}</text>"));
    put(format!("<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>"));
    for (value, y) in [(most, TOP + 4.0), ((most + least) / 2.0, f64::midpoint(TOP, bottom) + 4.0), (least, bottom)] {
        put(format!("<text x=\"{}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>", LEFT - 5.0, number(value)));
    }
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, minutes) = (LEFT + share * (right - LEFT), share * end / 60.0);
        let anchor = if share == 1.0 { "end" } else { "middle" };
        let unit = if share == 1.0 { " min" } else { "" };
        put(format!(
            "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{minutes:.0}{unit}</text>",
            bottom + 15.0
        ));
    }
    for (line, class) in lines.iter().zip(["first", "second"]) {
        let points: Vec<_> =
            line.iter().filter(|point| point.1.is_finite()).map(|point| at(point.0, point.1)).collect();
        put(format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }
}

fn thinned(rows: &[Row], name: &str, unit: f64) -> Vec<(f64, f64)> {
    let column = column(name);
    let together = rows.len().div_ceil(POINTS).max(1);
    rows.chunks(together)
        .map(|chunk| {
            let mean = |of: &dyn Fn(&Row) -> f64| chunk.iter().map(of).sum::<f64>() / chunk.len() as f64;
            (mean(&|row| row.seconds), mean(&|row| (column.of)(row)) * unit)
        })
        .collect()
}

/// Away from 0 to the next number with two digits.
fn round(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let step = 10f64.powf(value.abs().log10().floor() - 1.0);
    (value.abs() / step).ceil() * step * value.signum()
}

fn number(value: f64) -> String {
    if value == value.trunc() { format!("{value:.0}") } else { format!("{value:.1}") }
}
