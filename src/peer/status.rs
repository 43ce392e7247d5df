//! What the world may know of a session: shared between its worker, which writes, and the API, which reads.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{limits::Visitor, transport::Remote};
use tokio::sync::watch;

use crate::{
    media::{CameraName, Reason},
    stats::Counter,
};

/// 128 random bits from the system's generator, so that nobody can guess another's session (WHEP section 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The first digits only: whoever knows the whole may end the session.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if plain { u128::from_str_radix(text, 16).map(Self).map_err(|_| ()) } else { Err(()) }
    }
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Answered; nothing has arrived from the viewer.
    New,
    /// The viewer's connectivity checks arrive.
    Connecting,
    /// Media flows.
    Connected,
    /// Over.
    Closed,
}

impl Phase {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
        }
    }
}

/// What a viewer can do about the end of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Start over: it will be served.
    Reconnect,
    /// Nothing, or what it wanted to do.
    Final,
}

/// A page that says more often how late its picture is would count for many.
const SAID_OFTEN_ENOUGH: Duration = Duration::from_secs(1);

/// What a viewer's reports on arrivals say of the way to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PathState {
    /// What its narrowest link carries, in bits per second, once packets have queued at it.
    pub estimate_bps: Option<f64>,
    /// How long the newest packet waited on it.
    pub queueing: Duration,
    /// Whether pictures are left out because it cannot carry them all.
    pub leaves_out: bool,
}

impl PathState {
    /// Why pictures are left out, of a camera that sends so many bits per second; `None` when none are.
    pub fn reason(&self, sends_bps: f64) -> Option<Reason> {
        let tenths = |bps: f64| (bps / 1e5).round() / 10.0;
        let sends = tenths(sends_bps);
        let carries = match self.estimate_bps.map(tenths).filter(|carries| *carries < sends) {
            Some(carries) => format!("carries {carries:.1} of the {sends:.1} Mbit/s that the camera sends"),
            None => "does not carry all that the camera sends".to_owned(),
        };
        let sentence = format!(
            "the viewer's network {carries}, so that pictures are left out: use a stream of the camera with a lower bit rate, or a \
             better network"
        );
        self.leaves_out.then(|| Reason::new("network-too-slow", sentence))
    }
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To be sent what a camera sends.
    Viewer,
    /// To be a camera.
    Publisher,
    /// To be heard where a camera is.
    Talker,
}

impl Role {
    /// Its name, in logs too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
            Self::Talker => "talker",
        }
    }
}

/// One session's state and counters.
#[derive(Debug)]
pub struct SessionStatus {
    /// Its id, the last part of its URL.
    pub id: SessionId,
    /// The camera it shows.
    pub camera: CameraName,
    /// What it is for.
    pub role: Role,
    /// Who it was opened for.
    pub(super) visitor: Visitor,
    /// When the offer was answered.
    pub since: SystemTime,
    phase: AtomicU8,
    remote: Mutex<Option<Remote>>,
    /// Datagrams and bytes sent to the viewer, everything included.
    pub packets_sent: Counter,
    /// See `packets_sent`.
    pub bytes_sent: Counter,
    /// RTP packets sent, retransmissions included.
    pub rtp_packets_sent: Counter,
    /// Packets that the viewer asked for again.
    pub nacks: Counter,
    /// Packets that were sent again.
    pub retransmissions: Counter,
    /// Keyframe requests (PLI and FIR).
    pub plis: Counter,
    /// Units that were not sent because the viewer had to skip to the next keyframe.
    pub skipped_units: Counter,
    /// Round trip in microseconds; `u32::MAX` while unknown.
    rtt_us: AtomicU32,
    /// Fraction lost of 65,536; `u32::MAX` while unknown.
    loss_65536: AtomicU32,
    path: Mutex<PathState>,
    awaits_keyframe: AtomicBool,
    /// How late the picture is on the viewer's screen, and when its page said so.
    screen_delay: Mutex<Option<(Duration, Instant)>>,
    ended: watch::Sender<Option<Ending>>,
}

impl SessionStatus {
    /// A viewer's.
    pub(super) fn new(id: SessionId, camera: CameraName, visitor: Visitor) -> Self {
        Self {
            id,
            role: Role::Viewer,
            camera,
            visitor,
            since: SystemTime::now(),
            phase: AtomicU8::new(Phase::New as u8),
            remote: Mutex::new(None),
            packets_sent: Counter::default(),
            bytes_sent: Counter::default(),
            rtp_packets_sent: Counter::default(),
            nacks: Counter::default(),
            retransmissions: Counter::default(),
            plis: Counter::default(),
            skipped_units: Counter::default(),
            rtt_us: AtomicU32::new(u32::MAX),
            loss_65536: AtomicU32::new(u32::MAX),
            path: Mutex::default(),
            awaits_keyframe: AtomicBool::new(false),
            screen_delay: Mutex::default(),
            ended: watch::Sender::new(None),
        }
    }

