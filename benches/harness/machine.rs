//! The machine, and CPU time in finer steps than /proc/<pid>/stat has (10 ms).

use std::fs;
use std::time::Duration;

/// One line that tells what a table was measured on.
pub fn line() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = ["model name", "Model"].iter().find_map(|name| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}

/// CPU time of all threads of a process so far, user and system, in nanoseconds as the scheduler counts them.
///
/// Linux counts what the loopback interface does to deliver a packet (up to the receiver's socket) as time of the sender.
pub fn cpu_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap_or_else(|error| panic!("process {pid}: {error}"));
    let nanoseconds =
        tasks.flatten().filter_map(|task| run_time(&task.path().join("schedstat").to_string_lossy())).sum();
    Duration::from_nanos(nanoseconds)
}

/// What the file descriptors of a process are; for a TCP socket, its two ends and its state.
pub fn open_files(pid: u32) -> Vec<String> {
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let describe = |link: String| {
        let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).unwrap_or("?");
        let mut lines = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        match lines.find(|fields| fields.get(9) == Some(&inode)) {
            Some(fields) => format!("tcp {} to {} in state {}", fields[1], fields[2], fields[3]),
            None => link,
        }
    };
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap_or_else(|error| panic!("process {pid}: {error}"));
    entries
        .flatten()
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .map(describe)
        .collect()
}

/// CPU time of the calling thread so far.
pub fn own_cpu_time() -> Duration {
    Duration::from_nanos(run_time("/proc/thread-self/schedstat").expect("the kernel has CONFIG_SCHEDSTATS"))
}

fn run_time(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// How long all processors together have been idle and busy (/proc/stat), in ticks of 10 ms.
pub struct Idle {
    idle: u64,
    all: u64,
}

pub fn idle_time() -> Idle {
    let stat = fs::read_to_string("/proc/stat").expect("Linux");
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already (proc(5)).
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    Idle { idle: ticks[3] + ticks[4], all: ticks.iter().sum() }
}

impl Idle {
    /// The share of the time since `before` in which nobody wanted to run.
    pub fn since(&self, before: &Self) -> f64 {
        (self.idle - before.idle) as f64 / (self.all - before.all).max(1) as f64
    }
}
