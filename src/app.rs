//! Puts the parts together: build (open the ports), run, drain. The only file that sees every layer.

mod cameras;
mod files;
mod ports;
mod reload;
mod sharing;
mod threads;
mod vitals;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{runtime::Handle, time::timeout};
use tracing::{debug, info, warn};

use self::{
    cameras::Cameras,
    reload::{Reloader, Running},
};
pub use self::{
    reload::{Loaded, load},
    sharing::{Terms, end_share, list_shares, share},
    threads::check_threads,
};
use crate::{
    config::Config,
    http::{self, CertificateSource, Context, Reloads, Server},
    hub::Hub,
    log::Log,
    peer::{self, Peers},
    shutdown::Signals,
    source::{self, config::Input},
    systemd::{self, Sockets, Watch},
};

/// Descriptors for a full house: 400 viewers on TCP and 128 connections that may become some, 512 of HTTP with 256
/// WebSockets beside them, cameras and devices. Processes are given 1,024 by default.
const DESCRIPTORS: u64 = 8_192;

/// What is wrong with the pipelines of a configuration that is good otherwise: a file that cannot be read, a placeholder
/// without a value. One line each.
pub fn pipeline_faults(config: &Config) -> Vec<String> {
    let pipelines = config.cameras.iter().filter_map(|camera| match &camera.input {
        Input::Pipeline { file, with, .. } => Some((&camera.name, file, with)),
        Input::Rtsp { .. } | Input::Whip { .. } => None,
    });
    let faults = pipelines.filter_map(|(name, file, with)| Some((name, source::capture::check(file, with).err()?)));
    faults.map(|(name, fault)| format!("camera \"{name}\": {fault}")).collect()
}

/// A variable that the environment lacks and pipelines need, with its value. Also when no camera has one: the configuration may
/// change while the program runs, its environment cannot.
pub fn missing_variable() -> Option<(&'static str, &'static str)> {
    #[cfg(feature = "gstreamer")]
    {
        let (name, value) = source::capture::ENVIRONMENT;
        std::env::var_os(name).is_none().then_some((name, value))
    }
    #[cfg(not(feature = "gstreamer"))]
    None
}

/// What this machine would make of the pipelines of a configuration, in lines for a person: which encoder it has and why,
/// and what is missing to run each camera's. Opens no device, but takes seconds where an encoder hangs.
pub fn pipeline_report(config: &Config) -> Vec<String> {
    let pipelines: Vec<_> = config
        .cameras
        .iter()
        .filter_map(|camera| match &camera.input {
            Input::Pipeline { name, file, with, .. } => Some((&camera.name, name, file, with)),
            Input::Rtsp { .. } | Input::Whip { .. } => None,
        })
        .collect();
    let mut report = Vec::new();
    #[cfg(feature = "gstreamer")]
    if !pipelines.is_empty() {
        report.push(match source::capture::encoder() {
            Ok(encoder) => format!("H.264 encoder: {} ({})", encoder.name, encoder.reason),
            Err(error) => format!("H.264 encoder: {error}"),
        });
    }
    report.extend(pipelines.into_iter().map(|(camera, name, file, with)| {
        match source::capture::rehearse(name, file, with) {
            Ok(()) => format!("camera \"{camera}\": pipeline {name} can be built"),
            Err(error) => format!("camera \"{camera}\": {error}"),
        }
    }));
    report
}

/// Who would be answered, in lines for a person.
pub fn access_report(config: &Config) -> Vec<String> {
    let near = "without a [[user]] this machine and private networks are answered, without a password";
    let by_token = config.http.jwt.as_ref();
    let by_token = by_token.map(|jwt| format!("users of {}: what its tokens say ([http.jwt])", jwt.issuer));
    let by_service = config.http.forward.as_ref();
    let by_service = by_service.map(|_| "users of the service that [http.forward_auth] asks: watch".to_owned());
    let provider: Vec<_> = by_token.into_iter().chain(by_service).collect();
    match config.http.users.as_slice() {
        [] if !provider.is_empty() => provider,
        [] if config.http.allow_anonymous => {
            vec!["everybody is answered, from wherever, without a password".to_owned()]
        }
        [] => vec![near.to_owned()],
        users => {
            let warning = http::uneven_passwords(users.iter()).map(|warning| format!("warning: {warning}"));
            users.iter().map(|user| format!("user {user}")).chain(provider).chain(warning).collect()
        }
    }
}

/// The certificate that browsers would get, in lines for a person.
pub fn certificate_report(config: &Config) -> Vec<String> {
    match config.http.tls.as_ref().map(|tls| &tls.certificate) {
        Some(CertificateSource::Files(files)) => {
            http::certificate_report(files).unwrap_or_else(|why| vec![why.to_string()])
        }
        Some(CertificateSource::Acme(acme)) => {
            let (names, authority) = (acme.domains.join(", "), acme.directory.host_str().unwrap_or_default());
            vec![format!("certificate for {names}, by ACME from {authority}")]
        }
        None => Vec::new(),
    }
}

