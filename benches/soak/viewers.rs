//! Viewers in a process of their own, each in a place that it takes again and again: it joins a camera, stays, lags, and leaves
//! by one of three ways. Besides, in the first process, one viewer of each camera that stays for ever and measures the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::chance::Chance;
use super::{cameras, part};
use crate::support::viewer::{Kind, Viewer};

pub const ARGUMENT: &str = "--soak-viewers";
/// From one report to the next.
const REPORT: Duration = Duration::from_secs(5);
/// A viewer who sees nothing in this time is counted; most such cameras are away.
const PATIENCE: Duration = Duration::from_secs(15);
/// Within this time after joining, the earliest arrival of a picture is what later ones are compared with.
const SETTLE: Duration = Duration::from_secs(60);
/// Over which the earliest arrival is taken: what came late by chance does not count.
const WINDOW: Duration = Duration::from_secs(10);
/// A viewer that stays for ever joins again when nothing has come for this long, longer than any camera is away and the
/// gateway then waits.
const LOST: Duration = Duration::from_secs(150);

/// What happened in one process since its start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    pub joined: u64,
    pub over_tcp: u64,
    /// Status of the refusal, how many.
    pub refused: BTreeMap<u16, u64>,
    pub deleted: u64,
    pub hung_up: u64,
    pub vanished: u64,
    pub lagged: u64,
    /// Answered, and then without any picture for [`PATIENCE`].
    pub saw_nothing: u64,
    pub packets: u64,
    /// Broken viewers: a fault of the bench or of an answer that makes no sense.
    pub broken: u64,
    /// Times that a viewer which stays for ever had to join again.
    pub rejoined: u64,
    /// By camera, of the viewers that stay.
    pub drifts: BTreeMap<String, Drift>,
}

/// How the media clock, as the RTP timestamps of a viewer tell it, runs against the wall's.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Drift {
    /// By how much later pictures arrive after their timestamp than in the beginning, now.
    pub ms: f64,
    /// How long the viewer has been there, in seconds.
    pub age: f64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.joined, other.joined),
            (&mut self.over_tcp, other.over_tcp),
            (&mut self.deleted, other.deleted),
            (&mut self.hung_up, other.hung_up),
            (&mut self.vanished, other.vanished),
            (&mut self.lagged, other.lagged),
            (&mut self.saw_nothing, other.saw_nothing),
            (&mut self.packets, other.packets),
            (&mut self.broken, other.broken),
            (&mut self.rejoined, other.rejoined),
        ] {
            *mine += theirs;
        }
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.drifts.extend(other.drifts.clone());
    }
}

type Shared = Arc<Mutex<Tally>>;

/// The main function of a viewers' process: arguments are the gateway's URL, the seed, the number of cameras, that of
/// viewers, and whether some stay.
pub async fn run(arguments: &[String]) {
    part::end_with_parent();
    let number = |index: usize| arguments[index].parse::<u64>().expect("a number");
    let (seed, cameras, viewers) = (number(1) + part::restarts(), number(2) as usize, number(3));
    let url = arguments[0].clone();
    let tally = Shared::default();
    if number(4) > 0 {
        for camera in 0..cameras {
            tokio::task::spawn_local(stay(
                format!("{url}/whep/{}", cameras::name(camera)),
                cameras::name(camera),
                tally.clone(),
            ));
        }
    }
    for viewer in 0..viewers {
        tokio::task::spawn_local(come_and_go(url.clone(), cameras, Chance::new(seed, 1_000 + viewer), tally.clone()));
    }
    loop {
        tokio::time::sleep(REPORT).await;
        println!("{}", serde_json::to_string(&*tally.lock().unwrap()).expect("plain data"));
    }
}

async fn come_and_go(url: String, cameras: usize, mut chance: Chance, tally: Shared) {
    // Each request has a connection of its own: one that was kept may be closed when a process goes on that was stopped.
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(0);
    let http = http.build().expect("an HTTP client");
    // Not all at once.
    tokio::time::sleep(chance.seconds(0.0, 20.0)).await;
    loop {
        // One more than there are: sometimes it is the guest, which is in the configuration now and then.
        let camera = chance.below(cameras * 4 + 1) / 4;
        let camera = if camera == cameras { "guest".to_owned() } else { cameras::name(camera) };
        let plan = Plan {
            url: format!("{url}/whep/{camera}"),
            tcp: chance.happens(20),
            stay: chance.scattered_seconds(5.0, 300.0),
            // Beyond 15 s the gateway takes it for gone (RFC 7675).
            lag: chance.happens(30).then(|| chance.scattered_seconds(1.0, 25.0)),
            end: chance.below(4),
            http: http.clone(),
        };
        let pause = chance.seconds(0.0, 3.0);
        if tokio::task::spawn_local(visit(plan, tally.clone())).await.is_err() {
            tally.lock().unwrap().broken += 1;
        }
        tokio::time::sleep(pause).await;
    }
}

