//! `camgate probe` on the command line.

use std::{
    fs,
    io::{self, IsTerminal, Write, stderr, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use camgate::{
    config,
    probe::{self, Outcome, Probed, Target},
    shutdown::Signals,
    source::{
        self,
        config::{Audio, Credentials, GopLimits, Input, Secret, Start, Transport},
    },
};
use clap::{Args, ValueEnum};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::to_string;

use crate::{BAD_CONFIG, FAILED, complain, read_password};

/// The camera answers, but browsers do not show what it sends.
const NOT_PLAYABLE: u8 = 1;
/// There is nothing to show.
const NOTHING: u8 = 2;
/// The password where no file has it. Not an argument: all users of a machine see those.
pub(crate) const PASSWORD: &str = "CAMERA_PASSWORD";

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// The camera: rtsp://host/path, or its name in the configuration.
    #[arg(value_name = "URL or NAME")]
    camera: String,
    #[command(flatten)]
    login: Login,
    /// How RTP is to travel; without it TCP, or UDP where the camera refuses TCP.
    #[arg(long, value_enum)]
    transport: Option<Way>,
    /// How long to watch, from the first packet on.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How long to wait for a second keyframe, from the first packet on.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    patience: u64,
    /// What the camera is to be called in the entry that is printed.
    #[arg(long, default_value = "front", value_name = "NAME")]
    name: String,
    /// Print one JSON object instead; docs/probe.md explains it.
    #[arg(long)]
    json: bool,
    /// Also write a file for a bug report, without user names, passwords and addresses.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Who logs in to a camera.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The user of the camera.
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// A file with the password. The environment variable CAMERA_PASSWORD does the same; else it is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Tcp,
    Udp,
}

impl Login {
    /// User and password from the arguments, the environment or, where there is one, the terminal.
    pub(crate) fn credentials(&self) -> Result<Option<Credentials>, String> {
        let Some(username) = self.username.clone() else {
            return match self.password_file {
                Some(_) => Err("--password-file needs --username".to_owned()),
                None => Ok(None),
            };
        };
        let password = match &self.password_file {
            Some(file) => fs::read_to_string(file)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("--password-file {}: {error}", file.display()))?,
            None => match std::env::var(PASSWORD) {
                Ok(password) => password,
                Err(_) if stdin().is_terminal() => {
                    read_password().map_err(|error| format!("cannot read the password: {error}"))?
                }
                Err(_) => return Err(format!("--username needs --password-file or the variable {PASSWORD}")),
            },
        };
        Ok(Some(Credentials { username, password: Secret::new(password) }))
    }
}

/// Asks the person at the terminal, if there is one.
fn ask() -> io::Result<Option<Credentials>> {
    if !stdin().is_terminal() {
        return Ok(None);
    }
    write!(stderr(), "The camera asks for a user name and a password.\nUser name: ")?;
    let mut username = String::new();
    stdin().read_line(&mut username)?;
    let username = username.trim().to_owned();
    if username.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credentials { username, password: Secret::new(read_password()?) }))
}

pub(crate) fn probe(arguments: &Probe, config: &Path) -> ExitCode {
    let mut camera = match camera(arguments, config) {
        Ok(camera) => camera,
        Err(message) => return complain(&message, BAD_CONFIG),
    };
    camgate::log::start_quiet();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string(), FAILED),
    };
    let probed = runtime.block_on(look_and_ask(arguments, &mut camera));
    // Nobody waits for an answer at the terminal that will not be given.
    runtime.shutdown_background();
    let probed = match probed {
        Ok(Some(probed)) => probed,
        Ok(None) => return ExitCode::from(NOTHING),
        Err(error) => return complain(&error.to_string(), FAILED),
    };
    let Probed { report, bug_report, .. } = &probed;
    let text = if arguments.json { to_string(report).unwrap_or_default() + "\n" } else { report.to_string() };
    let _ = write!(stdout(), "{text}");
    if let Some(file) = &arguments.report
        && let Err(error) = fs::write(file, bug_report)
    {
        return complain(&format!("--report {}: {error}", file.display()), FAILED);
    }
    match report.outcome {
        Outcome::Playable => ExitCode::SUCCESS,
        Outcome::NotPlayable => ExitCode::from(NOT_PLAYABLE),
        Outcome::Failed => ExitCode::from(NOTHING),
    }
}

