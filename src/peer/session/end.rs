//! How sessions end, and how the log says it.

use crate::peer::Ending;

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

    /// For the log.
    pub(in crate::peer) fn reason(self) -> &'static str {
        match self {
            Self::ViewerLeft => "the viewer left",
            Self::ConsentLost => "the viewer is not heard any more",
            Self::NeverConnected => "no connection came about: is the WebRTC port open for UDP?",
            Self::Deleted => "deleted",
            Self::CameraRemoved => "the camera was removed",
            Self::FormatChanged => "the camera changed its audio codec",
            Self::Broken => "an internal error, see above: please report it",
            Self::Shutdown => "shutting down",
        }
    }
}
