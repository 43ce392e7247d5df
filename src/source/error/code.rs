//! What names each error for programs: these stay as they are when a sentence is put better. docs/why.md lists them.

use super::{Error, Step};
use crate::source::capture::LaunchError;

impl Error {
    /// The cause, as one word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "name-not-found",
            Self::Refused { .. } => "camera-refuses-connections",
            Self::Unreachable { .. } | Self::Timeout { step: Step::Connect, .. } => "camera-unreachable",
            Self::NoDescriptors { .. } => "no-descriptors",
            Self::Timeout { step: Step::Start, .. } => "pipeline-hangs",
            Self::Timeout { .. } => "camera-does-not-answer",
            Self::Silent { .. } => "no-media",
            Self::NoKeyframe { .. } | Self::NoKeyframeFor { .. } => "no-keyframe",
            Self::NoParameterSets { .. } => "no-parameter-sets",
            Self::Stalled { .. } => "media-stopped",
            Self::BadCredentials { .. } => "wrong-password",
            Self::NoCredentials { .. } => "password-needed",
            Self::UnknownLogin { .. } => "unknown-login",
            Self::NotFound => "no-such-stream",
            Self::Transport { .. } | Self::UnclearTransport { .. } => "wrong-transport",
            Self::Codec { .. } => "unsupported-codec",
            Self::NoVideo { .. } => "no-video",
            Self::Full { .. } => "camera-full",
            Self::Status { .. } | Self::Moved { .. } => "camera-error",
            Self::Protocol { .. } => "camera-not-understood",
            Self::HungUp | Self::HungUpAt { .. } => "camera-hung-up",
            Self::Launch(LaunchError::Unreadable { .. }) => "pipeline-unreadable",
            Self::Launch(_) => "pipeline-unusable",
            Self::NoGstreamer { .. } => "no-gstreamer",
            Self::NoEncoder { .. } => "no-encoder",
            Self::Element { code, .. } | Self::Pipeline { code, .. } => code,
            Self::NotPublished { .. } => "nobody-publishes",
            Self::PublisherGone { .. } => "publisher-gone",
            Self::PublisherSilent { .. } => "publisher-silent",
            Self::PublisherUnreadable { .. } => "publisher-unreadable",
            Self::NoBackchannel => "no-backchannel",
            Self::BackchannelCodec { .. } => "backchannel-codec",
            Self::BackchannelTaken { .. } => "backchannel-taken",
            Self::EndOfStream { .. } => "pipeline-ended",
        }
    }
}
