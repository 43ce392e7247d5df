//! Puts together what all parts say into rows, and writes the report.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::cameras::{self, Conduct};
use super::gateway::Gateway;
use super::page::Seen;
use super::part::Part;
use super::record::{self, Record, Row};
use super::reloads::Reloads;
use super::viewers::Tally;
use super::{Plan, plot, report};
use crate::harness::machine::{self, Idle};
use crate::support::process;

/// A camera that has served for so long is to be live: waits grow to 30 s, and it has to be connected to.
const BACK: Duration = Duration::from_secs(45);
/// A tile whose camera has served, and been live, for so long is to move.
const SHOWN: Duration = Duration::from_secs(30);

pub struct Watcher {
    directory: PathBuf,
    seed: u64,
    began: Instant,
    cameras: Part,
    conduct: Conduct,
    crowds: Vec<(Part, Crowd)>,
    page: Arc<Mutex<Seen>>,
    looks: u64,
    live_since: BTreeMap<String, Instant>,
    record: Record,
    cpu: Duration,
    pid: u32,
    at: Instant,
    idle: Idle,
    /// Seconds from capture to screen, of all measurements together, and their number.
    screen: (f64, f64),
    /// What the page showed when it was looked at last.
    tiles: (f64, f64, f64),
    /// Looks at tiles that stood for no reason, and at cameras away that served, by name.
    stood: BTreeMap<String, u64>,
    missed: BTreeMap<String, u64>,
    rows: Vec<(String, String)>,
}

/// What one process of viewers did: before it was started again, and since then.
#[derive(Default)]
struct Crowd {
    before: Tally,
    now: Tally,
    restarts: u64,
}

impl Watcher {
    pub fn new(plan: &Plan, cameras: Part, crowds: Vec<Part>, page: Arc<Mutex<Seen>>) -> Self {
        Self {
            directory: plan.directory.clone(),
            seed: plan.seed,
            began: Instant::now(),
            cameras,
            conduct: Conduct::new(plan.cameras),
            crowds: crowds.into_iter().map(|part| (part, Crowd::default())).collect(),
            page,
            looks: 0,
            live_since: BTreeMap::new(),
            record: Record::begin(&plan.directory),
            cpu: Duration::ZERO,
            pid: 0,
            at: Instant::now(),
            idle: machine::idle_time(),
            screen: (0.0, 0.0),
            tiles: (0.0, 0.0, 0.0),
            stood: BTreeMap::new(),
            missed: BTreeMap::new(),
            rows: Vec::new(),
        }
    }

    pub async fn look(&mut self, gateway: &mut Gateway, locked_out: &[usize], reloads: Reloads) {
        gateway.look_after();
        let restarts = self.cameras.restarts;
        let news: Vec<cameras::News> = self.cameras.news();
        if self.cameras.restarts > restarts {
            self.conduct.forget();
        }
        news.iter().for_each(|news| self.conduct.note(news));
        let tally = self.tally();
        let Some(mut row) = record::process(gateway.pid()) else { return };
        let Some(metrics) = gateway.metrics().await else {
            return eprintln!("{:.0} s: /metrics is not answered", self.began.elapsed().as_secs_f64());
        };
        let states = gateway.cameras().await;
        for (name, state) in &states {
            if state == "live" {
                self.live_since.entry(name.clone()).or_insert_with(Instant::now);
            } else {
                self.live_since.remove(name);
            }
        }
        self.measure_time(gateway.pid(), &mut row);
        row.seconds = self.began.elapsed().as_secs_f64();
        row.sessions = metrics.sum("camgate_sessions", "");
        row.sessions_opened = metrics.sum("camgate_viewer_sessions_total", "\"camera-");
        row.reconnects = metrics.sum("camgate_camera_reconnects_total", "\"camera-");
        row.sound_lag_ms = metrics.max("camgate_camera_sound_lag_seconds") * 1e3;
        let sum = |end: &str| metrics.sum(&format!("camgate_camera_to_screen_seconds_{end}"), "\"camera-");
        let screen = (sum("sum"), sum("count"));
        row.screen_ms = (screen.0 - self.screen.0) * 1e3 / (screen.1 - self.screen.1);
        self.screen = screen;
        row.refused = tally.refused.values().sum::<u64>() as f64;
        row.misdeeds = self.conduct.misdeeds.iter().map(|misdeed| misdeed.1).sum::<u64>() as f64;
        row.reloads = (reloads.taken + reloads.refused) as f64;
        (row.panics, row.restarts) = (gateway.panics as f64, gateway.restarts as f64);
        let names: Vec<String> = (0..self.conduct.count()).map(cameras::name).collect();
        row.cameras_live = names.iter().filter(|name| self.live_since.contains_key(*name)).count() as f64;
        for (camera, name) in names.iter().enumerate() {
            let is_well = ["live", "idle"].contains(&states.get(name).map_or("", String::as_str));
            if !is_well && !locked_out.contains(&camera) && self.conduct.has_served_for(camera, BACK) {
                row.cameras_missed += 1.0;
                *self.missed.entry(name.clone()).or_default() += 1;
                eprintln!("{:.0} s: {name} serves, and is {:?}", row.seconds, states.get(name));
            }
        }
        (row.drift_ms, row.worst_drift_ms) = drift(&tally);
        self.look_at_page(row.seconds);
        (row.tiles, row.tiles_moving, row.tiles_stuck) = self.tiles;
        self.rows = self.events(&tally, gateway, reloads, &metrics);
        self.record.add(row);
    }

