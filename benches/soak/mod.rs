//! Starts everything, looks at it each 10 s, and writes down what it sees.
#![allow(unreachable_pub)]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::disallowed_methods)]

pub mod cameras;
mod chance;
mod gateway;
mod page;
mod part;
mod plot;
mod record;
mod reloads;
mod report;
pub mod viewers;
mod watcher;

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::support::process;
use chance::Chance;
use gateway::Gateway;
use part::Part;
use reloads::{Configuration, Reloads};
use watcher::Watcher;

/// Viewers of one process: a few processes, so that one can be stopped alone.
const TOGETHER: u64 = 10;
/// Ports below those that the kernel gives to outgoing connections, so that nobody takes a camera's while it is away.
const PORTS: std::ops::Range<u16> = 21_000..32_000;
/// From one look to the next.
const LOOK: Duration = Duration::from_secs(10);
/// From one report to the next.
const REPORT: Duration = Duration::from_secs(60);
/// For the gateway to say goodbye.
const GOODBYE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Plan {
    pub directory: PathBuf,
    pub gateway: PathBuf,
    pub length: Duration,
    pub cameras: usize,
    pub viewers: u64,
    pub seed: u64,
}

/// CPU time of this process's descendants that are of the bench itself, in seconds: to tell what the bench costs.
fn cpu_of(pids: impl IntoIterator<Item = u32>) -> f64 {
    let exists = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}/stat")).exists();
    pids.into_iter().filter(exists).map(|pid| process::cpu_time(pid).as_secs_f64()).sum()
}

/// Runs until the time is over, and returns the report.
pub async fn run(plan: Plan) -> String {
    let ports = free_ports(plan.cameras + 2);
    let configuration = Configuration::new(ports[0], ports[1], ports[2..].to_vec());
    let mut arguments = vec![cameras::ARGUMENT.to_owned(), plan.seed.to_string()];
    arguments.extend(ports[2..].iter().map(u16::to_string));
    let cameras = Part::start(arguments);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let gateway = Gateway::start(&plan.gateway, &plan.directory, &configuration.toml(), ports[0]);
    while gateway.metrics().await.is_none() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("the gateway is process {} at {}", gateway.pid(), gateway.url());

    let mut crowds = Vec::new();
    let comers = plan.viewers.saturating_sub(plan.cameras as u64);
    for first in (0..comers).step_by(TOGETHER as usize) {
        let count = TOGETHER.min(comers - first);
        let numbers = [plan.seed * 1_000 + first, plan.cameras as u64, count, u64::from(first == 0)];
        let words = [viewers::ARGUMENT.to_owned(), gateway.url()];
        crowds.push(Part::start(words.into_iter().chain(numbers.map(|number| number.to_string())).collect()));
    }
    // The first has the viewers that measure.
    let stopped: Vec<u32> = crowds.iter().skip(1).map(Part::pid).collect();
    tokio::task::spawn_local(stop_some(stopped, Chance::new(plan.seed, 50)));
    let page = page::watch(gateway.url());
    let mut watcher = Watcher::new(&plan, cameras, crowds, page);

    let gateway = Arc::new(tokio::sync::Mutex::new(gateway));
    let shared = Arc::new(tokio::sync::Mutex::new((configuration, Reloads::default())));
    tokio::task::spawn_local(reload(gateway.clone(), shared.clone(), Chance::new(plan.seed, 51)));

    let mut terminate = signal(SignalKind::terminate()).expect("a signal of ours");
    let end = tokio::time::Instant::now() + plan.length;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut reported = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = tokio::time::sleep_until(end) => break,
            _ = terminate.recv() => break,
        }
        let (locked_out, reloads) = {
            let shared = shared.lock().await;
            ((0..plan.cameras).filter(|&camera| shared.0.is_locked_out(camera)).collect::<Vec<_>>(), shared.1)
        };
        watcher.look(&mut *gateway.lock().await, &locked_out, reloads).await;
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            watcher.write(None);
        }
    }
    let goodbye = gateway.lock().await.end(GOODBYE).await;
    watcher.write(Some(goodbye))
}

fn free_ports(count: usize) -> Vec<u16> {
    let is_free =
        |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<u16> = PORTS.filter(is_free).take(count).collect();
    assert_eq!(ports.len(), count, "free ports in {PORTS:?}");
    ports
}

/// Stops a process of viewers now and then, as a laptop that is closed: nobody reads what comes, and the kernel's queues fill.
async fn stop_some(pids: Vec<u32>, mut chance: Chance) {
    while !pids.is_empty() {
        tokio::time::sleep(chance.seconds(40.0, 120.0)).await;
        let pid = pids[chance.below(pids.len())];
        // It may have ended, and its number be another's.
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if !String::from_utf8_lossy(&command).contains(viewers::ARGUMENT) {
            continue;
        }
        process::signal(pid, "STOP");
        tokio::time::sleep(chance.seconds(3.0, 25.0)).await;
        process::signal(pid, "CONT");
    }
}

type Written = Arc<tokio::sync::Mutex<(Configuration, Reloads)>>;

async fn reload(gateway: Arc<tokio::sync::Mutex<Gateway>>, written: Written, mut chance: Chance) {
    loop {
        tokio::time::sleep(chance.seconds(60.0, 180.0)).await;
        let gateway = gateway.lock().await;
        let (configuration, reloads) = &mut *written.lock().await;
        configuration.reload(&gateway, &mut chance, reloads).await;
    }
}
