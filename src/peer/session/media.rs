//! The media of a session: it goes out to a viewer, or comes in from a publisher.

use std::{sync::Arc, time::Instant};

use super::{End, Playback, Session};
use crate::{
    hub::{Camera, Over, Publication, Viewing},
    peer::{Phase, Role, SessionStatus, engine::Blueprint, reception::Reception},
};

/// What a session is opened for.
pub(in crate::peer) enum Purpose {
    /// To be sent what the camera sends.
    View(Viewing),
    /// To be the camera, or to be heard where it is.
    Publish(Role, Arc<Camera>, Publication),
}

impl Purpose {
    /// The camera that is shown, or published to.
    pub(in crate::peer) fn camera(&self) -> &Arc<Camera> {
        match self {
            Self::View(viewing) => viewing.camera(),
            Self::Publish(_, camera, _) => camera,
        }
    }

    /// Of whoever opens it.
    pub(in crate::peer) fn role(&self) -> Role {
        match self {
            Self::View(_) => Role::Viewer,
            Self::Publish(role, ..) => *role,
        }
    }
}

/// Which way it goes.
pub(super) enum Media {
    /// To a viewer.
    Out(Box<Playback>),
    /// From a publisher.
    In(Box<Reception>),
}

impl Media {
    pub(super) fn new(
        purpose: Purpose,
        blueprint: &Blueprint,
        status: Arc<SessionStatus>,
        now: Instant,
    ) -> (Self, Option<Viewing>) {
        match purpose {
            Purpose::View(viewing) => (Self::Out(Box::new(Playback::new(blueprint, status, now))), Some(viewing)),
            Purpose::Publish(_, camera, publication) => {
                let (choice, ssrc) = (&blueprint.choice, blueprint.video_ssrc);
                let reception = Reception::new(choice, status, camera, publication, ssrc, now);
                (Self::In(Box::new(reception)), None)
            }
        }
    }

    /// That of a viewer.
    pub(super) fn playback(&mut self) -> Option<&mut Playback> {
        match self {
            Self::Out(playback) => Some(playback),
            Self::In(_) => None,
        }
    }

    pub(super) fn is_started(&self) -> bool {
        match self {
            Self::Out(playback) => playback.is_started(),
            Self::In(reception) => reception.is_started(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Out(playback) => playback.poll_timeout(),
            Self::In(reception) => reception.poll_timeout(),
        }
    }
}

impl Session {
    /// RTP that came.
    pub(super) fn on_media(&mut self, datagram: &[u8], now: Instant) {
        if let Media::In(reception) = &mut self.media {
            reception.on_rtp(datagram, now);
            self.say(now);
        }
    }

    /// What is to be received is given up, or is to be told of, when it is due.
    pub(super) fn receive_on_time(&mut self, now: Instant) {
        if let Media::In(reception) = &mut self.media {
            reception.on_timeout(now);
            self.say(now);
        }
    }

    /// Tells a publisher what there is to tell, and that it has to stop when it has to.
    pub(super) fn say(&mut self, now: Instant) {
        self.heed_intake();
        let Media::In(reception) = &mut self.media else { return };
        if self.end.is_some() || self.status.phase() != Phase::Connected {
            return;
        }
        for packets in reception.feedback(now) {
            self.stirred = true;
            self.connection.send_rtcp(now, packets);
        }
    }

    /// Ends a publisher's session that may not go on.
    pub(super) fn heed_intake(&mut self) {
        let Media::In(reception) = &self.media else { return };
        if self.end.is_none()
            && let Some(over) = reception.over()
        {
            self.close(match over {
                Over::TakenOver => End::TakenOver,
                Over::NotPublished => End::NotPublished,
                Over::TooLong => End::TalkedLong,
                Over::Unheard => End::Unheard,
            });
        }
    }
}
