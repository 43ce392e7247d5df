//! The RTSP side of the camera: a server on a thread with a GLib main context of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_rtsp as gst_rtsp;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;

use super::auth::{self, Credentials};
use super::feeder::{Controls, Feed};
use super::sha256::Gate;

/// Longest wait for the server's thread to do what it was asked. It does at most a pipeline's
/// start in between, which takes milliseconds.
const THREAD_DEADLINE: Duration = Duration::from_secs(10);

/// What the clients did, over all runs of the camera.
#[derive(Default)]
pub struct Counters {
    pub open: AtomicUsize,
    pub connections: AtomicUsize,
    pub describes: AtomicUsize,
    pub plays: AtomicUsize,
    pub teardowns: AtomicUsize,
    pub refusals: AtomicUsize,
    pub refusing: AtomicBool,
}

/// What the server serves.
#[derive(Clone)]
pub struct Plan {
    pub mount: String,
    pub launch: String,
    pub protocols: gst_rtsp::RTSPLowerTrans,
    pub credentials: Option<Credentials>,
    pub keyframe_on_play: bool,
    pub sender_reports: bool,
    /// Clients that may have a session; 0 is any number.
    pub max_sessions: u32,
    /// No packet leaves.
    pub sends_nothing: bool,
    pub audio_clock: Option<AudioClock>,
}

/// A sound card that is too fast: its media time is true time since `epoch` times `1 + ppm / 10^6`.
#[derive(Clone, Copy)]
pub struct AudioClock {
    pub ppm: i32,
    pub epoch: Instant,
}

/// A listening server. Dropping it closes every connection and frees the port.
pub struct Server {
    port: u16,
    server: gst_rtsp_server::RTSPServer,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thawed: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
    listener: Option<glib::Source>,
    gate: Option<Gate>,
    mount: String,
    factory: gst_rtsp_server::RTSPMediaFactory,
    count: Arc<Counters>,
}

/// What a DESCRIBE gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The stream.
    Stream,
    /// 404 Not Found.
    NotFound,
    /// 503 Service Unavailable.
    Unavailable,
}

