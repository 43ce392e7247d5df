//! What arrives on one track, counted and timed: loss, jitter, gaps, frames, keyframes.
//!
//! Rates leave out the beginning: a gateway may send all pictures since the last keyframe at once, on a timeline that is
//! squeezed to end now. What follows goes by the media's own clock (RTP timestamps), which the network cannot bend.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::picture::{Glimpse, VideoCodec};

/// Frame intervals that the usual one is taken from, as W3C webrtc-stats' `freezeCount` does.
const USUAL_OF: usize = 30;
/// Rates are of what comes after this, from the first packet on.
const SETTLES_IN: Duration = Duration::from_secs(1);
/// How much longer than usual an interval must be to be a gap, by the same definition.
const GAP: Duration = Duration::from_millis(150);

/// What of an RTP packet is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) at: Instant,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    pub(super) payload: &'a [u8],
}

/// The measurements of one track.
#[derive(Debug)]
pub(super) struct Track {
    /// The encoding name of `a=rtpmap`.
    pub(super) codec: String,
    pub(super) fmtp: String,
    pub(super) channels: u16,
    pub(super) clock_rate: u32,
    video: Option<VideoCodec>,
    pub(super) packets: u64,
    /// Of payload.
    pub(super) bytes: u64,
    /// Packets that came after one with a higher number: reordered on the way, or sent again.
    pub(super) late: u64,
    pub(super) first_packet_at: Option<Instant>,
    pub(super) first_keyframe_at: Option<Instant>,
    pub(super) size: Option<(u32, u32)>,
    pub(super) profile_level_id: Option<[u8; 3]>,
    pub(super) keyframes: u64,
    pub(super) frames: u64,
    /// Complete frames that came after the first keyframe was whole.
    pub(super) frames_after_keyframe: u64,
    pub(super) gaps: u64,
    pub(super) longest_gap: Duration,
    numbers: Option<Numbers>,
    lost_before: u64,
    jitter: Jitter,
    span: Option<Span>,
    last_frame: Option<(u32, Instant)>,
    intervals: VecDeque<Duration>,
    assembling: Option<Assembly>,
    last_keyframe: Option<(u32, u64)>,
    gops: u64,
    gop_frames: u64,
    settled: Option<Settled>,
    /// The newest frame is still arriving, so that rates end before it.
    bytes_before_frame: u64,
}

/// What there was before the frame that came when the beginning was over.
#[derive(Clone, Copy, Debug)]
struct Settled {
    ticks: i64,
    frames: u64,
    bytes: u64,
}

/// Sequence numbers of one SSRC (RFC 3550 appendix A.3).
#[derive(Debug)]
struct Numbers {
    ssrc: u32,
    first: i64,
    highest: i64,
    received: i64,
}

/// Interarrival jitter (RFC 3550 appendix A.8), in clock ticks.
#[derive(Debug, Default)]
struct Jitter {
    last: Option<(Instant, u32)>,
    ticks: f64,
}

/// From the first to the newest timestamp, without wraps.
#[derive(Debug)]
struct Span {
    newest: u32,
    ticks: i64,
}

/// The first keyframe while it arrives; it is whole when no number between its ends is missing.
#[derive(Debug)]
struct Assembly {
    timestamp: u32,
    first: u16,
    last: Option<u16>,
    packets: u16,
}

impl Track {
    pub(super) fn new(is_video: bool, codec: &str, fmtp: &str, clock_rate: u32, channels: u16) -> Self {
        Self {
            codec: codec.to_owned(),
            fmtp: fmtp.to_owned(),
            channels,
            clock_rate: clock_rate.max(1),
            video: VideoCodec::named(codec).filter(|_| is_video),
            packets: 0,
            bytes: 0,
            late: 0,
            first_packet_at: None,
            first_keyframe_at: None,
            size: None,
            profile_level_id: None,
            keyframes: 0,
            frames: 0,
            frames_after_keyframe: 0,
            gaps: 0,
            longest_gap: Duration::ZERO,
            numbers: None,
            lost_before: 0,
            jitter: Jitter::default(),
            span: None,
            last_frame: None,
            intervals: VecDeque::with_capacity(USUAL_OF),
            assembling: None,
            last_keyframe: None,
            gops: 0,
            gop_frames: 0,
            settled: None,
            bytes_before_frame: 0,
        }
    }

    /// Whether keyframes of this codec can be told.
    pub(super) fn tells_keyframes(&self) -> bool {
        self.video.is_some()
    }

    pub(super) fn record(&mut self, packet: Packet<'_>) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        self.first_packet_at.get_or_insert(packet.at);
        if self.count(packet) {
            self.late += 1;
        } else {
            self.jitter.update(packet, self.clock_rate);
        }
        let glimpse = self.video.map(|codec| codec.glimpse(packet.payload)).unwrap_or_default();
        self.size = glimpse.size.or(self.size);
        self.profile_level_id = glimpse.profile_level_id.or(self.profile_level_id);
        self.assemble(packet, &glimpse);
        self.advance(packet, &glimpse);
    }

    /// Whether the packet is late.
    fn count(&mut self, packet: Packet<'_>) -> bool {
        match &mut self.numbers {
            Some(numbers) if numbers.ssrc == packet.ssrc => {
                let step = packet.sequence.wrapping_sub(numbers.highest as u16) as i16;
                let number = numbers.highest + i64::from(step);
                numbers.received += 1;
                numbers.first = numbers.first.min(number);
                numbers.highest = numbers.highest.max(number);
                step < 0
            }
            numbers => {
                if let Some(before) = numbers {
                    self.lost_before += before.lost();
                    // Its timeline is a new one.
                    self.last_keyframe = None;
                    self.jitter.last = None;
                    if let Some(span) = &mut self.span {
                        span.newest = packet.timestamp;
                    }
                }
                // Away from 0, so that no number gets negative.
                let first = (1 << 16) + i64::from(packet.sequence);
                *numbers = Some(Numbers { ssrc: packet.ssrc, first, highest: first, received: 1 });
                false
            }
        }
    }

