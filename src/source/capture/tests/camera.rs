//! A camera that speaks what plain RTSP does not: GStreamer's RTSP server with TLS, SRTP and a password.

use std::{sync::mpsc, thread::JoinHandle};

use gstreamer_rtsp::{RTSPAuthMethod, RTSPProfile};
use gstreamer_rtsp_server::{
    RTSPAuth, RTSPMediaFactory, RTSPServer, RTSPToken,
    gio::{self, TlsCertificate},
    glib::{MainContext, MainLoop},
    prelude::*,
};

/// Its certificate, which it signed itself, and its key.
const CERTIFICATE: &str = include_str!("certificate.pem");
/// What `openssl x509 -fingerprint -sha256` says about it.
pub(super) const FINGERPRINT: &str =
    "84:F1:A8:8B:13:D1:04:29:2C:5E:FE:25:12:D9:C1:31:21:FF:65:30:3F:3B:F4:A1:2A:F4:F3:2C:7E:7B:EC:28";

/// What it encodes to: small, with a keyframe every half second.
const VIDEO: &str = "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=20/1 \
                     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96";

/// What is special about it.
#[derive(Clone, Default)]
pub(super) struct Plan {
    /// Encoder and payloader of its sound.
    pub(super) audio: Option<&'static str>,
    pub(super) tls: bool,
    pub(super) srtp: bool,
    /// User name and password.
    pub(super) user: Option<(&'static str, &'static str)>,
}

pub(super) struct Camera {
    pub(super) port: i32,
    main_loop: MainLoop,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    pub(super) fn start(plan: Plan) -> Self {
        gstreamer::init().unwrap();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let context = MainContext::new();
            let main_loop = MainLoop::new(Some(&context), false);
            let server = serve(&plan);
            let source = server.create_source(gio::Cancellable::NONE).unwrap();
            source.attach(Some(&context));
            ready.send((server.bound_port(), main_loop.clone())).unwrap();
            main_loop.run();
            source.destroy();
        });
        let (port, main_loop) = started.recv().unwrap();
        Self { port, main_loop, thread: Some(thread) }
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/cam", self.port)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.main_loop.quit();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(plan: &Plan) -> RTSPServer {
    let server = RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service("0");
    let factory = RTSPMediaFactory::new();
    let audio = plan.audio.map_or_else(String::new, |audio| {
        format!(" audiotestsrc is-live=true samplesperbuffer=160 ! audioconvert ! audioresample ! {audio} name=pay1")
    });
    factory.set_launch(&format!("( {VIDEO}{audio} )"));
    factory.set_shared(true);
    if plan.srtp {
        factory.set_profiles(RTSPProfile::SAVP);
    }
    if plan.tls || plan.user.is_some() {
        let auth = RTSPAuth::new();
        if plan.tls {
            auth.set_tls_certificate(Some(&TlsCertificate::from_pem(CERTIFICATE).unwrap()));
        }
        let role = gstreamer::Structure::builder("user")
            .field("media.factory.access", true)
            .field("media.factory.construct", true)
            .build();
        factory.add_role_from_structure(&role);
        let mut token = RTSPToken::builder().field("media.factory.role", "user").build();
        match plan.user {
            Some((name, password)) => {
                auth.set_supported_methods(RTSPAuthMethod::Digest);
                auth.add_digest(name, password, &token);
            }
            None => auth.set_default_token(Some(&mut token)),
        }
        server.set_auth(Some(&auth));
    }
    server.mount_points().unwrap().add_factory("/cam", factory);
    server
}
