//! Where somebody publishes to a camera: what a peer receives comes in here, and the camera's source takes it out.
//!
//! In: RTP payloads in order and sender reports, from one publisher at a time. Out: the same, to the camera's source, and
//! backwards that a keyframe is wanted. Refuses a second publisher, unless the configuration lets it take over or the first
//! is not heard any more. A source that does not read costs nothing; one that reads too slowly loses packets, which are counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{Notify, watch};

use crate::media::{Kind, NtpTime, Reason};

/// Packets that may wait for the source, which takes them as they come: a second of 60 Mbit/s. When it is full, what comes is
/// dropped and counted as lost.
const MAX_PACKETS: usize = 6_000;
/// The same in bytes.
const MAX_BYTES: usize = 8 << 20;
/// A publisher from whom neither media nor a report has come for so long makes room for another, whatever the configuration
/// says: a browser that was killed says no goodbye, and whoever starts it again should not be told that it publishes. Reports
/// come every 5 s at least (RFC 3550 section 6.2), and one that is still connecting has had time for it.
const UNHEARD: Duration = Duration::from_secs(8);

/// What becomes of a second publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It is refused.
    Refused,
    /// It takes the place of the first.
    Allowed,
}

/// Why somebody may not publish.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotTaken {
    /// The camera is no `source = "whip"`.
    #[error("this camera is not published to")]
    NotPublished,
    /// There is somebody already.
    #[error("somebody else publishes to this camera already")]
    Occupied,
}

/// Why a publisher has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Another one took its place.
    TakenOver,
    /// The camera is not published to any more.
    NotPublished,
    /// Who talks has had the time that one may have.
    TooLong,
    /// What was to be talked to does not take any more.
    Unheard,
}

/// What a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracks {
    /// H.264.
    pub video: bool,
    /// Opus.
    pub audio: bool,
}

/// Payload of one RTP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its track.
    pub kind: Kind,
    /// As the publisher counts.
    pub timestamp: u32,
    /// The last of its picture.
    pub marker: bool,
    /// Packets that are missing before it.
    pub lost: u32,
    /// When it arrived.
    pub received: Instant,
    /// Without header and padding.
    pub payload: Bytes,
}

/// Something that a publisher sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Media.
    Packet(Packet),
    /// What the publisher's clock showed at a media time (RFC 3550 section 6.4.1).
    Report {
        /// Its track.
        kind: Kind,
        /// The media time.
        timestamp: u32,
        /// The publisher's clock.
        clock: NtpTime,
        /// When it arrived.
        received: Instant,
    },
}

/// A camera's door for publishers.
#[derive(Debug, Default)]
pub struct Intake {
    desk: Mutex<Desk>,
    /// Told when there is something new for the source.
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Desk {
    /// `None`: nobody may publish.
    takeover: Option<Takeover>,
    line: Option<Arc<Line>>,
}

/// One publication, which both ends hold.
#[derive(Debug)]
struct Line {
    tracks: Tracks,
    /// The publisher's name, where there are users.
    user: Option<String>,
    /// What the source says of it, where it is asked before anything comes.
    verdict: watch::Sender<Option<Result<(), Reason>>>,
    queue: Mutex<Queue>,
    news: Arc<Notify>,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Whether the source takes what comes.
    is_read: bool,
    /// Whether there is something for a source that does not.
    stirred: bool,
    /// Packets of each track that were dropped since the last that was not.
    dropped: [u32; 2],
    keyframe_wanted: bool,
    heard: Instant,
    over: Option<Over>,
    /// The publisher has gone.
    ended: bool,
}

impl Intake {
    /// Whether publishers are taken, and what becomes of a second one. Without any, one that is there has to stop.
    pub fn open(&self, takeover: Option<Takeover>) {
        let mut desk = lock(&self.desk);
        desk.takeover = takeover;
        if takeover.is_none()
            && let Some(line) = desk.line.take()
        {
            line.end(Over::NotPublished);
        }
    }

    /// Takes the place of the publisher, until what is returned is dropped.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn publish(&self, tracks: Tracks, user: Option<String>, now: Instant) -> Result<Publication, NotTaken> {
        let mut desk = lock(&self.desk);
        let occupied = desk.check(now)?;
        let queue = Queue {
            items: VecDeque::new(),
            bytes: 0,
            is_read: false,
            stirred: true,
            dropped: [0; 2],
            keyframe_wanted: false,
            heard: now,
            over: None,
            ended: false,
        };
        let verdict = watch::Sender::new(None);
        let line = Arc::new(Line { tracks, user, verdict, queue: Mutex::new(queue), news: self.news.clone() });
        if let Some(before) = occupied {
            before.end(Over::TakenOver);
        }
        desk.line = Some(line.clone());
        self.news.notify_one();
        Ok(Publication(line))
    }