    /// The same, for something else.
    pub(super) fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// Whether it is a viewer's.
    pub(super) fn is_viewer(&self) -> bool {
        self.role == Role::Viewer
    }

    /// Counts RTP packets that are sent now, and their bytes.
    pub(super) fn note_media(&self, packets: usize, bytes: usize) {
        self.packets_sent.add(packets as u64);
        self.rtp_packets_sent.add(packets as u64);
        self.bytes_sent.add(bytes as u64);
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::New,
            1 => Phase::Connecting,
            2 => Phase::Connected,
            _ => Phase::Closed,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether it is over, to wait for it.
    pub fn ended(&self) -> watch::Receiver<Option<Ending>> {
        self.ended.subscribe()
    }

    pub(super) fn set_ended(&self, ending: Ending) {
        self.ended.send_replace(Some(ending));
    }

    /// Where media is sent.
    pub fn remote(&self) -> Option<Remote> {
        *self.remote.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn set_remote(&self, remote: Remote) {
        *self.remote.lock().unwrap_or_else(|e| e.into_inner()) = Some(remote);
    }

    /// The way to the viewer; nothing for a viewer that does not report on it.
    pub fn path(&self) -> PathState {
        *self.path.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether the viewer is sent no picture until the camera's next keyframe.
    pub fn awaits_keyframe(&self) -> bool {
        self.awaits_keyframe.load(Ordering::Relaxed)
    }

    pub(super) fn set_awaits_keyframe(&self, awaits: bool) {
        self.awaits_keyframe.store(awaits, Ordering::Relaxed);
    }

    pub(super) fn set_path(&self, path: PathState) {
        *self.path.lock().unwrap_or_else(|e| e.into_inner()) = path;
    }

    /// From a picture's capture to the viewer's screen, as its page measured it last.
    pub fn screen_delay(&self) -> Option<Duration> {
        self.screen_delay.lock().unwrap_or_else(|e| e.into_inner()).map(|(delay, _)| delay)
    }

    /// Notes what the viewer's page measured, unless it said something within a second. Returns whether it
    /// counts.
    pub fn set_screen_delay(&self, delay: Duration, now: Instant) -> bool {
        let mut said = self.screen_delay.lock().unwrap_or_else(|e| e.into_inner());
        let counts = said.is_none_or(|(_, at)| now.saturating_duration_since(at) >= SAID_OFTEN_ENOUGH);
        if counts {
            *said = Some((delay, now));
        }
        counts
    }

    /// Time to the viewer and back, from its last reception report.
    pub fn rtt(&self) -> Option<Duration> {
        let micros = self.rtt_us.load(Ordering::Relaxed);
        (micros != u32::MAX).then(|| Duration::from_micros(micros.into()))
    }

    pub(super) fn set_rtt(&self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX - 1);
        self.rtt_us.store(micros, Ordering::Relaxed);
    }

    /// Fraction of packets lost on the way, from its last reception report: 0 to 1.
    pub fn loss(&self) -> Option<f64> {
        let loss = self.loss_65536.load(Ordering::Relaxed);
        (loss != u32::MAX).then(|| f64::from(loss) / 65_536.0)
    }

    pub(super) fn set_loss(&self, fraction: f32) {
        self.loss_65536.store((fraction.clamp(0.0, 1.0) * 65_536.0) as u32, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_network_is_told_with_what_it_carries_where_that_is_less() {
        let path = |estimate_bps, leaves_out| PathState { estimate_bps, leaves_out, ..PathState::default() };
        let told = |path: PathState| path.reason(3.26e6).map(|reason| reason.sentence);
        assert_eq!(told(path(Some(1e6), false)), None);
        assert!(told(path(Some(1.04e6), true)).is_some_and(|told| told.contains("carries 1.0 of the 3.3 Mbit/s")));
        for estimate in [None, Some(3.3e6)] {
            assert!(told(path(estimate, true)).is_some_and(|told| told.contains("does not carry all")));
        }
    }

    #[test]
    fn one_page_does_not_count_for_many() {
        let status = SessionStatus::new(SessionId::random(), "front".parse().expect("a name"), Visitor::here());
        let now = Instant::now();
        let says = |milliseconds, at| status.set_screen_delay(Duration::from_millis(milliseconds), at);
        assert!(says(80, now) && !says(2_000, now + SAID_OFTEN_ENOUGH / 2));
        assert_eq!(status.screen_delay(), Some(Duration::from_millis(80)));
        assert!(says(90, now + SAID_OFTEN_ENOUGH));
    }

    #[test]
    fn ids_are_read_back_and_nothing_else_is() {
        let id = SessionId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "1", "+0000000000000000000000000000001", "0000000000000000000000000000000G"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
        assert_ne!(format!("{id:?}"), id.to_string());
    }
}
