//! A camera, a bottleneck and a viewer that reports like Chromium, all of them counted in microseconds.

use std::collections::VecDeque;

use rtc::rtcp::transport_feedbacks::transport_layer_cc::{RecvDelta, RunLengthChunk, SymbolTypeTcc};

use super::*;

const MILLISECOND: i64 = 1_000;
const SECOND: i64 = 1_000_000;
/// The pacer looks this often.
const STEP: i64 = 2 * MILLISECOND;
/// One way, without a queue.
const DELAY: i64 = 20 * MILLISECOND;
/// Chromium's interval.
const FEEDBACK: i64 = 100 * MILLISECOND;
/// How far the viewer's clock is ahead; its 24 bits wrap during the run.
const AHEAD: i64 = ((1 << 24) - 100) * 64_000;
const PACKET: usize = 1_200;
const FRAME: i64 = 40 * MILLISECOND;

/// A link with a first-in-first-out queue.
struct Link {
    /// Bits per second.
    rate: f64,
    /// Microseconds of packets that wait; more are dropped.
    buffer: i64,
    /// Of 1,000 packets, how many are lost by chance.
    loss: u32,
    /// Bits per second above which packets are thrown away, for a policer.
    policer: Option<f64>,
    extra: i64,
    free: i64,
    tokens: f64,
    filled: i64,
    random: u32,
}

impl Link {
    fn new(rate: f64) -> Self {
        let buffer = 10 * SECOND;
        Self { rate, buffer, loss: 0, policer: None, extra: 0, free: 0, tokens: 0.0, filled: 0, random: 1 }
    }

    fn arrival(&mut self, now: i64, bytes: usize) -> Option<i64> {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if let Some(rate) = self.policer {
            self.tokens = (self.tokens + (now - self.filled) as f64 * rate / 8e6).min(20_000.0);
            self.filled = now;
            if self.tokens < bytes as f64 {
                return None;
            }
            self.tokens -= bytes as f64;
        }
        if self.free - now > self.buffer || (self.random >> 8) % 1_000 < self.loss {
            return None;
        }
        self.free = self.free.max(now) + (bytes as f64 * 8e6 / self.rate) as i64;
        Some(self.free + DELAY + self.extra)
    }
}

/// One picture or sound as it went.
#[derive(Clone, Copy, Debug)]
struct Picture {
    captured: i64,
    keyframe: bool,
    /// When its last packet was there; `None` while it is on its way.
    shown: Option<i64>,
}

struct Pending {
    index: usize,
    bytes: usize,
    left: usize,
}

struct Rig {
    now: i64,
    epoch: Instant,
    congestion: Congestion,
    link: Link,
    /// Pictures in a GOP, bytes of the first and of the others.
    gop: (i64, usize, usize),
    frames: i64,
    pictures: Vec<Picture>,
    left_out: usize,
    awaiting_keyframe: bool,
    waiting: VecDeque<Pending>,
    /// Packets that the viewer has asked for again.
    repairs: usize,
    /// By transport-wide number: when it arrived.
    unreported: VecDeque<(u16, Option<i64>)>,
    feedbacks: VecDeque<(i64, TransportLayerCc)>,
    sound: Vec<i64>,
    longest_queue: i64,
}

impl Rig {
    /// 3.2 Mbit/s at 25 pictures a second, with keyframes of `keyframe` bytes, and sound of 64 kbit/s.
    fn new(link: Link, gop: i64, keyframe: usize) -> Self {
        let pictures = gop * 25;
        let other = (gop as usize * 400_000 - keyframe) / (pictures as usize - 1);
        let epoch = Instant::now();
        Self {
            now: 0,
            epoch,
            congestion: Congestion::new(epoch),
            link,
            gop: (pictures, keyframe, other),
            frames: 0,
            pictures: Vec::new(),
            left_out: 0,
            awaiting_keyframe: false,
            waiting: VecDeque::new(),
            repairs: 0,
            unreported: VecDeque::new(),
            feedbacks: VecDeque::new(),
            sound: Vec::new(),
            longest_queue: 0,
        }
    }

    fn instant(&self) -> Instant {
        self.epoch + Duration::from_micros(self.now as u64)
    }

