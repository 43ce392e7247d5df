//! What /proc tells about a process, and signals to processes that the tests started.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::{
    ptrace,
    wait::{WaitPidFlag, waitpid},
};
use nix::unistd::Pid;

/// For killed processes to go away; Chromium's take a few milliseconds.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// Resident memory in kB.
pub fn rss_kb(pid: u32) -> u64 {
    status_field(pid, "VmRSS:")
}

pub fn threads(pid: u32) -> u64 {
    status_field(pid, "Threads:")
}

fn status_field(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} of process {pid}: has it ended?"))
}

/// Open file descriptors.
pub fn fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap_or_else(|error| panic!("file descriptors of process {pid}: {error}"))
        .count()
}

/// CPU time used so far, user and system, all threads; in steps of 10 ms.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces: count the fields from behind it.
    let ticks: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').skip(11).take(2))
        .into_iter()
        .flatten()
        .filter_map(|field| field.parse().ok())
        .collect();
    assert_eq!(ticks.len(), 2, "no CPU time of process {pid}: has it ended?");
    // USER_HZ is 100 on every architecture Linux still has.
    Duration::from_millis((ticks[0] + ticks[1]) * 10)
}

/// Sends a signal by name, such as `TERM`; false if there is no such process.
pub fn signal(pid: u32, name: &str) -> bool {
    signal_all(&pid.to_string(), name)
}

fn signal_all(pids: &str, name: &str) -> bool {
    // The shell's own kill: a minimal machine has no other, and libc would need unsafe code.
    Command::new("sh")
        .args(["-c", &format!("kill -{name} {pids} 2>/dev/null")])
        .status()
        .is_ok_and(|status| status.success())
}

/// Kills a process and all its descendants, whatever groups and sessions they made.
pub fn kill_tree(root: u32) {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        next += 1;
    }
    let pids: Vec<String> = tree.iter().map(u32::to_string).collect();
    signal_all(&pids.join(" "), "KILL");
    // Until they are gone they may still write to the directories that are removed next.
    let end = Instant::now() + KILL_LIMIT;
    while tree.iter().any(|&pid| runs(pid)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process exists and is more than a zombie.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Threads of a process that the test has stopped, as a fault in them would; they go on when this is dropped. The process has
/// to be a child of the test's, and this to be dropped by the thread that made it.
pub struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops all threads of this name.
    pub fn threads(pid: u32, name: &str) -> Self {
        let tasks =
            fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").map(|task| task.expect("one").path());
        let named = tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
        let ids =
            named.map(|task| task.file_name().expect("a name").to_str().expect("digits").parse().expect("a number"));
        let ids: Vec<_> = ids.map(Pid::from_raw).collect();
        assert!(!ids.is_empty(), "process {pid} has no thread {name}");
        for id in &ids {
            ptrace::seize(*id, ptrace::Options::empty()).expect("a child's thread");
            ptrace::interrupt(*id).expect("it is ours");
            waitpid(*id, Some(WaitPidFlag::__WALL)).expect("it stops");
        }
        Self(ids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for id in &self.0 {
            // It may have been killed.
            let _ = ptrace::detach(*id, None);
        }
    }
}