    /// Whether somebody could publish now.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn check(&self, now: Instant) -> Result<(), NotTaken> {
        lock(&self.desk).check(now).map(drop)
    }

    /// Whether somebody publishes.
    pub fn is_occupied(&self) -> bool {
        lock(&self.desk).line.as_ref().is_some_and(|line| line.is_alive())
    }

    /// What is published now, from now on.
    pub fn read(&self) -> Option<Published> {
        let line = lock(&self.desk).line.clone().filter(|line| line.is_alive())?;
        let mut queue = lock(&line.queue);
        (queue.is_read, queue.stirred) = (true, false);
        drop(queue);
        Some(Published(line))
    }

    /// Completes when there is something to [`read`](Self::read): somebody new, or something new of whom was read before.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn stirred(&self) {
        loop {
            let line = lock(&self.desk).line.clone();
            if line.is_some_and(|line| line.is_alive() && lock(&line.queue).stirred) {
                return;
            }
            self.news.notified().await;
        }
    }
}

impl Desk {
    /// Whom a new publisher would take the place of.
    fn check(&self, now: Instant) -> Result<Option<Arc<Line>>, NotTaken> {
        let takeover = self.takeover.ok_or(NotTaken::NotPublished)?;
        let line = self.line.clone().filter(|line| line.is_alive());
        let is_heard = |line: &Arc<Line>| now.saturating_duration_since(lock(&line.queue).heard) < UNHEARD;
        match (&line, takeover) {
            (Some(line), Takeover::Refused) if is_heard(line) => Err(NotTaken::Occupied),
            _ => Ok(line),
        }
    }
}

impl Line {
    fn is_alive(&self) -> bool {
        let queue = lock(&self.queue);
        queue.over.is_none() && !queue.ended
    }

    fn end(&self, over: Over) {
        lock(&self.queue).over = Some(over);
        self.news.notify_one();
    }
}

/// The publisher's end.
#[derive(Debug)]
pub struct Publication(Arc<Line>);

impl Publication {
    /// Hands something to the source. Never waits: where there is no room it is dropped. Returns whether it was taken, or was
    /// not wanted.
    pub fn push(&self, item: Item) -> bool {
        let mut queue = lock(&self.0.queue);
        if !queue.is_read {
            let is_news = !std::mem::replace(&mut queue.stirred, true);
            drop(queue);
            if is_news {
                self.0.news.notify_one();
            }
            return true;
        }
        let fits = queue.push(item);
        drop(queue);
        self.0.news.notify_one();
        fits
    }

    /// Notes that the publisher is there.
    pub fn heard(&self, now: Instant) {
        lock(&self.0.queue).heard = now;
    }

    /// Whether a keyframe was asked for since this was last asked.
    pub fn take_keyframe_request(&self) -> bool {
        std::mem::take(&mut lock(&self.0.queue).keyframe_wanted)
    }

