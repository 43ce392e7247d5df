//! Whether the way to one viewer carries what its camera sends, and what to leave out while it does not; sans-I/O.
//!
//! In: every packet that leaves, and the viewer's transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//! Out: an estimate of the path, whether a picture is worth sending, and how much may leave now.
//!
//! A camera's stream cannot be made smaller, so there is one decision only: to send a picture whole or not at all, and after
//! one that was left out nothing before the next keyframe. It is taken only on evidence that the path is full: packets that
//! queue for [`STANDING`], or that will by what the narrowest link has been seen to serve, or a quarter of them lost for
//! seconds. Never because an estimate is low: what is not sent cannot be seen to arrive. Then
//!
//! - the queue on the path is kept at [`QUEUE`] by a model of it that each feedback corrects, so that sound, which is never
//!   held back, is not late;
//! - a picture that would arrive later than [`BUDGET`] is not sent. A keyframe is sent when its first byte would not be
//!   later, however long the path takes for all of it, because without one there is no picture at all; the pictures behind
//!   it may be as late as it was, and no later;
//! - the model lets half as much again leave as the link is believed to serve while its queue is short. If the link is
//!   wider than believed, the packets arrive closer together, and the next feedback says so.
//!
//! `rtc`'s own estimator (`Gcc`) is not used: it is made for encoders that send what it says, and raises its target from
//! 300 kbit/s by 8 % a second. In the simulation of the tests it says 0.7 Mbit/s after 11 s of a 20 Mbit/s link, as it does of
//! one of 256 kbit/s; what is measured here is within 1 % of both after 300 ms.

mod loss;
mod path;
mod sent;

use std::time::{Duration, Instant};

use rtc::{
    interceptor::convert_twcc,
    rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, TransportLayerCc},
};

use self::{
    loss::Loss,
    path::{Anchor, Path},
    sent::Sent,
};
use super::PathState;

/// Latest that a picture's last byte (of a keyframe: its first) arrives, after what the path takes without a queue.
const BUDGET: Duration = Duration::from_millis(400);
/// How long packets queue on a path that is full, at most. Sound waits as long.
const QUEUE: Duration = Duration::from_millis(200);
/// A queue of [`QUEUE`] that does not become shorter for so long is no burst that passes.
const STANDING: i64 = 500_000;
/// A queue that will be longer than this, by what left and what the link serves, is believed before it is seen.
const FORESEEN: f64 = 600_000.0;
/// How much later than foreseen a picture may become that waits to leave: an estimate moves by that much.
const SLACK: f64 = 1.25;
/// A path that carried every picture for so long carries the stream.
const RECOVERED: Duration = Duration::from_secs(10);
/// How much faster than believed the link may turn out to be, while the queue is shorter than half of [`QUEUE`].
const PROBE: f64 = 1.5;
/// A queue of more than [`BUDGET`] that does not drain in so long, while next to nothing is sent, is none.
const LONG_ENOUGH: i64 = 1_000_000;
/// Next to nothing, in bits per second: sound, and the pauses between pictures.
const SOUND: f64 = 150_000.0;
/// What leaves before a viewer's first feedback: a keyframe of most cameras.
const INITIAL: usize = 128_000;
/// A viewer that has sent no feedback after so long sends none.
const SILENT: Duration = Duration::from_millis(500);
/// Assumed of a path that loses packets before any have queued, and the least that is believed, in bits per second: sound
/// needs as much.
const LEAST: f64 = 64_000.0;
/// Longest that a picture is spread over on a path that has room.
const SPREAD: Duration = Duration::from_millis(50);
/// Two packets: they show how far apart they arrive.
const QUANTUM: f64 = 2_400.0;
/// A viewer that reports on more packets at once than are remembered is wrong.
const MAX_REPORTED: u16 = 2_048;
/// Packets in a status vector, the last of which may be filled up.
const VECTOR: usize = 14;

/// The congestion control of one viewer.
#[derive(Debug)]
pub(super) struct Congestion {
    epoch: Instant,
    sent: Sent,
    sent_bytes: u64,
    path: Path,
    loss: Loss,
    /// Reference time of the newest feedback: as it came (24 bits of 64 ms) and without its wraps.
    reference: Option<(u32, i64)>,
    /// When a packet left that did not queue for long.
    short_queue: i64,
    state: State,
    /// When the last picture was left out, until the path carries everything again.
    left_out: Option<Instant>,
    /// How late pictures may be before the next keyframe, in microseconds.
    lateness: f64,
    /// When the first packet left.
    started: Option<Instant>,
    /// Since when a queue has not become shorter although no picture is sent.
    stuck: Option<Stuck>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No feedback has come.
    New,
    /// The path carries everything.
    Free,
    /// It does not; since when it carried every picture all the same.
    Full { carries: Option<Instant> },
}

#[derive(Clone, Copy, Debug)]
struct Stuck {
    since: i64,
    sent_bytes: u64,
    /// The first packet that left since then and arrived.
    first: Option<Anchor>,
}

