//! What somebody says to the people before a camera, from the hub to the camera's loudspeaker or to one of this machine.
//!
//! In: what the camera's `hub::Talk` has of its speaker, Opus packets in order. Out: samples, to `rtsp::backchannel` or
//! `capture::loudspeaker`, for as long as somebody talks, at most for the limit. What comes too late is dropped and counted, so
//! that nobody is ever heard late. [`run`] is called by app, once per camera; the camera's picture goes on beside it.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

#[cfg(feature = "gstreamer")]
use super::capture::loudspeaker;
use super::{
    Config, Error,
    config::{self, Input, Loudspeaker},
    rtsp::backchannel::{Address, Backchannel},
};
use crate::{
    hub::{Camera, Item, Over, Packet, Published},
    media::{
        Kind, Reason,
        transcode::{Speech, SpeechDecoder},
    },
    panics::{Part, Whose, caught_task},
};

/// What has waited for longer than this is not said any more: the network stood still, or the camera did.
const LATE: Duration = Duration::from_millis(400);
/// After a panic, before somebody may talk again.
const PAUSE: Duration = Duration::from_secs(1);
/// A speaker who is connected is heard fifty times a second; one who is not any more has gone without a word.
const SILENCE: Duration = Duration::from_secs(5);
/// From the answer to the first sound: as long as a session may take to connect.
const FIRST_SOUND: Duration = Duration::from_secs(15);

/// Lets people talk to whoever is before the camera, as `settings` say, until `shutdown`.
pub async fn run(mut settings: watch::Receiver<Config>, camera: Arc<Camera>, shutdown: CancellationToken) {
    loop {
        let config = settings.borrow_and_update().clone();
        let ear = Ear::of(&config);
        camera.talk().open(config.talk.as_ref().map(|talk| talk.limit));
        let served = caught_task(Part::Camera, Whose::camera(camera.name()), async {
            match config.talk.as_ref().zip(ear) {
                Some((talk, ear)) => serve(&camera, &ear, talk.limit).await,
                None => pending().await,
            }
        });
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = another(&mut settings, &config) => {}
            _ = served => sleep(PAUSE).await,
        }
    }
    camera.talk().open(None);
}

/// Until the settings say something else of how the camera is talked to. Pending for ever once nobody can change them.
async fn another(settings: &mut watch::Receiver<Config>, before: &Config) {
    loop {
        if settings.changed().await.is_err() {
            pending::<()>().await;
        }
        let now = settings.borrow_and_update();
        if now.talk != before.talk || now.input != before.input {
            return;
        }
    }
}

/// Where sound goes to.
enum Ear {
    Camera(Address),
    Loudspeaker(config::Pipeline),
}

impl Ear {
    fn of(config: &Config) -> Option<Self> {
        match (&config.talk.as_ref()?.to, &config.input) {
            (Loudspeaker::Pipeline(pipeline), _) => Some(Self::Loudspeaker(pipeline.clone())),
            (Loudspeaker::Onvif, Input::Rtsp { url, credentials, .. }) => Some(Self::Camera(Address {
                camera: config.name.clone(),
                url: url.clone(),
                credentials: credentials.clone(),
            })),
            // The configuration refuses that.
            (Loudspeaker::Onvif, Input::Pipeline { .. } | Input::Whip { .. }) => None,
        }
    }

    async fn open(&self) -> Result<Mouth, Error> {
        match self {
            Self::Camera(address) => Ok(Mouth::Camera(Box::new(Backchannel::open(address).await?))),
            #[cfg(feature = "gstreamer")]
            Self::Loudspeaker(config::Pipeline { name, file, with, .. }) => {
                Ok(Mouth::Loudspeaker(loudspeaker::Loudspeaker::open(name, file, with).await?))
            }
            #[cfg(not(feature = "gstreamer"))]
            Self::Loudspeaker(config::Pipeline { name, .. }) => Err(Error::NoGstreamer { pipeline: name.clone() }),
        }
    }
}

/// What speaks there.
enum Mouth {
    Camera(Box<Backchannel>),
    #[cfg(feature = "gstreamer")]
    Loudspeaker(loudspeaker::Loudspeaker),
}