struct Plan {
    url: String,
    tcp: bool,
    stay: Duration,
    lag: Option<Duration>,
    end: usize,
    http: reqwest::Client,
}

async fn visit(plan: Plan, tally: Shared) {
    let count = |act: fn(&mut Tally)| act(&mut tally.lock().unwrap());
    let viewer = match Viewer::builder(plan.url).tcp(plan.tcp).try_join().await {
        Ok(viewer) => viewer,
        Err(refusal) => {
            *tally.lock().unwrap().refused.entry(refusal.status).or_default() += 1;
            return;
        }
    };
    count(|tally| tally.joined += 1);
    if plan.tcp {
        count(|tally| tally.over_tcp += 1);
    }
    let end = Instant::now() + plan.stay;
    tokio::time::sleep(plan.stay.min(PATIENCE)).await;
    if plan.stay >= PATIENCE && viewer.packets(Kind::Video) == 0 {
        count(|tally| tally.saw_nothing += 1);
    }
    if let Some(lag) = plan.lag {
        count(|tally| tally.lagged += 1);
        viewer.unplug(true);
        tokio::time::sleep(lag).await;
        viewer.unplug(false);
    }
    tokio::time::sleep_until(end.into()).await;
    tally.lock().unwrap().packets += viewer.packets(Kind::Video) + viewer.packets(Kind::Audio);
    match plan.end {
        0 | 1 => {
            // 404: it was away for too long.
            let deleted = plan.http.delete(viewer.resource()).send().await;
            deleted.unwrap_or_else(|error| panic!("DELETE: {error}"));
            viewer.hang_up().await;
            count(|tally| tally.deleted += 1);
        }
        2 => {
            viewer.hang_up().await;
            count(|tally| tally.hung_up += 1);
        }
        _ => {
            viewer.vanish().await;
            count(|tally| tally.vanished += 1);
        }
    }
}

/// Watches one camera for ever.
async fn stay(whep: String, camera: String, tally: Shared) {
    loop {
        let measured = tokio::task::spawn_local(measure(whep.clone(), camera.clone(), tally.clone())).await;
        match measured {
            Ok(true) => tally.lock().unwrap().rejoined += 1,
            Ok(false) => {}
            Err(_) => tally.lock().unwrap().broken += 1,
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Watches until nothing comes any more; false if it could not join.
async fn measure(whep: String, camera: String, tally: Shared) -> bool {
    let Ok(viewer) = Viewer::builder(whep).try_join().await else { return false };
    let joined = Instant::now();
    let (mut clock, mut last) = (Clock::default(), joined);
    while last.elapsed() < LOST {
        let (mut earliest, end) = (f64::INFINITY, Instant::now() + WINDOW);
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(97)).await;
            let newest = viewer.with(Kind::Video, |log| log.last.map(|packet| (packet.at, packet.timestamp)));
            let Some((at, timestamp)) = newest.filter(|&(at, _)| at > last) else { continue };
            last = at;
            earliest = earliest.min(clock.lateness((at - joined).as_secs_f64(), timestamp));
        }
        if earliest.is_infinite() {
            continue;
        }
        let age = joined.elapsed();
        if age < SETTLE {
            clock.base = clock.base.min(earliest);
        } else if clock.base.is_infinite() {
            clock.base = earliest;
        }
        let drift = Drift { ms: (earliest - clock.base) * 1e3, age: age.as_secs_f64() };
        tally.lock().unwrap().drifts.insert(camera.clone(), drift);
    }
    true
}

struct Clock {
    /// Of the media, in ticks of 90 kHz without their wrap.
    ticks: Option<(u32, i64)>,
    base: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { ticks: None, base: f64::INFINITY }
    }
}

impl Clock {
    /// Seconds from the timestamp to the arrival, up to a constant.
    fn lateness(&mut self, at: f64, timestamp: u32) -> f64 {
        let ticks = match self.ticks {
            None => 0,
            Some((last, ticks)) => ticks + i64::from(timestamp.wrapping_sub(last) as i32),
        };
        self.ticks = Some((timestamp, ticks));
        at - ticks as f64 / 90_000.0
    }
}
