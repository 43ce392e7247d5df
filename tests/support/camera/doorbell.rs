//! A camera with a loudspeaker: GStreamer's ONVIF server, which shows its way back only to who asks for it (ONVIF Streaming
//! Specification section 5.3), and writes down what it hears.

use std::{
    fs,
    path::PathBuf,
    thread::{self, JoinHandle},
};

use gstreamer as gst;
use gstreamer::{glib, prelude::*};
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;

use super::auth::{self, Credentials, Scheme};

const PICTURE: &str = "( videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=15/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 config-interval=1 )";
/// Samples per second of what is heard.
pub const HZ: f64 = 8_000.0;

/// What its loudspeaker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loudspeaker {
    Pcmu,
    Pcma,
    /// LC, 8 kHz.
    Aac,
    /// There is none.
    None,
}

/// A camera at a door. Dropping it ends it.
pub struct Doorbell {
    port: u16,
    user: Option<(String, String)>,
    heard: PathBuf,
    _folder: tempfile::TempDir,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
}

impl Doorbell {
    pub fn start(loudspeaker: Loudspeaker) -> Self {
        Self::with_login(loudspeaker, None)
    }

    /// It wants to be told a name and a password.
    pub fn with_login(loudspeaker: Loudspeaker, login: Option<(&str, &str)>) -> Self {
        gst::init().expect("GStreamer");
        let folder = tempfile::tempdir().expect("a folder");
        let heard = folder.path().join("heard");
        let server = gst_rtsp_server::RTSPOnvifServer::new().upcast::<gst_rtsp_server::RTSPServer>();
        server.set_address("127.0.0.1");
        server.set_service("0");
        let factory = gst_rtsp_server::RTSPOnvifMediaFactory::new();
        factory.set_launch(PICTURE);
        let ear = |encoding: &str, payload_type: u8, decoder: &str| {
            format!(
                "( capsfilter name=depay_backchannel \
                 caps=\"application/x-rtp, media=audio, payload={payload_type}, clock-rate=8000, encoding-name={encoding}\" \
                 ! {decoder} ! audioconvert ! audio/x-raw,format=S16LE,channels=1 \
                 ! filesink location={} buffer-mode=unbuffered sync=false async=false )",
                heard.display(),
            )
        };
        // 1588: AAC-LC, 8 kHz, one channel (ISO/IEC 14496-3 section 1.6.2.1).
        let aac = "MPEG4-GENERIC, mode=(string)AAC-hbr, config=(string)1588, sizelength=(string)13, \
             indexlength=(string)3, indexdeltalength=(string)3, streamtype=(string)5, profile-level-id=(string)15";
        let launch = match loudspeaker {
            Loudspeaker::Pcmu => Some(ear("PCMU", 0, "rtppcmudepay ! mulawdec")),
            Loudspeaker::Pcma => Some(ear("PCMA", 8, "rtppcmadepay ! alawdec")),
            Loudspeaker::Aac => Some(ear(aac, 97, "rtpmp4gdepay ! avdec_aac")),
            Loudspeaker::None => None,
        };
        if launch.is_some() {
            factory.set_backchannel_launch(launch.as_deref());
        }
        let factory = factory.upcast::<gst_rtsp_server::RTSPMediaFactory>();
        factory.set_media_gtype(gst_rtsp_server::RTSPOnvifMedia::static_type());
        if let Some((user, password)) = login {
            let credentials =
                Credentials { user: user.to_owned(), password: password.to_owned(), scheme: Scheme::DigestMd5 };
            auth::install(&credentials, &server, &factory);
        }
        let mounts = gst_rtsp_server::RTSPMountPoints::new();
        mounts.add_factory("/door", factory);
        server.set_mount_points(Some(&mounts));
        let context = glib::MainContext::new();
        let _source = server.attach(Some(&context)).expect("a port");
        let port = u16::try_from(server.bound_port()).expect("a bound port");
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let running = main_loop.clone();
        let run = move || {
            // Lives as long as its thread.
            let _server = server;
            running.context().with_thread_default(|| running.run()).expect("nobody else runs this context");
        };
        let thread = thread::Builder::new().name("doorbell".into()).spawn(run).expect("a thread");
        let user = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Self { port, user, heard, _folder: folder, main_loop, thread: Some(thread) }
    }

    /// Its `[[camera]]`.
    pub fn toml(&self, name: &str) -> String {
        let login =
            self.user.as_ref().map(|(user, password)| format!("username = \"{user}\"\npassword = \"{password}\"\n"));
        let url = format!("rtsp://127.0.0.1:{}/door", self.port);
        format!("[[camera]]\nname = \"{name}\"\nurl = \"{url}\"\n{}", login.unwrap_or_default())
    }

    /// The samples that it has heard, in all.
    pub fn heard(&self) -> Vec<i16> {
        let bytes = fs::read(&self.heard).unwrap_or_default();
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The frequency of a tone in hertz, by how often it crosses zero upwards.
pub fn frequency(samples: &[i16], hz: f64) -> f64 {
    let crossings = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    crossings as f64 * hz / samples.len().max(1) as f64
}