impl Mouth {
    fn hz(&self) -> u32 {
        match self {
            Self::Camera(camera) => camera.hz(),
            #[cfg(feature = "gstreamer")]
            Self::Loudspeaker(_) => loudspeaker::HZ,
        }
    }

    fn codec(&self) -> String {
        match self {
            Self::Camera(camera) => camera.codec(),
            #[cfg(feature = "gstreamer")]
            Self::Loudspeaker(_) => "raw".to_owned(),
        }
    }

    async fn say(&mut self, speech: &Speech) -> Result<(), Error> {
        match self {
            Self::Camera(camera) => camera.say(speech).await,
            #[cfg(feature = "gstreamer")]
            Self::Loudspeaker(loudspeaker) => {
                loudspeaker.say(&speech.samples);
                Ok(())
            }
        }
    }

    /// Why it speaks no more, once that is so. Nothing is lost when it is cancelled.
    async fn lost(&mut self) -> Error {
        match self {
            Self::Camera(camera) => camera.lost().await,
            #[cfg(feature = "gstreamer")]
            Self::Loudspeaker(loudspeaker) => loudspeaker.lost().await,
        }
    }

    async fn close(self) {
        match self {
            Self::Camera(camera) => camera.close().await,
            #[cfg(feature = "gstreamer")]
            Self::Loudspeaker(loudspeaker) => loudspeaker.close().await,
        }
    }
}

/// One speaker after the other.
async fn serve(camera: &Camera, ear: &Ear, limit: Duration) {
    let talk = camera.talk();
    loop {
        talk.intake().stirred().await;
        let Some(said) = talk.intake().read() else { continue };
        let held = talk.hold(said.user());
        converse(camera, ear, limit, &said).await;
        drop(held);
    }
}

async fn converse(camera: &Camera, ear: &Ear, limit: Duration, said: &Published) {
    let name = camera.name();
    let failed = |error: &Error| {
        camera.counters.talk.failures.add(1);
        warn!(camera = %name, code = error.code(), reason = %error, "it cannot be talked to");
    };
    let opened = ear.open().await;
    let mut mouth = match opened {
        Ok(mouth) => mouth,
        Err(error) => {
            failed(&error);
            said.judge(Err(Reason::new(error.code(), error.to_string())));
            return said.end(Over::Unheard);
        }
    };
    said.judge(Ok(()));
    camera.counters.talk.begun.add(1);
    info!(camera = %name, user = said.user(), codec = mouth.codec(), "somebody talks");
    match speak(camera, &mut mouth, limit, said).await {
        Ok(None) => {}
        Ok(Some(over)) => said.end(over),
        Err(error) => {
            failed(&error);
            said.end(Over::Unheard);
        }
    }
    mouth.close().await;
    info!(camera = %name, "nobody talks any more");
}

/// Until the speaker has gone, or has to stop.
async fn speak(camera: &Camera, mouth: &mut Mouth, limit: Duration, said: &Published) -> Result<Option<Over>, Error> {
    let mut decoder = SpeechDecoder::new(mouth.hz())
        .map_err(|error| Error::Protocol { step: super::Step::Media, reason: error.to_string() })?;
    let mut silent_at = Instant::now() + FIRST_SOUND;
    // The time that one may have begins with the first sound.
    let mut end = None;
    loop {
        let packet = tokio::select! {
            biased;
            () = sleep_until(end.unwrap_or(silent_at)), if end.is_some() => return Ok(Some(Over::TooLong)),
            () = sleep_until(silent_at) => return Ok(None),
            error = mouth.lost() => return Err(error),
            item = said.next() => match item {
                None => return Ok(None),
                Some(Item::Packet(packet)) if packet.kind == Kind::Audio => packet,
                Some(_) => continue,
            },
        };
        silent_at = Instant::now() + SILENCE;
        end.get_or_insert_with(|| Instant::now() + limit);
        let Packet { timestamp, received, payload, .. } = packet;
        if received.elapsed() > LATE {
            camera.counters.talk.late.add(1);
            continue;
        }
        if let Some(speech) = decoder.decode(&payload, timestamp) {
            mouth.say(&speech).await?;
        }
    }
}