    fn send(&mut self, bytes: usize) -> Option<i64> {
        let number = self.congestion.number(self.instant(), bytes);
        let arrival = self.link.arrival(self.now, bytes);
        self.unreported.push_back((number, arrival));
        arrival
    }

    fn run(&mut self, time: i64) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += STEP;
        }
    }

    fn step(&mut self) {
        while let Some((_, feedback)) = self.feedbacks.pop_front_if(|(at, _)| *at <= self.now) {
            self.congestion.on_feedback(self.instant(), &feedback);
        }
        if self.now % FEEDBACK == 0 {
            self.report();
        }
        if self.now % (20 * MILLISECOND) == 0
            && let Some(arrival) = self.send(160)
        {
            self.sound.push(arrival - self.now - DELAY - self.link.extra);
        }
        if self.now % FRAME == 0 {
            self.picture();
        }
        let mut allowance = self.congestion.allowance(self.instant());
        while allowance >= PACKET && self.repairs > 0 {
            self.repairs -= 1;
            allowance -= PACKET;
            self.send(PACKET);
        }
        while allowance > 0
            && let Some(front) = self.waiting.front_mut()
        {
            let bytes = front.left.min(PACKET);
            front.left -= bytes;
            let (index, done) = (front.index, front.left == 0);
            if done {
                self.waiting.pop_front();
            }
            allowance = allowance.saturating_sub(bytes);
            let arrival = self.send(bytes);
            if done {
                self.pictures[index].shown = arrival;
            }
        }
        self.longest_queue = self.longest_queue.max(self.link.free - self.now);
    }

    fn picture(&mut self) {
        let (length, first, other) = self.gop;
        let keyframe = self.frames % length == 0;
        let bytes = if keyframe { first } else { other };
        self.frames += 1;
        if self.awaiting_keyframe && !keyframe {
            self.left_out += 1;
            return;
        }
        if keyframe {
            // What has not begun to leave is of no use any more.
            let begun = self.waiting.front().is_some_and(|front| front.left < front.bytes);
            self.left_out += self.waiting.len() - usize::from(begun);
            self.waiting.truncate(usize::from(begun));
        }
        let backlog = self.waiting.iter().map(|pending| pending.left).sum();
        self.awaiting_keyframe = !self.congestion.admits(self.instant(), bytes, keyframe, backlog);
        if self.awaiting_keyframe {
            self.left_out += 1;
            return;
        }
        self.waiting.push_back(Pending { index: self.pictures.len(), bytes, left: bytes });
        self.pictures.push(Picture { captured: self.now, keyframe, shown: None });
    }

    /// Everything up to the newest packet that has arrived.
    fn report(&mut self) {
        let arrived = |(_, at): &(u16, Option<i64>)| at.is_some_and(|at| at <= self.now);
        let Some(last) = self.unreported.iter().rposition(arrived) else { return };
        let reports: Vec<_> = self.unreported.drain(..=last).collect();
        let first = reports.iter().find_map(|(_, at)| *at).expect("one arrived") + AHEAD;
        let mut before = first / 64_000 * 64_000;
        let mut feedback = TransportLayerCc {
            base_sequence_number: reports[0].0,
            packet_status_count: reports.len() as u16,
            reference_time: (first / 64_000) as u32 & 0xff_ffff,
            ..TransportLayerCc::default()
        };
        for (_, at) in reports {
            let packet_status_symbol = match at {
                None => {
                    self.repairs += 1;
                    SymbolTypeTcc::PacketNotReceived
                }
                Some(at) => {
                    let delta = (at + AHEAD - before) / 250 * 250;
                    before += delta;
                    feedback.recv_deltas.push(RecvDelta { delta, ..RecvDelta::default() });
                    SymbolTypeTcc::PacketReceivedLargeDelta
                }
            };
            let chunk = RunLengthChunk { packet_status_symbol, run_length: 1, ..RunLengthChunk::default() };
            feedback.packet_chunks.push(PacketStatusChunk::RunLengthChunk(chunk));
        }
        self.feedbacks.push_back((self.now + DELAY, feedback));
    }

    /// How late pictures were that were captured since `since`, in microseconds.
    fn lateness(&self, since: i64) -> Vec<i64> {
        let shown = self.pictures.iter().filter(|picture| picture.captured >= since);
        shown.filter_map(|picture| Some(picture.shown? - picture.captured - DELAY - self.link.extra)).collect()
    }

    fn carries(&self) -> f64 {
        self.congestion.estimate().expect("packets have queued")
    }
}

