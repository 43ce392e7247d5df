//! Sends the media of one session, in time.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Shared;
use super::faults::{End, POLL, Wire};
use super::packets::{Line, Packet};
use super::sdp;
use super::transport::Transport;

/// From one sender report to the next.
const REPORT_EACH: Duration = Duration::from_secs(1);
/// One packet of sound.
const SOUND_EACH: Duration = Duration::from_millis(20);
/// Seconds from 1900 to 1970 (RFC 5905 section 6).
const NTP_EPOCH: u64 = 2_208_988_800;
const VIDEO_HZ: u32 = 90_000;

/// The camera's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    None,
    /// G.711, a square wave of 500 Hz.
    Pcmu,
}

impl Sound {
    pub(super) fn is_some(self) -> bool {
        self != Self::None
    }

    pub(super) fn payload_type(self) -> u8 {
        0
    }

    pub(super) fn sdp(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Pcmu => sdp::PCMU,
        }
    }

    fn hz(self) -> u32 {
        8_000
    }

    fn payload(self) -> Vec<u8> {
        // Eight samples up, eight down.
        (0..160).map(|sample| if sample / 8 % 2 == 0 { 0xb0 } else { 0x30 }).collect()
    }
}

/// The moment at which a report is due.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// 0 is the picture, 1 the sound.
    pub track: usize,
    pub ssrc: u32,
    /// Reports sent on this track before it.
    pub count: u64,
    /// Since PLAY.
    pub elapsed: Duration,
    /// The true time, as 32.32 seconds since 1900.
    pub ntp: u64,
    /// The media's time now.
    pub rtp: u32,
}

/// Each session begins with another, as in cameras.
pub(super) fn first_timestamp(session: usize) -> u32 {
    0x1000_0000_u32.wrapping_mul(session as u32 + 1).wrapping_add(12_345)
}

fn ticks(elapsed: Duration, hz: u32) -> u32 {
    (elapsed.as_secs_f64() * f64::from(hz)).round() as u64 as u32
}

fn ntp_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    ((now.as_secs() + NTP_EPOCH) << 32) | (u64::from(now.subsec_nanos()) * (1 << 32) / 1_000_000_000)
}

/// One session.
pub(super) struct Pump {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Arc<Wire>,
    pub(super) stop: Arc<AtomicBool>,
    /// When the client asked something last.
    pub(super) heard: Arc<Mutex<Instant>>,
    pub(super) video: Option<(Transport, Line)>,
    pub(super) sound: Option<(Transport, Line)>,
}

impl Pump {
    pub(super) fn run(mut self) {
        // Whatever ends the connection ends this too.
        let _ = self.send_all();
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.wire.is_closed()
    }

    fn send_all(&mut self) -> io::Result<()> {
        let shared = self.shared.clone();
        let frame_each = Duration::from_secs(1) / shared.script.video.fps;
        // All sessions see the same picture at the same time, but for what a keyframe at once needs.
        let mut shown = shared.shown();
        if shared.script.keyframe_on_play {
            shown = shared.clip.keyframe_at(shown);
        }
        let base = [&self.video, &self.sound].map(|track| track.as_ref().map_or(0, |(_, line)| line.timestamp));
        let start = Instant::now();
        let (mut frames, mut sounds, mut reports) = (0_u32, 0_u32, 0_u32);
        loop {
            let due = [
                (frame_each * frames, self.video.is_some()),
                (SOUND_EACH * sounds, self.sound.is_some()),
                (REPORT_EACH * reports, true),
            ];
            let due = due.map(|(due, wanted)| if wanted { due } else { Duration::MAX });
            let at = *due.iter().min().expect("three");
            self.wait(start + at);
            if self.is_over() {
                return Ok(());
            }
            let patience = self.shared.script.session_limit;
            if patience.is_some_and(|limit| self.heard.lock().unwrap().elapsed() > limit) {
                self.wire.end(End::Close);
                return Ok(());
            }
            if at == due[2] {
                self.report(start.elapsed(), reports.into(), base)?;
                reports += 1;
            } else if at == due[0] {
                self.picture(at, shown + u64::from(frames), base[0])?;
                frames += 1;
            } else {
                self.sound(at, base[1])?;
                sounds += 1;
            }
        }
    }

    fn wait(&self, until: Instant) {
        while !self.is_over() {
            let stalled = self.shared.faults.stalled.load(Ordering::SeqCst);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && !stalled {
                return;
            }
            std::thread::sleep(if stalled { POLL } else { left.min(POLL) });
        }
    }

    fn picture(&mut self, at: Duration, frame: u64, base: u32) -> io::Result<()> {
        let Self { shared, video: Some((transport, line)), .. } = self else { return Ok(()) };
        line.timestamp = match &shared.script.timestamps {
            Some(tell) => tell(line.frame, at),
            None => base.wrapping_add(ticks(at, VIDEO_HZ)),
        };
        let packets = (shared.script.shape)(line, shared.clip.unit(frame));
        line.frame += 1;
        shared.faults.frames.fetch_add(1, Ordering::Relaxed);
        send(shared, transport, &packets)
    }

    fn sound(&mut self, at: Duration, base: u32) -> io::Result<()> {
        let Self { shared, sound: Some((transport, line)), .. } = self else { return Ok(()) };
        line.timestamp = base.wrapping_add(ticks(at, shared.script.sound.hz()));
        let packets = (shared.script.sound_shape)(line, &shared.script.sound.payload());
        line.frame += 1;
        send(shared, transport, &packets)
    }

    fn report(&mut self, elapsed: Duration, count: u64, base: [u32; 2]) -> io::Result<()> {
        if self.shared.faults.muted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let rates = [VIDEO_HZ, self.shared.script.sound.hz()];
        for (track, line) in [&self.video, &self.sound].into_iter().enumerate() {
            let Some((transport, line)) = line else { continue };
            let rtp = base[track].wrapping_add(ticks(elapsed, rates[track]));
            let now = Now { track, ssrc: line.ssrc, count, elapsed, ntp: ntp_now(), rtp };
            let report = (self.shared.script.reports)(&now);
            if !report.is_empty() {
                transport.report(&report)?;
            }
        }
        Ok(())
    }
}

fn send(shared: &Shared, transport: &Transport, packets: &[Packet]) -> io::Result<()> {
    if shared.faults.muted.load(Ordering::SeqCst) {
        return Ok(());
    }
    let mut passing = shared.faults.weather.lock().unwrap();
    let arriving: Vec<_> = packets.iter().flat_map(|packet| passing.pass(packet.bytes())).collect();
    drop(passing);
    transport.media(&arriving)
}
