//! The process, by the names that Prometheus' client libraries give such figures.

use std::collections::BTreeMap;

use procfs::{
    ProcResult, WithCurrentSystemInfo as _, boot_time_secs,
    process::{LimitValue, Process},
    ticks_per_second,
};
use prometheus::proto::MetricType::{COUNTER, GAUGE};

use super::page::{Family, Page};

/// What the threads that send and read media are called; others come and go.
const LASTING: [&str; 2] = ["peer-", "reader"];

/// Tells nothing where there is no /proc to read.
pub(super) fn tell(page: &mut Page) {
    let version = env!("CARGO_PKG_VERSION");
    page.family(Family::gauge("build_info", "The program's version, as a label").with(&[("version", version)], 1.0));
    let _ = process(page);
    let _ = threads(page);
}

fn process(page: &mut Page) -> ProcResult<()> {
    let (me, ticks) = (Process::myself()?, ticks_per_second() as f64);
    let stat = me.stat()?;
    let mut tell = |kind, name: &str, help: &str, value: f64| {
        page.family(Family::of_process(kind, name, help).with(&[], value));
    };
    tell(COUNTER, "cpu_seconds_total", "CPU time spent", (stat.utime + stat.stime) as f64 / ticks);
    tell(GAUGE, "resident_memory_bytes", "Memory in use", stat.rss_bytes().get() as f64);
    tell(GAUGE, "virtual_memory_bytes", "Addresses in use", stat.vsize as f64);
    tell(GAUGE, "threads", "Threads", stat.num_threads as f64);
    let started = boot_time_secs()? as f64 + stat.starttime as f64 / ticks;
    tell(GAUGE, "start_time_seconds", "When it was started, since 1970", started);
    tell(GAUGE, "open_fds", "Open descriptors", me.fd_count()? as f64);
    if let LimitValue::Value(limit) = me.limits()?.max_open_files.soft_limit {
        tell(GAUGE, "max_fds", "Descriptors that may be open", limit as f64);
    }
    Ok(())
}

fn threads(page: &mut Page) -> ProcResult<()> {
    let ticks = ticks_per_second() as f64;
    let mut spent: BTreeMap<String, f64> = BTreeMap::new();
    for task in Process::myself()?.tasks()? {
        // A thread may end while it is looked at.
        let Ok(stat) = task.and_then(|task| task.stat()) else { continue };
        if LASTING.iter().any(|name| stat.comm.starts_with(name)) {
            *spent.entry(stat.comm).or_default() += (stat.utime + stat.stime) as f64 / ticks;
        }
    }
    let mut family = Family::counter("thread_cpu_seconds_total", "CPU time of the threads that send and read media");
    for (thread, seconds) in &spent {
        family.add(&[("thread", thread)], *seconds);
    }
    page.family(family);
    Ok(())
}