fn longest(times: &[i64]) -> i64 {
    times.iter().copied().max().unwrap_or(0)
}

#[test]
fn a_free_path_carries_everything_at_once() {
    let mut rig = Rig::new(Link::new(50e6), 2, 100_000);
    rig.run(60 * SECOND);
    assert_eq!((rig.left_out, rig.congestion.leaves_out()), (0, false));
    assert!(longest(&rig.lateness(0)) < 50 * MILLISECOND);
    assert!((rig.carries() / 50e6 - 1.0).abs() < 0.2, "{}", rig.carries());
}

#[test]
fn a_narrow_path_shows_whole_pictures_that_are_never_later_than_it_must() {
    for (rate, gop, keyframe) in
        [(256e3, 2, 60_000), (256e3, 10, 60_000), (1e6, 2, 60_000), (1e6, 10, 60_000), (2.8e6, 2, 60_000)]
    {
        let mut rig = Rig::new(Link::new(rate), gop, keyframe);
        rig.run(10 * SECOND);
        rig.longest_queue = 0;
        let settled = rig.sound.len();
        rig.run(110 * SECOND);
        let name = format!("{rate} bit/s, GOP {gop} s");
        assert!((rig.carries() / rate - 1.0).abs() < 0.1, "{name}: {}", rig.carries());
        // Sound goes first.
        let must = (keyframe as f64 * 8e6 / (rate - 64e3)) as i64;
        let lateness = rig.lateness(10 * SECOND);
        let (latest, sound) = (longest(&lateness), longest(&rig.sound[settled..]));
        println!(
            "{name}: {} pictures, the latest {} ms, must {} ms, queue {} ms, sound {} ms",
            lateness.len(),
            latest / 1_000,
            must / 1_000,
            rig.longest_queue / 1_000,
            sound / 1_000
        );
        let budget = BUDGET.as_micros() as i64;
        assert!(latest < must.max(budget) + budget + 100 * MILLISECOND, "{name}: {latest}");
        assert!(sound < budget, "{name}: {sound}");
        assert!(rig.congestion.leaves_out(), "{name}");
        let keyframes = rig.pictures.iter().filter(|picture| picture.keyframe).count();
        assert!(keyframes as i64 * (gop.max(must / SECOND + 2)) >= 60, "{name}: {keyframes}");
    }
}

#[test]
fn chance_loss_without_a_queue_leaves_nothing_out() {
    for loss in [50, 100] {
        let mut rig = Rig::new(Link { loss, ..Link::new(30e6) }, 2, 100_000);
        rig.run(300 * SECOND);
        assert_eq!((rig.left_out, rig.congestion.leaves_out()), (0, false), "{loss} of 1,000");
    }
}

#[test]
fn a_path_that_becomes_wide_again_carries_everything_again() {
    for (gop, within) in [(2, 20), (10, 30)] {
        let mut rig = Rig::new(Link::new(20e6), gop, 60_000);
        rig.run(20 * SECOND);
        assert_eq!(rig.left_out, 0);
        rig.link.rate = 256e3;
        rig.run(60 * SECOND);
        assert!(rig.congestion.leaves_out());
        rig.link.rate = 20e6;
        rig.run(within * SECOND);
        let left_out = rig.left_out;
        rig.run(20 * SECOND);
        assert_eq!((rig.left_out - left_out, rig.congestion.leaves_out()), (0, false), "GOP {gop} s");
        assert!(longest(&rig.lateness(rig.now - 10 * SECOND)) < 50 * MILLISECOND);
    }
}

#[test]
fn keyframes_that_the_path_takes_long_for_are_no_reason_to_leave_out_the_rest() {
    let mut rig = Rig::new(Link::new(4.5e6), 2, 300_000);
    rig.run(60 * SECOND);
    assert_eq!((rig.left_out, rig.congestion.leaves_out()), (0, false));
}

