//! The command line: arguments, logging, exit codes. No logic.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use camgate::{
    app::{App, pipeline_faults, pipeline_report},
    config::{self, Config},
    shutdown::Signals,
};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// The configuration is wrong (EX_USAGE of sysexits.h).
const BAD_CONFIG: u8 = 64;
/// A port could not be opened, or something broke while running.
const FAILED: u8 = 1;
/// What is logged unless RUST_LOG says otherwise. Our dependencies report what viewers do wrong as warnings, which
/// would let any viewer fill the log.
const DEFAULT_LOG: &str = "error,camgate=info";

/// Camera gateway: watch RTSP cameras, webcams and GStreamer pipelines in a browser, over WebRTC.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file.
    #[arg(long, global = true, default_value = "config.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (what happens without a command, too).
    Run,
    /// Say what is wrong with the configuration, without starting anything.
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run(&arguments.config),
        Command::Check => check(&arguments.config),
    }
}

fn check(path: &Path) -> ExitCode {
    match load(path) {
        Ok(config) => {
            let cameras = config.cameras.len();
            let noun = if cameras == 1 { "camera" } else { "cameras" };
            // Nobody to tell is no failure.
            let _ = writeln!(stdout(), "{}: good, {cameras} {noun}", path.display());
            for line in pipeline_report(&config) {
                let _ = writeln!(stdout(), "{line}");
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn run(path: &Path) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    start_log();
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("{error:#}"), FAILED),
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let signals = Signals::listen()?;
        App::build(config)?.run(signals).await
    });
    // What has not ended by itself within the grace period is not waited for.
    runtime.shutdown_background();
    served
}

fn load(path: &Path) -> Result<Config, ExitCode> {
    let config = config::load(path).map_err(|faults| complain(&faults.to_string(), BAD_CONFIG))?;
    let faults = pipeline_faults(&config);
    if faults.is_empty() { Ok(config) } else { Err(complain(&faults.join("\n"), BAD_CONFIG)) }
}

fn complain(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(stderr(), "{message}");
    ExitCode::from(code)
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false)
        .init();
}
