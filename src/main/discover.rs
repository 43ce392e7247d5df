//! `camgate discover` on the command line.

use std::{
    io::{Write, stdout},
    process::ExitCode,
    time::Duration,
};

use camgate::discover::{self, Options};
use clap::Args;

use crate::{BAD_CONFIG, FAILED, complain, probe::Login};

/// Nobody answered, or nobody told a stream.
const NONE: u8 = 1;

#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// An interface to look on, such as eth0; may be given again. Without it, all that have an IPv4 address.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// How long to wait for answers.
    #[arg(long, default_value_t = 4, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    #[command(flatten)]
    login: Login,
}

pub(crate) fn discover(arguments: &Discover) -> ExitCode {
    let login = match arguments.login.credentials() {
        Ok(login) => login,
        Err(message) => return complain(&message, BAD_CONFIG),
    };
    camgate::log::start_quiet();
    let options =
        Options { interfaces: arguments.interface.clone(), wait: Duration::from_secs(arguments.seconds), login };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let found = match runtime.map(|runtime| runtime.block_on(discover::discover(&options))) {
        Ok(Ok(found)) => found,
        Ok(Err(error @ discover::Error::Interface { .. })) => return complain(&error.to_string(), BAD_CONFIG),
        Ok(Err(error)) => return complain(&error.to_string(), FAILED),
        Err(error) => return complain(&error.to_string(), FAILED),
    };
    if found.is_empty() {
        let nobody = "no camera answered: ONVIF may be switched off in it, and the question reaches only the networks that \
                      this machine is in (choose one by --interface)";
        return complain(nobody, NONE);
    }
    let _ = write!(stdout(), "{}", discover::text(&found, options.login.as_ref()));
    let streams = found.iter().flat_map(|camera| &camera.profiles).any(|profile| profile.stream.is_ok());
    if streams { ExitCode::SUCCESS } else { ExitCode::from(NONE) }
}
