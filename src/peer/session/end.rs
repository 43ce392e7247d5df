//! How sessions end, and how the log says it.

use super::Session;
use crate::peer::{Ended, Ending, diagnosis};

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
    /// The camera was taken out of the configuration.
    CameraRemoved,
    /// The camera's sound changed to a codec that was not negotiated.
    FormatChanged,
    /// A fault of ours that this viewer provoked.
    Broken,
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
            Self::CameraRemoved => "camera_removed",
            Self::FormatChanged => "format_changed",
            Self::Broken => "internal_error",
            Self::Shutdown => "shutdown",
        }
    }

    /// For the log.
    pub(in crate::peer) fn reason(self) -> &'static str {
        match self {
            Self::ViewerLeft => "the viewer left",
            Self::ConsentLost => "the viewer is not heard any more",
            Self::NeverConnected => "no connection came about",
            Self::Deleted => "deleted",
            Self::CameraRemoved => "the camera was removed from the configuration",
            Self::FormatChanged => "the camera changed its audio codec",
            Self::Broken => "an internal error, see above: please report it",
            Self::Shutdown => "shutting down",
        }
    }
}

impl Session {
    /// What is to be known of it after `end`; `None` when the viewer ended what had worked.
    pub(in crate::peer) fn ended(&self, end: End) -> Option<Ended> {
        // Set with the first media only.
        let connected = self.remote.is_some();
        if connected && matches!(end, End::ViewerLeft | End::Deleted | End::Shutdown) {
            return None;
        }
        let ours = !matches!(end, End::NeverConnected | End::ViewerLeft | End::Deleted | End::ConsentLost);
        let detail = if connected || ours {
            let reason = end.reason();
            format!("{}{}.", reason[..1].to_uppercase(), &reason[1..])
        } else {
            let seen = diagnosis::Seen { handshake: self.handshake, ..self.ice.seen() };
            diagnosis::why(&seen, &self.offered, self.ice.told())
        };
        Some(Ended {
            camera: self.status.camera.clone(),
            connected,
            detail,
            gateway_candidates: diagnosis::gateway_candidates(&self.offered),
            viewer_candidates: diagnosis::viewer_candidates(self.ice.told()),
        })
    }
}