#[test]
fn a_policer_is_obeyed_although_nothing_queues() {
    let mut rig = Rig::new(Link { policer: Some(1e6), ..Link::new(100e6) }, 2, 60_000);
    rig.run(20 * SECOND);
    assert!(rig.congestion.leaves_out());
    assert!((0.4e6..1.6e6).contains(&rig.carries()), "{}", rig.carries());
    let settled = rig.pictures.len();
    rig.run(60 * SECOND);
    assert!(rig.pictures.len() > settled + 10);
}

/// What did not fit into the queue is asked for again, and must not fill it again.
#[test]
fn a_short_queue_that_overflows_at_the_start_is_left_to_drain() {
    for (rate, buffer) in [(256e3, 300), (256e3, 2_000), (1e6, 100)] {
        let mut rig = Rig::new(Link { buffer: buffer * MILLISECOND, ..Link::new(rate) }, 2, 60_000);
        rig.run(40 * SECOND);
        let settled = rig.pictures.len();
        rig.run(60 * SECOND);
        let name = format!("{rate} bit/s, {buffer} ms");
        assert!(rig.carries() > rate / 2.0, "{name}: {}", rig.carries());
        assert!(rig.pictures.len() >= settled + 10, "{name}: {} after {settled}", rig.pictures.len());
        assert!(rig.repairs < 20, "{name}: {} repairs wait", rig.repairs);
    }
}

#[test]
fn a_pause_of_the_radio_leaves_nothing_out() {
    let mut rig = Rig::new(Link::new(30e6), 2, 100_000);
    for _ in 0..10 {
        rig.run(5 * SECOND);
        rig.link.free = rig.now + 350 * MILLISECOND;
    }
    rig.run(5 * SECOND);
    assert_eq!((rig.left_out, rig.congestion.leaves_out()), (0, false));
}

#[test]
fn a_longer_path_is_no_queue() {
    let mut rig = Rig::new(Link::new(30e6), 2, 100_000);
    rig.run(20 * SECOND);
    rig.link.extra = 800 * MILLISECOND;
    rig.run(30 * SECOND);
    let left_out = rig.left_out;
    rig.run(30 * SECOND);
    assert_eq!((rig.left_out - left_out, rig.congestion.leaves_out()), (0, false));
}

#[test]
fn a_viewer_that_sends_no_feedback_is_sent_everything() {
    let start = Instant::now();
    let mut congestion = Congestion::new(start);
    congestion.number(start, 1_200);
    assert!(congestion.allowance(start) < INITIAL);
    let later = congestion.next(start);
    assert_eq!((later, congestion.allowance(later)), (start + SILENT, usize::MAX));
    assert!(congestion.admits(later, 1_000_000, false, 1_000_000));
}

#[test]
fn feedback_about_packets_that_were_never_sent_says_nothing() {
    let start = Instant::now();
    let mut congestion = Congestion::new(start);
    for (packet_status_count, run_length) in [(100, 100), (u16::MAX, 8_191), (1, 8_191)] {
        let chunk = RunLengthChunk {
            packet_status_symbol: SymbolTypeTcc::PacketReceivedWithoutDelta,
            run_length,
            ..RunLengthChunk::default()
        };
        let packet_chunks = vec![PacketStatusChunk::RunLengthChunk(chunk); 8];
        let feedback = TransportLayerCc { packet_status_count, packet_chunks, ..TransportLayerCc::default() };
        congestion.on_feedback(start, &feedback);
    }
    assert_eq!((congestion.estimate(), congestion.queueing()), (None, Duration::ZERO));
    assert!(congestion.admits(start, 1_000_000, false, 0));
}

#[test]
fn a_large_picture_is_spread_but_not_for_long() {
    let mut rig = Rig::new(Link::new(20e6), 2, 100_000);
    assert_eq!(rig.congestion.pace(300_000), f64::INFINITY);
    rig.run(10 * SECOND);
    let faster = rig.congestion.pace(10_000) / 20e6;
    assert!((1.3..1.7).contains(&faster), "{faster}");
    let spread = 300_000.0 * 8.0 / rig.congestion.pace(300_000);
    assert!((spread - SPREAD.as_secs_f64()).abs() < 1e-6, "{spread}");
}