    /// Follows the first keyframe until it is whole.
    fn assemble(&mut self, packet: Packet<'_>, glimpse: &Glimpse) {
        if self.first_keyframe_at.is_some() {
            return;
        }
        let of_it = self.assembling.as_ref().is_some_and(|assembly| assembly.timestamp == packet.timestamp);
        if !of_it && glimpse.keyframe {
            let Packet { timestamp, sequence: first, .. } = packet;
            self.assembling = Some(Assembly { timestamp, first, last: None, packets: 0 });
        }
        let Some(assembly) = self.assembling.as_mut().filter(|assembly| assembly.timestamp == packet.timestamp) else {
            return;
        };
        assembly.packets += 1;
        if (packet.sequence.wrapping_sub(assembly.first) as i16) < 0 {
            assembly.first = packet.sequence;
        }
        if packet.marker {
            assembly.last = Some(packet.sequence);
        }
        if assembly.last.is_some_and(|last| last.wrapping_sub(assembly.first).wrapping_add(1) == assembly.packets) {
            self.first_keyframe_at = Some(packet.at);
        }
    }

    /// Frames, keyframes and the gaps between frames, by packets that continue the timeline.
    fn advance(&mut self, packet: Packet<'_>, glimpse: &Glimpse) {
        let span = self.span.get_or_insert(Span { newest: packet.timestamp, ticks: 0 });
        let ahead = packet.timestamp.wrapping_sub(span.newest) as i32;
        let newer = ahead > 0;
        if newer {
            span.ticks += i64::from(ahead);
            span.newest = packet.timestamp;
        }
        let new_frame = newer || self.last_frame.is_none();
        if new_frame {
            self.bytes_before_frame = self.bytes - packet.payload.len() as u64;
            let begin = self.first_packet_at.unwrap_or(packet.at);
            if self.settled.is_none() && packet.at.saturating_duration_since(begin) >= SETTLES_IN {
                let (ticks, frames) = (span.ticks, self.frames);
                self.settled = Some(Settled { ticks, frames, bytes: self.bytes_before_frame });
            }
            self.frames += 1;
            let before = self.last_frame.replace((packet.timestamp, packet.at));
            if let Some((_, before)) = before {
                self.interval(packet.at.saturating_duration_since(before));
            }
            if self.first_keyframe_at.is_some() {
                self.frames_after_keyframe += 1;
            }
        }
        let known = self.last_keyframe.is_some_and(|(timestamp, _)| timestamp == packet.timestamp);
        if glimpse.keyframe && !known && (new_frame || ahead == 0) {
            self.keyframes += 1;
            if let Some((_, number)) = self.last_keyframe {
                self.gops += 1;
                self.gop_frames += self.frames - number;
            }
            self.last_keyframe = Some((packet.timestamp, self.frames));
        }
    }

    fn interval(&mut self, interval: Duration) {
        self.longest_gap = self.longest_gap.max(interval);
        if !self.intervals.is_empty() {
            let usual = self.intervals.iter().sum::<Duration>() / self.intervals.len() as u32;
            self.gaps += u64::from(interval > (usual * 3).max(usual + GAP));
        }
        if self.intervals.len() == USUAL_OF {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
    }

    /// Packets that never came, between the first and the newest that did.
    pub(super) fn lost(&self) -> u64 {
        self.lost_before + self.numbers.as_ref().map_or(0, Numbers::lost)
    }

    pub(super) fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter.ticks / f64::from(self.clock_rate))
    }

    /// Seconds, frames and bytes since the beginning was over.
    fn since_settled(&self) -> Option<(f64, u64, u64)> {
        let settled = self.settled?;
        let ticks = self.span.as_ref()?.ticks - settled.ticks;
        let seconds = ticks as f64 / f64::from(self.clock_rate);
        (ticks > 0).then_some((seconds, self.frames - 1 - settled.frames, self.bytes_before_frame - settled.bytes))
    }

    /// Frames per second; none in the first second.
    pub(super) fn rate(&self) -> Option<f64> {
        self.since_settled().map(|(seconds, frames, _)| frames as f64 / seconds)
    }

    /// Bits of payload per second; none in the first second.
    pub(super) fn bitrate(&self) -> Option<f64> {
        self.since_settled().map(|(seconds, _, bytes)| bytes as f64 * 8.0 / seconds)
    }

    /// Mean number of frames from one keyframe to the next; none before the second keyframe.
    pub(super) fn gop(&self) -> Option<f64> {
        (self.gops > 0).then(|| self.gop_frames as f64 / self.gops as f64)
    }
}

impl Numbers {
    fn lost(&self) -> u64 {
        // A packet that came twice must not make the count negative.
        u64::try_from(self.highest - self.first + 1 - self.received).unwrap_or(0)
    }
}

impl Jitter {
    fn update(&mut self, packet: Packet<'_>, clock_rate: u32) {
        if let Some((at, timestamp)) = self.last {
            let arrival = packet.at.saturating_duration_since(at).as_secs_f64() * f64::from(clock_rate);
            let media = f64::from(packet.timestamp.wrapping_sub(timestamp) as i32);
            self.ticks += ((arrival - media).abs() - self.ticks) / 16.0;
        }
        self.last = Some((packet.at, packet.timestamp));
    }
}

#[cfg(test)]
mod tests;