    /// What the source says of it. Pending for ever where it says nothing.
    ///
    /// # Errors
    /// Why it does not take what would come.
    pub async fn verdict(&self) -> Result<(), Reason> {
        let mut told = self.0.verdict.subscribe();
        match told.wait_for(Option::is_some).await.map(|verdict| verdict.clone()) {
            Ok(Some(verdict)) => verdict,
            // The sender is in the line that is held here.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Why the publisher has to stop, once it has to.
    pub fn over(&self) -> Option<Over> {
        lock(&self.0.queue).over
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        lock(&self.0.queue).ended = true;
        self.0.news.notify_one();
    }
}

impl Queue {
    fn push(&mut self, mut item: Item) -> bool {
        if let Item::Packet(packet) = &mut item {
            let dropped = &mut self.dropped[usize::from(packet.kind == Kind::Audio)];
            if self.items.len() >= MAX_PACKETS || self.bytes + packet.payload.len() > MAX_BYTES {
                *dropped = dropped.saturating_add(1).saturating_add(packet.lost);
                return false;
            }
            packet.lost = packet.lost.saturating_add(std::mem::take(dropped));
            self.bytes += packet.payload.len();
        } else if self.items.len() >= MAX_PACKETS {
            return false;
        }
        self.items.push_back(item);
        true
    }
}

/// The source's end.
#[derive(Debug)]
pub struct Published(Arc<Line>);

impl Published {
    /// What is sent.
    pub fn tracks(&self) -> Tracks {
        self.0.tracks
    }

    /// The publisher's name, where there are users.
    pub fn user(&self) -> Option<&str> {
        self.0.user.as_deref()
    }

    /// Tells whoever waits for it whether what comes is taken.
    pub fn judge(&self, verdict: Result<(), Reason>) {
        self.0.verdict.send_replace(Some(verdict));
    }

    /// Has the publisher stop.
    pub fn end(&self, over: Over) {
        self.0.end(over);
    }

    /// The next thing that the publisher sent; `None` when it has gone, or is not to go on.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&self) -> Option<Item> {
        loop {
            {
                let mut queue = lock(&self.0.queue);
                if queue.over.is_some() {
                    return None;
                }
                if let Some(item) = queue.items.pop_front() {
                    if let Item::Packet(packet) = &item {
                        queue.bytes -= packet.payload.len();
                    }
                    return Some(item);
                }
                if queue.ended {
                    return None;
                }
            }
            self.0.news.notified().await;
        }
    }

    /// Asks the publisher for a keyframe.
    pub fn request_keyframe(&self) {
        lock(&self.0.queue).keyframe_wanted = true;
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        (queue.is_read, queue.bytes, queue.dropped) = (false, 0, [0; 2]);
        queue.items.clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one is held; if something did, what is in it is still usable.
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Tracks = Tracks { video: true, audio: true };

    fn packet(kind: Kind, size: usize) -> Item {
        let payload = vec![0; size].into();
        Item::Packet(Packet { kind, timestamp: 0, marker: true, lost: 0, received: Instant::now(), payload })
    }

    fn open(takeover: Takeover) -> Intake {
        let intake = Intake::default();
        intake.open(Some(takeover));
        intake
    }

    fn lost(item: Option<Item>) -> Option<u32> {
        match item {
            Some(Item::Packet(packet)) => Some(packet.lost),
            _ => None,
        }
    }

    #[tokio::test]
    async fn there_is_one_publisher_at_a_time() {
        let now = Instant::now();
        assert_eq!(Intake::default().publish(BOTH, None, now).err(), Some(NotTaken::NotPublished));
        let intake = open(Takeover::Refused);
        let first = intake.publish(BOTH, None, now).expect("the first");
        assert_eq!(intake.publish(BOTH, None, now).err(), Some(NotTaken::Occupied));
        assert_eq!(first.over(), None);
        drop(first);
        assert!(!intake.is_occupied() && intake.read().is_none());
        intake.publish(BOTH, None, now).expect("there is none any more");
    }

    #[tokio::test]
    async fn one_that_is_not_heard_makes_room() {
        let (intake, now) = (open(Takeover::Refused), Instant::now());
        let first = intake.publish(BOTH, None, now).expect("the first");
        first.heard(now + UNHEARD);
        assert_eq!(intake.check(now + UNHEARD), Err(NotTaken::Occupied));
        let _second = intake.publish(BOTH, None, now + 2 * UNHEARD).expect("nobody hears the first");
        assert_eq!(first.over(), Some(Over::TakenOver));
        drop(first);
        assert!(intake.is_occupied(), "by the second");
    }

    #[tokio::test]
    async fn who_takes_over_ends_the_other() {
        let (intake, now) = (open(Takeover::Allowed), Instant::now());
        let first = intake.publish(BOTH, None, now).expect("the first");
        let read = intake.read().expect("it is there");
        first.push(packet(Kind::Video, 1));
        let second = intake.publish(BOTH, None, now).expect("the second");
        assert_eq!((first.over(), second.over()), (Some(Over::TakenOver), None));
        assert_eq!(read.next().await, None, "nothing of the first any more");
        intake.open(None);
        assert_eq!(second.over(), Some(Over::NotPublished));
    }

    #[tokio::test]
    async fn what_finds_no_room_is_told_as_lost() {
        let intake = open(Takeover::Refused);
        let publication = intake.publish(BOTH, None, Instant::now()).expect("the first");
        assert!(publication.push(packet(Kind::Video, 1)), "nobody reads: nothing is kept, and nothing lost");
        let read = intake.read().expect("it is there");
        let taken = (0..MAX_PACKETS + 5).filter(|_| publication.push(packet(Kind::Video, 1))).count();
        assert_eq!(taken, MAX_PACKETS);
        assert!(!publication.push(packet(Kind::Audio, 1)));
        for _ in 0..MAX_PACKETS {
            assert_eq!(lost(read.next().await), Some(0));
        }
        assert!(publication.push(packet(Kind::Video, 1)) && publication.push(packet(Kind::Audio, 1)));
        assert_eq!((lost(read.next().await), lost(read.next().await)), (Some(5), Some(1)));
        assert!(publication.push(packet(Kind::Video, MAX_BYTES)) && !publication.push(packet(Kind::Video, 1)));
    }

    #[tokio::test]
    async fn a_source_that_has_given_up_is_told_when_something_comes() {
        let intake = open(Takeover::Refused);
        let publication = intake.publish(BOTH, None, Instant::now()).expect("the first");
        intake.stirred().await;
        drop(intake.read());
        let waiting = async {
            intake.stirred().await;
            true
        };
        tokio::select! {
            biased;
            _ = waiting => panic!("nothing has come"),
            () = tokio::task::yield_now() => {}
        }
        publication.push(packet(Kind::Audio, 1));
        intake.stirred().await;
        let read = intake.read().expect("it is there");
        read.request_keyframe();
        assert!(publication.take_keyframe_request() && !publication.take_keyframe_request());
        drop(publication);
        assert_eq!(read.next().await, None);
    }
}
