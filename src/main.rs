//! The command line: arguments, logging, exit codes. No logic.

#[path = "main/discover.rs"]
mod discover;
#[path = "main/probe.rs"]
mod probe;

use std::{
    collections::BTreeSet,
    io::{self, Write, stderr, stdin, stdout},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::Duration,
};

use camgate::{
    app::{
        self, App, Terms, access_report, address_report, certificate_report, check_threads, end_share, hash_password,
        list_shares, make_token, missing_variable, pipeline_report, share,
    },
    config::{self, Config},
    log::{self, Log},
    panics::{self, Panicked, Part, Whose},
    play::{self, Token},
    shutdown::Signals,
    systemd::Sockets,
};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tracing::warn;
use url::Url;

/// The configuration is wrong (EX_USAGE of sysexits.h).
const BAD_CONFIG: u8 = 64;
/// A port could not be opened, or something broke while running.
const FAILED: u8 = 1;
/// The configuration file that is looked for here, and then where packages put it.
const CONFIG: [&str; 2] = ["config.toml", "/etc/camgate/config.toml"];

/// Camera gateway: watch RTSP cameras, webcams and GStreamer pipelines in a browser, over WebRTC.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file. Without this, config.toml here, or else /etc/camgate/config.toml.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (what happens without a command, too).
    Run,
    /// Say what is wrong with the configuration, without starting anything.
    Check,
    /// Read a password from standard input and print its hash, for password_hash of a [[user]].
    Password,
    /// Make a token for a program and print it, with its hash for token_hash of a [[user]].
    Token,
    /// Make a link that shows one camera, for a while, to whoever has it, and print it with a QR code.
    ///
    /// It works in a browser, in OBS and, by its token, in WHEP players, and opens nothing else. The gateway need not run.
    Share(Share),
    /// List the links that there are.
    Shares,
    /// End a link, and cut off whoever watches by it.
    Unshare {
        /// As `camgate shares` lists it.
        id: String,
    },
    /// Play a WHEP URL of any server without a screen: measure what arrives, name the step that fails.
    ///
    /// Measures the time to the answer, the connection, the first packet and the first keyframe; then loss, jitter, bitrate
    /// and gaps. The exit code is 0 only when a picture that moves arrived (or sound, where the server sends no picture).
    Play(Play),
    /// Look at a camera: what it offers, whether browsers can show it, and which of its settings to change where not.
    ///
    /// Measures what the camera sends, and prints the [[camera]] entry for the configuration. The exit code is 0 when browsers
    /// can show the picture, 1 when the camera answers but they cannot, 2 when there is nothing to show, 64 for a
    /// configuration or arguments that cannot be used.
    Probe(probe::Probe),
    /// Find the ONVIF cameras on the networks of this machine, and print their [[camera]] entries.
    ///
    /// Asks all by multicast (WS-Discovery), and whoever answers for its model, profiles and streams. A login is given only to
    /// cameras that do not tell without one. The exit code is 0 when a stream was found, 1 when none was or nobody could be
    /// asked, 64 for arguments that cannot be used.
    Discover(discover::Discover),
    /// Write the man pages and the completions of shells into a folder, for packages.
    #[command(hide = true)]
    Generate {
        /// It is made, with what is above it.
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Share {
    /// The camera.
    camera: String,
    /// How long the link lasts, such as 30min, 2h or 7days.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    lasts: Duration,
    /// How many may watch at one time; any number without it.
    #[arg(long, value_name = "COUNT")]
    viewers: Option<u32>,
    /// Let whoever has the link also be the camera, which takes one with source = "whip".
    #[arg(long)]
    publish: bool,
    /// What to remember it by, in `camgate shares`.
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
    /// What the link begins with, instead of [http] public_url: https://cam.example.org
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

#[derive(Debug, Args)]
struct Play {
    /// The WHEP endpoint, such as http://gateway:8080/whep/front.
    #[arg(value_parser = whep_url)]
    url: Url,
    /// How long to watch, from the first picture on.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// How long the first picture may take altogether, with the time that a server which is not ready asks to wait.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Print one JSON object instead of a table; docs/play.md explains it.
    #[arg(long)]
    json: bool,
    /// A file with a bearer token for the server. The environment variable WHEP_TOKEN does the same.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Accept any certificate of an https server, such as one that it signed itself.
    #[arg(long)]
    insecure: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config.unwrap_or_else(found_config);
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run(&config),
        Command::Check => check(&config),
        Command::Password => password(),
        Command::Token => token(),
        Command::Share(wish) => with_config(&config, |config| {
            let Share { camera, lasts, viewers, publish, note, url } = wish;
            share(config, &camera, &Terms { lasts, viewers, publish, note: &note, base: url.as_deref() })
        }),
        Command::Shares => with_config(&config, |config| Ok(list_shares(config).join("\n"))),
        Command::Unshare { id } => {
            with_config(&config, |config| end_share(config, &id).map(|()| "The link has ended.".to_owned()))
        }
        Command::Play(arguments) => play(&arguments),
        Command::Probe(wish) => probe::probe(&wish, &config),
        Command::Discover(wish) => discover::discover(&wish),
        Command::Generate { folder } => generate(&folder),
    }
}

/// The first of [`CONFIG`] that there is; where none is, the error is about the first.
fn found_config() -> PathBuf {
    let [here, packaged] = CONFIG.map(PathBuf::from);
    if !here.exists() && packaged.exists() { packaged } else { here }
}

fn generate(folder: &Path) -> ExitCode {
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut command = Arguments::command();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            clap_complete::generate_to(shell, &mut command, "camgate", folder)?;
        }
        // Another one, because completions are of `camgate help` too, of which there need be no pages.
        clap_mangen::generate_to(Arguments::command().disable_help_subcommand(true), folder)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("cannot write into {}: {error}", folder.display()), FAILED),
    }
}

