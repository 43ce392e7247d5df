//! The figures over time: one row each 10 s, kept and written to a CSV file.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Everything at one moment; counters since the beginning.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub seconds: f64,
    pub rss_kb: f64,
    pub anonymous_kb: f64,
    pub fds: f64,
    pub threads: f64,
    /// Of a core, in percent, since the row before.
    pub cpu: f64,
    /// Of the whole machine, in percent, since the row before.
    pub idle: f64,
    pub sessions: f64,
    pub cameras_live: f64,
    /// Cameras that have served for long enough, and that the gateway has not got.
    pub cameras_missed: f64,
    pub tiles: f64,
    pub tiles_moving: f64,
    /// Tiles that stand although their camera has been live.
    pub tiles_stuck: f64,
    /// From capture to Chromium's screen, as the page measures it, the mean since the row before.
    pub screen_ms: f64,
    /// Of the viewers that stay: how much later pictures come after their RTP timestamp than at first, the median and the one
    /// farthest off.
    pub drift_ms: f64,
    pub worst_drift_ms: f64,
    /// Sound that leaves later than its picture, the worst camera.
    pub sound_lag_ms: f64,
    pub sessions_opened: f64,
    pub reconnects: f64,
    pub misdeeds: f64,
    pub reloads: f64,
    pub refused: f64,
    pub panics: f64,
    pub restarts: f64,
}

/// One column: its name in the file and in tables, its unit, and where it is.
#[derive(Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub title: &'static str,
    pub of: fn(&Row) -> f64,
    pub decimals: usize,
}

const fn column(name: &'static str, title: &'static str, decimals: usize, of: fn(&Row) -> f64) -> Column {
    Column { name, title, of, decimals }
}

pub static COLUMNS: [Column; 24] = [
    column("seconds", "seconds", 0, |row| row.seconds),
    column("rss_kb", "RSS kB", 0, |row| row.rss_kb),
    column("anonymous_kb", "of it anonymous kB", 0, |row| row.anonymous_kb),
    column("fds", "file descriptors", 1, |row| row.fds),
    column("threads", "threads", 1, |row| row.threads),
    column("cpu_percent", "CPU, % of a core", 2, |row| row.cpu),
    column("machine_idle_percent", "machine idle, %", 1, |row| row.idle),
    column("sessions", "sessions", 1, |row| row.sessions),
    column("cameras_live", "cameras live", 2, |row| row.cameras_live),
    column("cameras_missed", "cameras away that serve", 2, |row| row.cameras_missed),
    column("tiles", "tiles", 1, |row| row.tiles),
    column("tiles_moving", "tiles moving", 2, |row| row.tiles_moving),
    column("tiles_stuck", "tiles that stand for no reason", 2, |row| row.tiles_stuck),
    column("screen_ms", "capture to screen in Chromium, ms", 1, |row| row.screen_ms),
    column("drift_ms", "wall against RTP time, median, ms", 1, |row| row.drift_ms),
    column("worst_drift_ms", "wall against RTP time, farthest, ms", 1, |row| row.worst_drift_ms),
    column("sound_lag_ms", "sound behind picture, worst camera, ms", 1, |row| row.sound_lag_ms),
    column("sessions_opened", "sessions opened", 0, |row| row.sessions_opened),
    column("reconnects", "reconnects", 0, |row| row.reconnects),
    column("misdeeds", "misdeeds of cameras", 0, |row| row.misdeeds),
    column("reloads", "reloads", 0, |row| row.reloads),
    column("refused", "offers refused", 0, |row| row.refused),
    column("panics", "panics", 0, |row| row.panics),
    column("restarts", "gateway started again", 0, |row| row.restarts),
];

pub struct Record {
    pub rows: Vec<Row>,
    file: File,
}

impl Record {
    pub fn begin(directory: &Path) -> Self {
        let mut file = File::create(directory.join("soak.csv")).expect("soak.csv");
        writeln!(file, "{}", COLUMNS.map(|column| column.name).join(",")).expect("room on the disk");
        Self { rows: Vec::new(), file }
    }

    pub fn add(&mut self, row: Row) {
        let cells = COLUMNS.map(|column| format!("{:.1$}", (column.of)(&row), column.decimals));
        writeln!(self.file, "{}", cells.join(",")).expect("room on the disk");
        self.rows.push(row);
    }
}

/// What /proc tells of the gateway; nothing if it has ended.
pub fn process(pid: u32) -> Option<Row> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Row {
        rss_kb: field("VmRSS:")?,
        anonymous_kb: field("RssAnon:")?,
        threads: field("Threads:")?,
        fds: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as f64,
        ..Row::default()
    })
}