/// The addresses that viewers would be told of, in lines for a person. Asks name servers and STUN servers, nobody else.
///
/// # Errors
/// When the system has no sockets to ask with.
pub fn address_report(config: &Config) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(peer::survey(&config.peer))?)
}

/// The argon2id hash of a password, as `[[user]]` takes it.
///
/// # Errors
/// Why this is no password, as the end of a sentence.
pub fn hash_password(password: &str) -> Result<String, String> {
    http::hash_password(password)
}

/// A new token, and its hash as `[[user]]` takes it.
pub fn make_token() -> (String, String) {
    http::make_token()
}

/// Everything that is needed to run, with its ports open and nothing moving yet.
pub struct App {
    server: Server,
    context: Context,
    running: Running,
    reloader: Option<Reloader>,
}

impl App {
    /// Opens the ports, but for those in `sockets`, and makes the cameras. Must be called on the runtime that
    /// [`run`](Self::run) runs on.
    ///
    /// # Errors
    /// A port that cannot be opened, or a socket that is for none.
    pub fn build(config: Config, sockets: Sockets) -> anyhow::Result<Self> {
        raise_descriptor_limit();
        let start_deadline = config.http.start_deadline;
        let (pages, media) = ports::of(&config, sockets)?;
        let server = Server::bind(&config.http, pages)?;
        let workers = available_parallelism().map_or(1, usize::from);
        let peers = Peers::bind(config.peer.clone(), workers, media)?;
        let hub = Arc::new(Hub::default());
        let always_on = reload::always_on(&config);
        let reloads = Arc::new(Reloads::default());
        let cameras = Cameras::new(hub.clone());
        let context = Context { hub, peers, always_on, start_deadline, reloads: reloads.clone() };
        let running = Running { config, cameras, reloads, log: None };
        Ok(Self { server, context, running, reloader: None })
    }

    /// Takes up what the configuration at `path` says later: on SIGHUP, and when one of `files`, which it came from, changes.
    /// `log` is to hear of it.
    ///
    /// # Errors
    /// When the system refuses the handler of the signal, or a thread.
    pub fn reloading(mut self, path: &Path, files: BTreeSet<PathBuf>, log: Log) -> io::Result<Self> {
        self.running.log = Some(log);
        Ok(Self { reloader: Some(Reloader::new(path.to_owned(), files)?), ..self })
    }

    /// Serves until a signal, then drains within the grace period; a second signal cuts that short.
    ///
    /// # Errors
    /// When the HTTP port breaks while running.
    pub async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        info!("http listening on {}", self.server.url());
        self.server.announce();
        info!("webrtc listening on udp {} and on tcp, same port", self.context.peers.local_address());
        self.running.cameras.apply(self.running.config.cameras.clone());
        let (stop, sources) = self.running.cameras.sources();
        let (peers, seen) = (self.context.peers.clone(), self.context.clone());
        let mut serving = self.server.start(self.context.clone());
        let http_broken = serving.broken();
        let watch = Watch::start(Handle::current(), move || vitals::look(&seen)).context("no thread to watch by")?;
        systemd::ready();
        let keep_current = async {
            match self.reloader {
                Some(reloader) => self.running.keep_current(reloader, &mut serving, &self.context).await,
                None => std::future::pending().await,
            }
        };
        let broken = tokio::select! {
            signal = signals.next() => {
                info!(signal, "shutting down");
                Ok(())
            }
            () = http_broken => Err(anyhow::anyhow!("an internal error ended the HTTP server: please report it")),
            () = keep_current => Ok(()),
        };
        let grace = self.running.config.shutdown_grace;
        systemd::stopping();
        // What ends stands still.
        drop(watch);
        let drain = async {
            stop.cancel();
            sources.close();
            // Viewers first: their goodbye is sent while their cameras still tear down.
            let http = serving.stop();
            tokio::join!(http, async {
                peers.shutdown().await;
                sources.wait().await;
            });
        };
        tokio::select! {
            drained = timeout(grace, drain) => match drained {
                Ok(()) => info!("everything closed"),
                Err(_) => warn!(?grace, "the grace period is over; what is left is cut off"),
            },
            signal = signals.next() => warn!(signal, "second signal: ending at once"),
        }
        broken
    }
}

/// Lets this process have [`DESCRIPTORS`], or as many as the system allows it; it goes on with what it has otherwise.
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    // `None` is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => debug!(before = current, now = wanted, "raised the limit of open descriptors"),
        Err(error) => debug!(%error, limit = current, "cannot raise the limit of open descriptors"),
    }
}