impl Server {
    /// Listens on 127.0.0.1:`port`, or on a free port for 0.
    pub fn start(plan: &Plan, port: u16, controls: &Arc<Controls>, count: &Arc<Counters>) -> Self {
        gst::init().expect("GStreamer");
        let server = gst_rtsp_server::RTSPServer::new();
        server.set_address("127.0.0.1");
        let gated = plan.credentials.as_ref().filter(|credentials| credentials.scheme.gate_algorithm().is_some());
        let service = if gated.is_some() { 0 } else { port };
        server.set_service(&service.to_string());
        // Clients are served by our thread and not by the pool's, so that `run` can act on them
        // without a race. The media pipelines have threads of their own.
        let threads = gst_rtsp_server::RTSPThreadPool::new();
        threads.set_max_threads(0);
        server.set_thread_pool(Some(&threads));

        let factory = factory(plan, controls);
        if let Some(credentials) = &plan.credentials {
            auth::install(credentials, &server, &factory);
        }
        let mounts = gst_rtsp_server::RTSPMountPoints::new();
        mounts.add_factory(&plan.mount, factory.clone());
        server.set_mount_points(Some(&mounts));
        watch_clients(&server, count, plan.keyframe_on_play.then(|| controls.clone()));

        let context = glib::MainContext::new();
        let id = server
            .attach(Some(&context))
            .unwrap_or_else(|error| panic!("camera cannot listen on port {port}: {error}"));
        let listener = context.find_source_by_id(&id);
        let bound = u16::try_from(server.bound_port()).expect("a bound port");
        let gate = gated.map(|credentials| Gate::start(port, bound, credentials));
        // A client that vanished keeps its session until somebody looks.
        let sessions = server.session_pool().expect("a session pool");
        sessions.set_max_sessions(plan.max_sessions);
        let sweep = glib::timeout_source_new_seconds(1, None, glib::Priority::DEFAULT, move || {
            sessions.cleanup();
            glib::ControlFlow::Continue
        });
        sweep.attach(Some(&context));

        let main_loop = glib::MainLoop::new(Some(&context), false);
        let running = main_loop.clone();
        let thread = std::thread::Builder::new()
            .name("camera-rtsp".into())
            .spawn(move || {
                let context = running.context();
                context.with_thread_default(|| running.run()).expect("nobody else runs this context");
            })
            .expect("a thread for the camera");
        Self {
            port: gate.as_ref().map_or(bound, Gate::port),
            gate,
            mount: plan.mount.clone(),
            factory,
            count: count.clone(),
            server,
            context,
            main_loop,
            thawed: Arc::new((Mutex::new(true), Condvar::new())),
            thread: Some(thread),
            listener,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs `act` on the server's thread and waits for its result.
    fn run<T: Send + 'static>(&self, act: impl FnOnce(&gst_rtsp_server::RTSPServer) -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let server = self.server.clone();
        self.context.invoke(move || {
            let _ = done.send(act(&server));
        });
        result.recv_timeout(THREAD_DEADLINE).expect("the camera's RTSP thread answers")
    }

    /// Closes all connections; returns how many there were.
    pub fn hang_up(&self) -> usize {
        self.run(|server| {
            let mut closed = 0;
            server.client_filter(Some(&mut |_, _| {
                closed += 1;
                gst_rtsp_server::RTSPFilterResult::Remove
            }));
            closed
        })
    }

    /// Changes what DESCRIBE gets; who plays already is not touched.
    pub fn answer(&self, answer: Answer) {
        let (mount, factory) = (self.mount.clone(), self.factory.clone());
        self.count.refusing.store(answer != Answer::Stream, Ordering::SeqCst);
        self.run(move |server| {
            let mounts = server.mount_points().expect("mount points");
            mounts.remove_factory(&mount);
            match answer {
                Answer::Stream => mounts.add_factory(&mount, factory),
                Answer::NotFound => {}
                Answer::Unavailable => {
                    // 503 is what a media gets that cannot be prepared.
                    let broken = gst_rtsp_server::RTSPMediaFactory::new();
                    broken.set_launch("( filesrc location=/nonexistent ! rtph264pay name=pay0 )");
                    mounts.add_factory(&mount, broken);
                }
            }
        });
    }

    /// Makes the RTSP thread sleep: connections are accepted by the kernel and nobody answers.
    pub fn freeze(&self) {
        let thawed = self.thawed.clone();
        *thawed.0.lock().unwrap() = false;
        self.context.invoke(move || {
            let frozen = thawed.0.lock().unwrap();
            drop(thawed.1.wait_while(frozen, |thawed| !*thawed));
        });
    }

    pub fn thaw(&self) {
        *self.thawed.0.lock().unwrap() = true;
        self.thawed.1.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        self.gate = None;
        let (done, finished) = mpsc::channel();
        let (server, listener) = (self.server.clone(), self.listener.take());
        let main_loop = self.main_loop.clone();
        self.context.invoke(move || {
            if let Some(listener) = listener {
                listener.destroy();
            }
            server.client_filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
            if let Some(sessions) = server.session_pool() {
                sessions.filter(Some(&mut |_, _| gst_rtsp_server::RTSPFilterResult::Remove));
            }
            main_loop.quit();
            let _ = done.send(());
        });
        // A test that fails for another reason must not hang here.
        match finished.recv_timeout(THREAD_DEADLINE) {
            Ok(()) => drop(self.thread.take().map(JoinHandle::join)),
            Err(error) => eprintln!("camera: the RTSP thread does not stop ({error}); left behind"),
        }
    }
}

fn factory(plan: &Plan, controls: &Arc<Controls>) -> gst_rtsp_server::RTSPMediaFactory {
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(&plan.launch);
    factory.set_shared(true);
    factory.set_protocols(plan.protocols);
    let controls = controls.clone();
    let (sender_reports, audio_clock) = (plan.sender_reports && !plan.sends_nothing, plan.audio_clock);
    let sends_nothing = plan.sends_nothing;
    factory.connect_media_configure(move |_, media| {
        let bin = media.element().downcast::<gst::Bin>().expect("a bin");
        let source = |name: &str| bin.by_name(name)?.downcast::<gst_app::AppSrc>().ok();
        let video = source("video").expect("the video input");
        let feed = Feed::new(video, source("audio"));
        controls.feeds.lock().unwrap().push(feed);
        let stalled = controls.clone();
        media.connect_prepared(move |media| tamper_with_rtcp(media, &stalled, sender_reports, audio_clock));
        if sends_nothing {
            media.connect_prepared(swallow_media);
        }
    });
    factory
}

/// Lets no RTCP out while the camera is stalled (a dead camera sends no sender reports either) or sends none at all, and
/// makes those of a fast sound card true: the server believes that media time runs like its own.
fn tamper_with_rtcp(
    media: &gst_rtsp_server::RTSPMedia,
    controls: &Arc<Controls>,
    sender_reports: bool,
    audio_clock: Option<AudioClock>,
) {
    let Some(pipeline) = top(media) else { return };
    if audio_clock.is_some() {
        // The sinks would hold each packet back until its media time.
        pipeline.iterate_recurse().into_iter().flatten().for_each(|element| send_at_once(&element));
        pipeline.connect_deep_element_added(|_, _, element| send_at_once(element));
    }
    for session in rtp_bins(media) {
        for pad in session.src_pads() {
            if !pad.name().starts_with("send_rtcp_src") {
                continue;
            }
            let controls = controls.clone();
            let clock = audio_clock.filter(|_| pad.name() == "send_rtcp_src_1");
            let rate = media
                .stream(1)
                .and_then(|stream| u32::try_from(stream.caps()?.structure(0)?.get::<i32>("clock-rate").ok()?).ok());
            let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(what, move |_, info| {
                if controls.stalled.load(Ordering::Relaxed) || !sender_reports {
                    return gst::PadProbeReturn::Drop;
                }
                if let (Some(AudioClock { ppm, epoch }), Some(gst::PadProbeData::Buffer(buffer))) =
                    (clock, &mut info.data)
                {
                    let rate = f64::from(rate.expect("a clock rate in the caps of the sound"));
                    let ahead = epoch.elapsed().as_secs_f64() * f64::from(ppm) / 1e6 * rate;
                    let mut report = buffer.make_mut().map_writable().expect("a buffer in memory");
                    advance(&mut report, ahead as i64 as u32);
                }
                gst::PadProbeReturn::Ok
            });
        }
    }
}

/// Lets no packet of media out, not even the one that waits since the media was prepared.
fn swallow_media(media: &gst_rtsp_server::RTSPMedia) {
    for session in rtp_bins(media) {
        for pad in session.src_pads().into_iter().filter(|pad| pad.name().starts_with("send_rtp_src")) {
            let what = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
            pad.add_probe(what, |_, _| gst::PadProbeReturn::Drop);
        }
    }
}

fn top(media: &gst_rtsp_server::RTSPMedia) -> Option<gst::Bin> {
    let mut parent = media.element().parent();
    while let Some(next) = parent.as_ref().and_then(gst::Object::parent) {
        parent = Some(next);
    }
    parent.and_then(|top| top.downcast::<gst::Bin>().ok())
}

fn rtp_bins(media: &gst_rtsp_server::RTSPMedia) -> impl Iterator<Item = gst::Element> {
    let elements = top(media).into_iter().flat_map(|pipeline| pipeline.iterate_recurse().into_iter().flatten());
    elements.filter(|element| element.factory().is_some_and(|factory| factory.name() == "rtpbin"))
}

fn send_at_once(element: &gst::Element) {
    if element.find_property("sync").is_some() {
        element.set_property("sync", false);
    }
}

/// Moves the RTP timestamp of a sender report, which is the first packet of its compound (RFC 3550 section 6.4.1).
fn advance(compound: &mut [u8], ticks: u32) {
    const SENDER_REPORT: u8 = 200;
    if compound.get(1) == Some(&SENDER_REPORT)
        && let Some(field) = compound.get_mut(16..20)
    {
        let value = u32::from_be_bytes(field.try_into().expect("four bytes")).wrapping_add(ticks);
        field.copy_from_slice(&value.to_be_bytes());
    }
}

fn watch_clients(server: &gst_rtsp_server::RTSPServer, count: &Arc<Counters>, keyframe_on_play: Option<Arc<Controls>>) {
    let count = count.clone();
    server.connect_client_connected(move |_, client| {
        count.open.fetch_add(1, Ordering::SeqCst);
        count.connections.fetch_add(1, Ordering::SeqCst);
        let counted = AtomicBool::new(true);
        let closed = count.clone();
        client.connect_closed(move |_| {
            if counted.swap(false, Ordering::SeqCst) {
                closed.open.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let describes = count.clone();
        client.connect_describe_request(move |_, _| {
            describes.describes.fetch_add(1, Ordering::SeqCst);
        });
        let (plays, controls) = (count.clone(), keyframe_on_play.clone());
        client.connect_play_request(move |_, _| {
            plays.plays.fetch_add(1, Ordering::SeqCst);
            if let Some(controls) = &controls {
                controls.force_keyframe();
            }
        });
        let teardowns = count.clone();
        client.connect_teardown_request(move |_, _| {
            teardowns.teardowns.fetch_add(1, Ordering::SeqCst);
        });
        let refusals = count.clone();
        client.connect_pre_describe_request(move |_, _| {
            if refusals.refusing.load(Ordering::SeqCst) {
                refusals.refusals.fetch_add(1, Ordering::SeqCst);
            }
            // Never anything else: gst-rtsp-server 1.22 frees a message on its stack then.
            gst_rtsp::RTSPStatusCode::Ok
        });
    });
}