impl Congestion {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            sent: Sent::default(),
            sent_bytes: 0,
            path: Path::default(),
            loss: Loss::default(),
            reference: None,
            short_queue: 0,
            state: State::New,
            left_out: None,
            lateness: BUDGET.as_micros() as f64,
            started: None,
            stuck: None,
        }
    }

    /// The transport-wide sequence number of a packet of `bytes` that leaves now.
    pub(super) fn number(&mut self, now: Instant, bytes: usize) -> u16 {
        self.sent_bytes += bytes as u64;
        self.started.get_or_insert(now);
        self.sent.number(self.micros(now), bytes)
    }

    /// What the viewer says of the packets that were sent to it.
    pub(super) fn on_feedback(&mut self, now: Instant, feedback: &TransportLayerCc) {
        if !is_plausible(feedback) {
            return;
        }
        let wall = self.micros(now);
        let epoch = self.unwrap(feedback.reference_time);
        let mut reports = convert_twcc(feedback);
        // The last chunk is filled up with packets that were not sent yet.
        reports.truncate(feedback.packet_status_count.into());
        for report in reports {
            let Some(packet) = self.sent.take(report.sequence_number) else { continue };
            if !report.arrived {
                self.loss.on_loss();
                continue;
            }
            self.loss.on_arrival(packet.bytes());
            let Some(arrival) = report.arrival else { continue };
            let departure = packet.departure(wall);
            self.path.on_arrival(departure, epoch + arrival.as_micros() as i64, packet.bytes());
            if self.queueing() < QUEUE {
                self.short_queue = self.short_queue.max(departure);
            }
        }
        self.path.settle();
        self.loss.settle(wall, self.queueing() >= QUEUE);
        self.judge(now);
    }

    /// What the path is known to carry, in bits per second.
    pub(super) fn estimate(&self) -> Option<f64> {
        let limit = self.loss.limit().into_iter();
        limit.chain(self.path.rate()).min_by(f64::total_cmp)
    }

    /// What the world may know.
    pub(super) fn state(&self) -> PathState {
        PathState { estimate_bps: self.estimate(), queueing: self.queueing(), leaves_out: self.leaves_out() }
    }

    /// How long the newest packet waited on the path, above what the path takes without a queue.
    pub(super) fn queueing(&self) -> Duration {
        let queueing = self.path.newest().map_or(0, |newest| newest.queueing);
        Duration::from_micros(queueing.try_into().unwrap_or(0))
    }

    /// Whether pictures are left out because the path cannot carry them all.
    pub(super) fn leaves_out(&self) -> bool {
        self.left_out.is_some()
    }

    /// Whether a picture of `bytes` is worth sending behind `backlog` bytes that wait to leave. After a `false` nothing is
    /// before the next keyframe.
    pub(super) fn admits(&mut self, now: Instant, bytes: usize, keyframe: bool, backlog: usize) -> bool {
        let Some(rate) = self.estimate().map(|rate| rate.max(LEAST)) else { return true };
        let time = |bytes: usize| bytes as f64 * 8e6 / rate;
        let wait = self.queue(now, rate) + time(backlog);
        let (latest, admitted) = if keyframe {
            let budget = BUDGET.as_micros() as f64;
            (budget.max(wait + time(bytes)), wait <= budget)
        } else {
            (self.lateness, wait + time(bytes) <= self.lateness)
        };
        let State::Full { carries } = &mut self.state else {
            self.lateness = latest;
            return true;
        };
        if admitted {
            carries.get_or_insert(now);
            self.lateness = latest;
        } else {
            self.left_out(now);
        }
        admitted
    }

    /// How many bytes of pictures that wait to leave are still worth sending.
    pub(super) fn room(&self, now: Instant) -> usize {
        if !matches!(self.state, State::Full { .. }) {
            return usize::MAX;
        }
        let rate = self.rate();
        ((self.lateness * SLACK - self.queue(now, rate)) * rate / 8e6).max(0.0) as usize
    }

    /// Pictures that wait to leave will not be sent.
    pub(super) fn left_out(&mut self, now: Instant) {
        self.left_out = Some(now);
        if let State::Full { carries } = &mut self.state {
            *carries = None;
        }
    }

    /// How many bytes of pictures, and of packets that were lost, may leave now.
    pub(super) fn allowance(&self, now: Instant) -> usize {
        match self.state {
            State::New if self.awaits_feedback(now) => INITIAL.saturating_sub(self.sent_bytes as usize),
            State::New | State::Free => usize::MAX,
            State::Full { .. } => {
                let (rate, spare) = (self.rate(), self.spare(now));
                if spare < quantum(rate) { 0 } else { (spare * rate / 8e6) as usize + 1 }
            }
        }
    }

    /// How fast a picture of `bytes` leaves, in bits per second: somewhat faster than the path carries it, and within
    /// [`SPREAD`].
    pub(super) fn pace(&self, bytes: usize) -> f64 {
        let within = bytes as f64 * 8.0 / SPREAD.as_secs_f64();
        self.estimate().map_or(f64::INFINITY, |rate| (rate * PROBE).max(within))
    }

    /// When [`allowance`](Self::allowance) is no longer zero.
    pub(super) fn next(&self, now: Instant) -> Instant {
        match self.state {
            State::New => self.started.map_or(now, |started| started + SILENT).max(now),
            State::Free => now,
            State::Full { .. } => {
                now + Duration::from_secs_f64((quantum(self.rate()) - self.spare(now)).max(0.0) / 1e6)
            }
        }
    }

    fn micros(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.epoch).as_micros() as i64
    }

    /// What is added to arrivals of a feedback with that reference time, in microseconds, so that they never wrap: it does
    /// every 12 days.
    fn unwrap(&mut self, reference: u32) -> i64 {
        let (before, unwrapped) = self.reference.unwrap_or_else(|| (reference, reference.into()));
        // The shorter way round; a viewer's feedback may overtake an older one.
        let step = (reference.wrapping_sub(before) << 8) as i32 >> 8;
        let unwrapped = unwrapped + i64::from(step);
        self.reference = Some((reference, unwrapped));
        (unwrapped - i64::from(reference)) * 64_000
    }

    fn awaits_feedback(&self, now: Instant) -> bool {
        self.started.is_none_or(|started| now < started + SILENT)
    }

    fn rate(&self) -> f64 {
        self.estimate().unwrap_or(LEAST).max(LEAST)
    }

    fn gain(&self) -> f64 {
        // Where nothing queues the next packets would be lost for sure.
        let probes = self.loss.limit().is_none() && self.queueing() < QUEUE / 2;
        if probes { PROBE } else { 1.0 }
    }

    /// By how much the queue is shorter than [`QUEUE`], in microseconds; below zero where it is longer.
    fn spare(&self, now: Instant) -> f64 {
        QUEUE.as_micros() as f64 - self.queue(now, self.rate() * self.gain())
    }

    /// How long a packet would queue that left now, in microseconds, if the link serves `rate`.
    fn queue(&self, now: Instant, rate: f64) -> f64 {
        let (mut at, mut queue) =
            self.path.newest().map_or((0, 0.0), |newest| (newest.departure, newest.queueing as f64));
        let now = self.micros(now);
        for packet in self.sent.in_flight() {
            let departure = packet.departure(now);
            queue = (queue - (departure - at) as f64).max(0.0) + packet.bytes() as f64 * 8e6 / rate;
            at = departure;
        }
        (queue - (now - at) as f64).max(0.0)
    }

    fn judge(&mut self, now: Instant) {
        let Some(newest) = self.path.newest() else { return };
        match self.state {
            State::New | State::Free => {
                let stands = self.queueing() >= QUEUE && newest.departure - self.short_queue >= STANDING;
                let foreseen = self.path.rate().is_some_and(|rate| self.queue(now, rate) >= FORESEEN);
                let full = stands || foreseen || self.loss.limit().is_some();
                self.state = if full { State::Full { carries: Some(now) } } else { State::Free };
            }
            State::Full { carries } => {
                if carries.is_some_and(|since| now >= since + RECOVERED) && self.queueing() < QUEUE {
                    (self.state, self.left_out) = (State::Free, None);
                    self.loss.lift();
                }
                self.unstick(now, newest);
            }
        }
    }

    /// Finds out that the path has become longer: what looks like a queue stays although next to nothing is sent.
    fn unstick(&mut self, now: Instant, newest: Anchor) {
        let now = self.micros(now);
        let fresh = Stuck { since: now, sent_bytes: self.sent_bytes, first: None };
        let stuck = self.stuck.get_or_insert(fresh);
        if newest.departure < stuck.since {
            return;
        }
        let (first, sent_bytes) = (*stuck.first.get_or_insert(newest), stuck.sent_bytes);
        let (time, drained) = (newest.departure - first.departure, first.queueing - newest.queueing);
        if self.queueing() <= BUDGET {
            self.stuck = None;
        } else if time >= LONG_ENOUGH {
            let sent = (self.sent_bytes - sent_bytes) as f64 * 8e6 / time as f64;
            if drained < time / 4 && sent < SOUND {
                self.path.lengthen();
                (self.state, self.left_out) = (State::Free, None);
            }
            self.stuck = None;
        }
    }
}

/// Whether it is about as many packets as it says: a run of thousands costs the viewer two bytes and us a list.
fn is_plausible(feedback: &TransportLayerCc) -> bool {
    let length = |chunk: &PacketStatusChunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => usize::from(run.run_length),
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.len(),
    };
    let (claimed, listed) = (feedback.packet_status_count, feedback.packet_chunks.iter().map(length).sum::<usize>());
    claimed <= MAX_REPORTED && listed < usize::from(claimed) + VECTOR
}

/// How long two packets take, but never more than half of [`QUEUE`]: on the slowest link one has to do.
fn quantum(rate: f64) -> f64 {
    (QUANTUM * 8e6 / rate).min(QUEUE.as_micros() as f64 / 2.0)
}

#[cfg(test)]
mod tests;
