//! `camgate discover`: ONVIF cameras on the networks of this machine, and the entries to paste for them.
//!
//! In: which interfaces, how long, and who logs in. Out: a [`Camera`] for each device that answered (WS-Discovery), with what
//! it says about itself (ONVIF). Devices on the network are strangers: each is asked at the address that its answer came from
//! and nowhere else, by plain HTTP, within bounds; what it says is only shown, without control characters.

mod device;
mod multicast;
mod report;
mod soap;

use std::{net::Ipv4Addr, time::Duration};

use if_addrs::{IfAddr, get_if_addrs};
use tokio::task::JoinSet;

pub use device::{Camera, Profile, Refusal};
pub use report::text;

use crate::source::config::Credentials;

/// For all questions to one device: what it has said until then is shown.
const DEVICE_LIMIT: Duration = Duration::from_secs(20);

/// Whom to look for, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of interfaces; none for all but the loopback.
    pub interfaces: Vec<String>,
    /// How long answers are waited for.
    pub wait: Duration,
    /// Who logs in to the cameras.
    pub login: Option<Credentials>,
}

/// Why nobody could be looked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An interface that is not there, or has no IPv4 address.
    #[error("--interface {wanted}: found {found}")]
    Interface {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The system has no socket for it, or no interface is up.
    #[error("cannot look for cameras: {0}")]
    Io(#[from] std::io::Error),
}

/// The devices that answered, in the order of their addresses.
///
/// # Errors
/// When nobody could be asked.
pub async fn discover(options: &Options) -> Result<Vec<Camera>, Error> {
    let found = multicast::probe(&addresses(&options.interfaces)?, options.wait).await?;
    let mut asking = JoinSet::new();
    for device in found {
        asking.spawn(device::ask(device, options.login.clone(), DEVICE_LIMIT));
    }
    let mut cameras = asking.join_all().await;
    cameras.sort_by_key(|camera| camera.address);
    Ok(cameras)
}

/// The addresses to send from, each with its network's mask.
fn addresses(wanted: &[String]) -> Result<Vec<(Ipv4Addr, Ipv4Addr)>, Error> {
    let all: Vec<_> = get_if_addrs()?
        .into_iter()
        .filter_map(|interface| match &interface.addr {
            IfAddr::V4(v4) => Some((interface.name.clone(), (v4.ip, v4.netmask))),
            IfAddr::V6(_) => None,
        })
        .collect();
    if wanted.is_empty() {
        let others: Vec<_> = all.iter().map(|(_, ip)| *ip).filter(|(ip, _)| !ip.is_loopback()).collect();
        return match others.is_empty() {
            true => Err(std::io::Error::other("no interface has an IPv4 address").into()),
            false => Ok(others),
        };
    }
    let of = |name: &String| {
        let ip = all.iter().find(|(found, _)| found == name).map(|(_, ip)| *ip);
        ip.ok_or_else(|| {
            let mut names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
            names.dedup();
            Error::Interface { wanted: name.clone(), found: names.join(", ") }
        })
    };
    wanted.iter().map(of).collect()
}