/// Looks at the camera, and again with the login that the person at the terminal gives if it asks for one. `None` when that was
/// interrupted.
async fn look_and_ask(arguments: &Probe, camera: &mut source::Config) -> io::Result<Option<Probed>> {
    let mut signals = Signals::listen()?;
    let probed = look(arguments, camera, &mut signals).await;
    if let (true, Input::Rtsp { credentials, .. }) = (probed.wants_credentials, &mut camera.input) {
        let shown = tcgetattr(stdin()).ok();
        let asked = tokio::select! {
            asked = tokio::task::spawn_blocking(ask) => asked,
            _ = signals.next() => {
                // A password may have been about to be typed, which the terminal does not show.
                if let Some(shown) = shown {
                    tcsetattr(stdin(), OptionalActions::Flush, &shown)?;
                }
                return Ok(None);
            }
        };
        if let Ok(Ok(Some(asked))) = asked {
            *credentials = Some(asked);
            return Ok(Some(look(arguments, camera, &mut signals).await));
        }
    }
    Ok(Some(probed))
}

async fn look(arguments: &Probe, camera: &source::Config, signals: &mut Signals) -> Probed {
    let options = probe::Options {
        watch: Duration::from_secs(arguments.seconds),
        patience: Duration::from_secs(arguments.patience),
        either_transport: arguments.transport.is_none(),
    };
    let stop = async {
        signals.next().await;
    };
    probe::probe(camera, &options, stop).await
}

/// The camera that is meant, with the arguments laid over what the configuration says of it.
fn camera(arguments: &Probe, config: &Path) -> Result<source::Config, String> {
    let given = arguments.login.credentials()?;
    let way = arguments.transport.map(|way| match way {
        Way::Tcp => Transport::Tcp,
        Way::Udp => Transport::Udp,
    });
    if !arguments.camera.contains("://") {
        let cameras = config::load(config).map_err(|faults| faults.to_string())?.cameras;
        let names = cameras.iter().map(|camera| camera.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = cameras.into_iter().find(|camera| camera.name.as_str() == arguments.camera);
        let file = config.display();
        let mut camera = found.ok_or_else(|| match &*names {
            "" => format!("{file} has no camera; give a URL: rtsp://host/path"),
            names => format!("{file} has no such camera, only {names}; or give a URL: rtsp://host/path"),
        })?;
        if let Input::Whip { .. } = camera.input {
            return Err(format!(
                "camera {} is published to (source = \"whip\"), so that there is nothing to go and look at: camgate play shows \
                 what its viewers get",
                camera.name
            ));
        }
        if let Input::Rtsp { credentials, transport, .. } = &mut camera.input {
            *credentials = given.or_else(|| credentials.take());
            *transport = way.unwrap_or(*transport);
        }
        return Ok(camera);
    }
    let Target { url, login } = Target::parse(&arguments.camera).map_err(|error| error.to_string())?;
    let mut credentials = given;
    if let Some((username, password)) = login {
        let _ = writeln!(
            stderr(),
            "warning: everybody on this machine sees arguments (ps), and your shell remembers them: give the URL without \
             user and password, and --username with --password-file"
        );
        credentials = credentials.or(Some(Credentials { username, password }));
    }
    Ok(source::Config {
        name: arguments.name.parse().map_err(|error| format!("--name: {error}"))?,
        input: Input::Rtsp { url, credentials, transport: way.unwrap_or(Transport::Tcp) },
        audio: Audio::Auto,
        audio_bitrate_bps: None,
        events: false,
        start: Start::OnDemand,
        linger: Duration::ZERO,
        gop: GopLimits { max_bytes: 0, max_age: Duration::ZERO },
        clip: None,
        talk: None,
    })
}
