//! How the camera asks for a password.

use gstreamer as gst;
use gstreamer_rtsp as gst_rtsp;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;

const ROLE: &str = "viewer";
pub const REALM: &str = "camera";

/// The challenge a camera answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Basic,
    /// RFC 2069: no `qop`, no `algorithm`. What most cameras still do.
    DigestMd5,
    /// RFC 7616 with `algorithm=SHA-256` and `qop="auth"`, as current Axis firmware offers.
    DigestSha256,
    /// With an algorithm that nobody has defined.
    DigestUnknown,
}

impl Scheme {
    /// What `algorithm` of the challenge says, where [`Gate`](super::sha256::Gate) asks for the password.
    pub fn gate_algorithm(self) -> Option<&'static str> {
        match self {
            Self::Basic | Self::DigestMd5 => None,
            Self::DigestSha256 => Some("SHA-256"),
            Self::DigestUnknown => Some("SHA3-256"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Credentials {
    pub user: String,
    pub password: String,
    pub scheme: Scheme,
}

/// Makes `server` and `factory` refuse everyone else.
pub fn install(
    credentials: &Credentials,
    server: &gst_rtsp_server::RTSPServer,
    factory: &gst_rtsp_server::RTSPMediaFactory,
) {
    factory.add_role_from_structure(
        &gst::Structure::builder(ROLE)
            .field("media.factory.access", true)
            .field("media.factory.construct", true)
            .build(),
    );
    let token = gst_rtsp_server::RTSPToken::builder().field("media.factory.role", ROLE).build();
    let (user, password) = (&*credentials.user, &*credentials.password);
    match credentials.scheme {
        Scheme::Basic => {
            let auth = gst_rtsp_server::RTSPAuth::new();
            let basic = gst_rtsp_server::RTSPAuth::make_basic(user, password);
            auth.add_basic(&basic, &token);
            server.set_auth(Some(&auth));
        }
        Scheme::DigestMd5 => {
            let auth = gst_rtsp_server::RTSPAuth::new();
            auth.set_supported_methods(gst_rtsp::RTSPAuthMethod::Digest);
            auth.add_digest(user, password, &token);
            server.set_auth(Some(&auth));
        }
        // gst-rtsp-server knows MD5 only: `sha256::Gate` stands before it.
        Scheme::DigestSha256 | Scheme::DigestUnknown => {}
    }
}