    /// CPU of the gateway and the machine's idle time since the row before.
    fn measure_time(&mut self, pid: u32, row: &mut Row) {
        let (now, cpu, idle) = (Instant::now(), process::cpu_time(pid), machine::idle_time());
        let is_comparable = self.pid == pid;
        row.cpu = if is_comparable {
            cpu.saturating_sub(self.cpu).as_secs_f64() * 100.0 / (now - self.at).as_secs_f64()
        } else {
            f64::NAN
        };
        row.idle = idle.since(&self.idle) * 100.0;
        (self.at, self.cpu, self.pid, self.idle) = (now, cpu, pid, idle);
    }

    fn tally(&mut self) -> Tally {
        let mut sum = Tally::default();
        for (part, crowd) in &mut self.crowds {
            let news: Vec<Tally> = part.news();
            if part.restarts > crowd.restarts {
                crowd.restarts = part.restarts;
                let before = std::mem::take(&mut crowd.now);
                crowd.before.add(&before);
            }
            if let Some(newest) = news.into_iter().next_back() {
                crowd.now = newest;
            }
            sum.add(&crowd.before);
            sum.add(&crowd.now);
        }
        sum
    }

    fn look_at_page(&mut self, seconds: f64) {
        let seen = self.page.lock().unwrap().clone();
        if seen.looks == self.looks {
            return;
        }
        self.looks = seen.looks;
        let moving = seen.tiles.iter().filter(|tile| tile.moving).count();
        let mut stuck = 0;
        for tile in seen.tiles.iter().filter(|tile| !tile.moving) {
            let camera = (0..self.conduct.count()).find(|&camera| cameras::name(camera) == tile.name);
            let serves = camera.is_some_and(|camera| self.conduct.has_served_for(camera, SHOWN));
            let is_live = self.live_since.get(&tile.name).is_some_and(|since| since.elapsed() > SHOWN);
            if serves && is_live {
                stuck += 1;
                *self.stood.entry(tile.name.clone()).or_default() += 1;
                eprintln!("{seconds:.0} s: the tile of {} stands and says {:?}", tile.name, tile.state);
            }
        }
        self.tiles = (seen.tiles.len() as f64, moving as f64, f64::from(stuck));
    }

