//! How sessions end, and how the log says it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Media, Session};
use crate::{
    media::Reason,
    peer::{Ended, Ending, Role, diagnosis},
};

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peer) enum End {
    /// The viewer said goodbye (DTLS close_notify).
    ViewerLeft,
    /// The viewer is not heard any more (RFC 7675).
    ConsentLost,
    /// No connection came about.
    NeverConnected,
    /// DELETE.
    Deleted,
    /// Its viewer may not watch any more.
    Barred,
    /// The camera was taken out of the configuration.
    CameraRemoved,
    /// The camera's sound changed to a codec that was not negotiated.
    FormatChanged,
    /// A fault of ours that this viewer provoked.
    Broken,
    /// It opened data channels without end.
    TooManyChannels,
    /// Another publisher took its place.
    TakenOver,
    /// The camera is not published to, or talked to, any more.
    NotPublished,
    /// Who talks has had the time for it.
    TalkedLong,
    /// The camera, or its loudspeaker, does not take what is said any more.
    Unheard,
    /// The program ends.
    Shutdown,
}

impl End {
    /// What the viewer can do about it.
    pub(in crate::peer) fn ending(self) -> Ending {
        match self {
            Self::FormatChanged | Self::Broken => Ending::Reconnect,
            _ => Ending::Final,
        }
    }

    /// For `/metrics`.
    pub(in crate::peer) fn name(self) -> &'static str {
        match self {
            Self::ViewerLeft => "viewer_left",
            Self::ConsentLost => "consent_lost",
            Self::NeverConnected => "never_connected",
            Self::Deleted => "deleted",
            Self::Barred => "barred",
            Self::CameraRemoved => "camera_removed",
            Self::FormatChanged => "format_changed",
            Self::Broken => "internal_error",
            Self::TooManyChannels => "too_many_channels",
            Self::TakenOver => "taken_over",
            Self::NotPublished => "not_published",
            Self::TalkedLong => "talked_long",
            Self::Unheard => "unheard",
            Self::Shutdown => "shutdown",
        }
    }

    /// For the log, and for a viewer who asks.
    pub(in crate::peer) fn reason(self, role: Role) -> Reason {
        let (code, sentence) = match self {
            Self::ViewerLeft | Self::Deleted if role == Role::Publisher => ("publisher-left", "the publisher left"),
            Self::ConsentLost if role == Role::Publisher => (
                "publisher-silent",
                "the publisher is not heard any more: check its network, and that its browser may run in the background",
            ),
            Self::ViewerLeft | Self::Deleted if role == Role::Talker => ("talker-left", "the talker left"),
            Self::ConsentLost if role == Role::Talker => {
                ("talker-silent", "the talker is not heard any more: check its network, and talk again")
            }
            Self::NotPublished if role == Role::Talker => {
                ("talk-off", "the camera is not talked to any more, as its configuration says")
            }
            Self::TalkedLong => {
                ("talked-long", "nobody may talk for longer at a time (talk_limit_seconds): begin again to go on")
            }
            Self::Unheard => (
                "talk-interrupted",
                "the camera does not take what is said any more: talk again; if that does not help, the gateway's log says why",
            ),
            Self::ViewerLeft => ("viewer-left", "the viewer left"),
            Self::ConsentLost => (
                "viewer-silent",
                "the viewer is not heard any more: check its network, and that its browser may run in the background",
            ),
            Self::NeverConnected => ("never-connected", "no connection came about"),
            Self::Deleted => ("deleted", "the viewer ended the session"),
            Self::Barred => (
                "barred",
                "the login or link by which it was opened is over, or does not open this camera any more: log in again, or ask for \
                 a new link",
            ),
            Self::CameraRemoved => {
                ("camera-removed", "the camera was removed from the gateway's configuration: choose another one")
            }
            Self::FormatChanged => ("sound-changed", "the camera changed the codec of its sound: begin a new session"),
            Self::Broken => {
                ("internal-error", "an internal error of camgate ended the session: please report it with its log")
            }
            Self::TooManyChannels => (
                "too-many-channels",
                "the viewer opened one data channel after the other: a session has one, with the label camgate",
            ),
            Self::TakenOver => {
                ("taken-over", "somebody else publishes to this camera now: stop that before you publish again")
            }
            Self::NotPublished => (
                "not-published",
                "the camera is not published to any more, as its configuration says: publish to another one",
            ),
            Self::Shutdown => ("shutdown", "the gateway is shutting down: try again when it is back"),
        };
        Reason::new(code, sentence)
    }
}

/// Who leaves earlier than that without a connection has not tried.
const TRIED: Duration = Duration::from_secs(5);

impl Session {
    /// Whether its viewer had time to connect.
    pub(in crate::peer) fn has_tried(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.opened) >= TRIED
    }

    /// What is to be known of it after `end`; `None` when the viewer ended what had worked. `reaches` tells whether this machine
    /// has a route to an address.
    pub(in crate::peer) fn ended(&self, end: End, now: Instant, reaches: impl Fn(SocketAddr) -> bool) -> Option<Ended> {
        // Set with the first media only.
        let connected = self.remote.is_some();
        // A moment after it was connected every viewer still waits.
        let waits = matches!(&self.media, Media::Out(playback) if playback.awaits_first_keyframe());
        let waited = connected && waits;
        let note = waited.then(|| self.camera().keyframe_note(now)).flatten();
        if connected && matches!(end, End::ViewerLeft | End::Deleted | End::Shutdown) && note.is_none() {
            return None;
        }
        let ours = !matches!(end, End::NeverConnected | End::ViewerLeft | End::Deleted | End::ConsentLost);
        let left = matches!(end, End::ViewerLeft | End::Deleted);
        let reason = if let Some(note) = note.filter(|_| left) {
            note
        } else if connected || ours {
            end.reason(self.status.role)
        } else {
            let seen = diagnosis::Seen { handshake: self.handshake, ..self.ice.seen() };
            diagnosis::why(&seen, &self.offered, self.ice.told(), reaches)
        };
        Some(Ended {
            camera: self.status.camera.clone(),
            connected,
            reason,
            gateway_candidates: diagnosis::gateway_candidates(&self.offered),
            viewer_candidates: diagnosis::viewer_candidates(self.ice.told()),
        })
    }
}
