//! The way between a viewer and the gateway as it is outside of a laboratory: delay, loss, a narrow link.
//!
//! The router of tests/support/network.rs hands every packet that it forwards between the viewer's subnet and others to
//! this process (NFQUEUE), which drops it or lets it go when it is due. That works on any kernel, unlike netem, and counts
//! packets: nft sees a train of the gateway (UDP GSO) as one packet and would lose it whole, the queue gets it cut up.
//! Everything is treated alike, HTTP included. What the queue adds by itself is at most [`STEP`].
#![allow(unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nfq::{Message, Queue, Verdict};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::network::{Network, VIEWER};

/// How often the queue is looked at.
const STEP: Duration = Duration::from_millis(1);
/// What a narrow link keeps before it drops: the usual few hundred milliseconds of a home router.
const BUFFER: Duration = Duration::from_millis(300);
/// Packets that may be under way: 40 ms of 100 Mbit/s are 400.
const MOST: u32 = 10_000;
/// Enough of a packet to tell its direction.
const HEADER: u16 = 64;

/// Which packets are lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    /// This share of them, each by itself.
    Random(f64),
    /// This share, in runs of this mean length (Gilbert's model).
    Bursts {
        share: f64,
        length: f64,
    },
}

/// One direction.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub loss: Loss,
    pub delay: Duration,
    /// Bits per second.
    pub rate: Option<u64>,
}

impl Way {
    pub const CLEAN: Self = Self { loss: Loss::None, delay: Duration::ZERO, rate: None };
}

/// Both directions.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    pub to_viewer: Way,
    pub from_viewer: Way,
}

impl Conditions {
    pub const CLEAN: Self = Self::each_way(Way::CLEAN);

    pub const fn each_way(way: Way) -> Self {
        Self { to_viewer: way, from_viewer: way }
    }
}

/// What happened to the packets to the viewer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    pub passed: u64,
    pub lost: u64,
}

/// The viewer's way to everybody else. Dropping it lets nothing pass any more.
pub struct Path {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    conditions: Mutex<Conditions>,
    fate: Mutex<Fate>,
    over: AtomicBool,
}

impl Path {
    /// Takes over the viewer's packets; they pass as they came, until [`set`](Self::set).
    pub fn new(network: &Network) -> Self {
        network.run("router", "iptables -I FORWARD -i viewer -j NFQUEUE && iptables -I FORWARD -o viewer -j NFQUEUE");
        let conditions = Mutex::new(Conditions::CLEAN);
        let shared = Arc::new(Shared { conditions, fate: Mutex::default(), over: AtomicBool::new(false) });
        let (ours, theirs) = (shared.clone(), shared);
        // A thread belongs to the network of the thread that made it.
        let thread = network.inside("router", async move {
            let queue = open().unwrap_or_else(|error| panic!("NFQUEUE (are you root?): {error}"));
            std::thread::spawn(move || run(queue, &theirs))
        });
        Self { shared: ours, thread: Some(thread) }
    }

    /// From now on it is like this. What is under way arrives as it would have.
    pub fn set(&self, conditions: Conditions) {
        *self.shared.conditions.lock().unwrap() = conditions;
    }

    /// Packets to the viewer since the last look.
    pub fn take_fate(&self) -> Fate {
        std::mem::take(&mut *self.shared.fate.lock().unwrap())
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn open() -> std::io::Result<Queue> {
    let mut queue = Queue::open()?;
    queue.bind(0)?;
    queue.set_copy_range(0, HEADER)?;
    queue.set_queue_max_len(0, MOST)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

fn run(mut queue: Queue, shared: &Shared) {
    let viewer: IpAddr = VIEWER.parse().expect("an address");
    let mut directions = [Direction::new(1), Direction::new(2)];
    let mut under_way: BTreeMap<(Instant, u64), Message> = BTreeMap::new();
    let mut count = 0;
    while !shared.over.load(Ordering::Relaxed) {
        let conditions = *shared.conditions.lock().unwrap();
        while let Ok(mut message) = queue.recv() {
            let now = Instant::now();
            let to_viewer = destination(message.get_payload()) == Some(viewer);
            let way = if to_viewer { conditions.to_viewer } else { conditions.from_viewer };
            let due = directions[usize::from(to_viewer)].due(now, way, message.get_original_len());
            if to_viewer {
                let mut fate = shared.fate.lock().unwrap();
                let counter = if due.is_some() { &mut fate.passed } else { &mut fate.lost };
                *counter += 1;
            }
            if let Some(due) = due {
                count += 1;
                under_way.insert((due, count), message);
            } else {
                message.set_verdict(Verdict::Drop);
                queue.verdict(message).expect("the queue is ours");
            }
        }
        while let Some(first) = under_way.first_entry()
            && first.key().0 <= Instant::now()
        {
            queue.verdict(first.remove()).expect("the queue is ours");
        }
        std::thread::sleep(STEP);
    }
}

/// The destination of an IPv4 packet.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    (packet[0] >> 4 == 4).then(|| IpAddr::from(address))
}

/// What one direction remembers.
struct Direction {
    random: StdRng,
    in_burst: bool,
    /// When the narrow link has sent what it holds.
    free: Instant,
}

impl Direction {
    /// The same `seed` loses the same packets.
    fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), in_burst: false, free: Instant::now() }
    }

    /// When a packet of `bytes` arrives, if it does.
    fn due(&mut self, now: Instant, way: Way, bytes: usize) -> Option<Instant> {
        let lost = match way.loss {
            Loss::None => false,
            Loss::Random(share) => self.random.random_bool(share),
            Loss::Bursts { share, length } => {
                let leave = 1.0 / length;
                let turn = if self.in_burst { leave } else { leave * share / (1.0 - share) };
                self.in_burst ^= self.random.random_bool(turn);
                self.in_burst
            }
        };
        if lost {
            return None;
        }
        let Some(rate) = way.rate else { return Some(now + way.delay) };
        let begin = self.free.max(now);
        if begin - now > BUFFER {
            return None;
        }
        self.free = begin + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        Some(self.free + way.delay)
    }
}