    fn events(
        &self,
        tally: &Tally,
        gateway: &Gateway,
        reloads: Reloads,
        metrics: &super::gateway::Metrics,
    ) -> Vec<(String, String)> {
        let seen = self.page.lock().unwrap().clone();
        let mut rows = Vec::new();
        let mut row = |what: &str, how_often: String| rows.push((what.to_owned(), how_often));
        for (misdeed, count) in &self.conduct.misdeeds {
            row(&format!("cameras: {}", misdeed.name()), count.to_string());
        }
        let reconnects = metrics.sum("camgate_camera_reconnects_total", "\"camera-");
        row("connections to cameras made again", format!("{reconnects:.0}"));
        row("looks at a camera that had served for 45 s and was not live", list(&self.missed));
        row("viewers joined (of them over TCP)", format!("{} ({})", tally.joined, tally.over_tcp));
        row("left by DELETE", tally.deleted.to_string());
        row("left by closing the connection", tally.hung_up.to_string());
        row("vanished without a word", tally.vanished.to_string());
        row("heard and said nothing for 1 to 25 s", tally.lagged.to_string());
        row("offers refused, by status", list(&tally.refused));
        row("without a picture in the first 15 s", tally.saw_nothing.to_string());
        row("packets that those received who have left", tally.packets.to_string());
        row("viewers that stay: joined again", tally.rejoined.to_string());
        row("viewers that broke", tally.broken.to_string());
        for reason in [
            "deleted",
            "viewer_left",
            "consent_lost",
            "never_connected",
            "camera_removed",
            "format_changed",
            "internal_error",
        ] {
            let count = metrics.sum("camgate_viewer_sessions_ended_total", &format!("\"{reason}\""));
            row(&format!("sessions ended: {reason}"), format!("{count:.0}"));
        }
        row("configurations taken up", reloads.taken.to_string());
        row("broken configurations refused", reloads.refused.to_string());
        row("configurations not noticed in 20 s", reloads.missed.to_string());
        row("looks at the page", seen.looks.to_string());
        row("looks at a tile that stood while its camera was live for 30 s", list(&self.stood));
        row("page loaded again; its errors", format!("{}; {}", seen.reloads, seen.errors));
        row("Chromium started again", seen.restarts.to_string());
        row("process of the cameras started again", self.cameras.restarts.to_string());
        row(
            "processes of viewers started again",
            self.crowds.iter().map(|(part, _)| part.restarts).sum::<u64>().to_string(),
        );
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        let share = |seconds: f64| format!("{:.0} %", seconds / minutes / 60.0 * 100.0);
        let crowds = super::cpu_of(self.crowds.iter().map(|(part, _)| part.pid()));
        let cost = [share(super::cpu_of([self.cameras.pid()])), share(crowds)].join(", ");
        row("of a core: cameras, viewers but for Chromium", cost);
        row("warnings, errors in the gateway's log", format!("{}, {}", gateway.warnings, gateway.errors));
        row("panics; gateway started again", format!("{}; {}", gateway.panics, gateway.restarts));
        let drifts =
            tally.drifts.iter().map(|(name, drift)| format!("{name} {:+.1} in {:.0} min", drift.ms, drift.age / 60.0));
        row("wall against RTP time, ms, by viewer that stays", drifts.collect::<Vec<_>>().join("; "));
        rows
    }

    /// Writes the report and the picture; returns the report.
    pub fn write(&self, goodbye: Option<String>) -> String {
        let mut events = self.rows.clone();
        events.extend(goodbye.map(|how| ("the gateway's end at SIGTERM".to_owned(), how)));
        let title = format!(
            "Soak: {} cameras, {} processes of viewers, seed {}",
            self.conduct.count(),
            self.crowds.len(),
            self.seed
        );
        let text = format!("{title}\n\n{}", report::markdown(&self.record.rows, &events));
        for (name, content) in [("report.md", text.clone()), ("soak.svg", plot::svg(&self.record.rows))] {
            if let Err(error) = fs::write(self.directory.join(name), content) {
                eprintln!("{name}: {error}");
            }
        }
        text
    }
}

/// The median, and the one farthest from 0, of the viewers that have been there for some time.
fn drift(tally: &Tally) -> (f64, f64) {
    let mut drifts: Vec<f64> = tally.drifts.values().filter(|drift| drift.age > 90.0).map(|drift| drift.ms).collect();
    drifts.sort_by(f64::total_cmp);
    let median = drifts.get(drifts.len() / 2).copied().unwrap_or(f64::NAN);
    let worst = drifts.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(f64::NAN);
    (median, worst)
}

fn list<K: std::fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let words: Vec<_> = counts.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    words.join(", ")
}