/// Arguments are visible to everyone on the machine, so they hold no credentials.
fn whep_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("a WHEP endpoint begins with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong in a URL; use --token-file".to_owned());
    }
    Ok(url)
}

fn play(arguments: &Play) -> ExitCode {
    let token = match &arguments.token_file {
        Some(file) => match std::fs::read_to_string(file) {
            Ok(token) => Some(Token::new(&token)),
            Err(error) => return complain(&format!("--token-file {}: {error}", file.display()), BAD_CONFIG),
        },
        None => std::env::var("WHEP_TOKEN").ok().map(|token| Token::new(&token)),
    };
    log::start_quiet();
    let options = play::Options {
        url: arguments.url.clone(),
        watch: Duration::from_secs(arguments.seconds),
        patience: Duration::from_secs(arguments.timeout),
        token,
        insecure: arguments.insecure,
    };
    let played = tokio::runtime::Builder::new_multi_thread().enable_all().build().and_then(|runtime| {
        runtime.block_on(async {
            let mut signals = Signals::listen()?;
            let stop = async {
                signals.next().await;
            };
            Ok(play::play(&options, stop).await)
        })
    });
    let report = match played {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string(), FAILED),
    };
    let text = if arguments.json { serde_json::to_string(&report).unwrap_or_default() } else { report.to_string() };
    let _ = writeln!(stdout(), "{text}");
    if report.played { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn check(path: &Path) -> ExitCode {
    match load(path) {
        Ok((config, _)) => {
            let cameras = config.cameras.len();
            let noun = if cameras == 1 { "camera" } else { "cameras" };
            // Nobody to tell is no failure.
            let _ = writeln!(stdout(), "{}: good, {cameras} {noun}", path.display());
            let addresses = address_report(&config).unwrap_or_else(|error| vec![format!("{error:#}")]);
            for line in access_report(&config)
                .into_iter()
                .chain(certificate_report(&config))
                .chain(pipeline_report(&config))
                .chain(addresses)
            {
                let _ = writeln!(stdout(), "{line}");
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn run(path: &Path) -> ExitCode {
    let (config, files) = match load(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let not_started_over = missing_variable().map(|(name, value)| (name, start_over(name, value)));
    let log = Log::start(config.log);
    panics::tell_in_log();
    if let Some((name, error)) = not_started_over {
        warn!(%error, "cannot set {name}: a webcam that is plugged in again may come back as another /dev/videoN");
    }
    // It is in the log where it happened; a service manager starts the gateway again.
    let served = panics::caught(Part::Other, Whose::NOBODYS, || serve(config, path, files, log));
    log::flush();
    match served {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => complain(&format!("{error:#}"), FAILED),
        Err(panic @ Panicked) => complain(&panic.to_string(), FAILED),
    }
}

/// This program again, in its own place and under its own process id, with one more variable: a program that runs cannot
/// change its environment safely. Returns only when that fails.
fn start_over(name: &str, value: &str) -> io::Error {
    match std::env::current_exe() {
        Ok(program) => process::Command::new(program).args(std::env::args_os().skip(1)).env(name, value).exec(),
        Err(error) => error,
    }
}

fn serve(config: Config, path: &Path, files: BTreeSet<PathBuf>, log: Log) -> anyhow::Result<()> {
    check_threads()?;
    let sockets = Sockets::inherited()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let signals = Signals::listen()?;
        App::build(config, sockets)?.reloading(path, files, log)?.run(signals).await
    });
    // What has not ended by itself within the grace period is not waited for.
    runtime.shutdown_background();
    served
}

/// The configuration and the files that it came from.
fn load(path: &Path) -> Result<(Config, BTreeSet<PathBuf>), ExitCode> {
    let app::Loaded { config, files } = app::load(path);
    config.map(|config| (config, files)).map_err(|faults| complain(&faults.join("\n"), BAD_CONFIG))
}

fn password() -> ExitCode {
    let hash = read_password().map_err(|error| format!("cannot read the password: {error}"));
    match hash.and_then(|text| hash_password(&text).map_err(|why| format!("this is no good password: {why}"))) {
        Ok(hash) => {
            let _ = writeln!(stdout(), "{hash}");
            ExitCode::SUCCESS
        }
        Err(message) => complain(&message, FAILED),
    }
}

/// The first line of standard input, which a terminal does not show.
fn read_password() -> io::Result<String> {
    let shown = tcgetattr(stdin()).ok();
    if let Some(mut hidden) = shown.clone() {
        let _ = write!(stderr(), "Password: ");
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &hidden)?;
    }
    let mut line = String::new();
    let read = stdin().read_line(&mut line);
    if let Some(shown) = shown {
        let _ = writeln!(stderr());
        tcsetattr(stdin(), OptionalActions::Flush, &shown)?;
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Prints what becomes of the configuration.
fn with_config(path: &Path, work: impl FnOnce(&Config) -> anyhow::Result<String>) -> ExitCode {
    match config::load(path).map(|config| work(&config)) {
        Ok(Ok(text)) => {
            let end = if text.is_empty() { "" } else { "\n" };
            let _ = write!(stdout(), "{text}{end}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => complain(&format!("{error:#}"), FAILED),
        Err(faults) => complain(&faults.to_string(), BAD_CONFIG),
    }
}

fn token() -> ExitCode {
    let (token, hash) = make_token();
    let _ = writeln!(stdout(), "token = {token}\ntoken_hash = \"{hash}\"");
    ExitCode::SUCCESS
}

fn complain(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(stderr(), "{message}");
    ExitCode::from(code)
}
