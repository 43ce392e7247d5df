//! The STUN servers that the gateway asks for itself: those of `[webrtc] ice_servers` that answer over UDP.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::{debug, info, warn};

use super::{
    lookup,
    reflexive::{Mapping, Round},
};
use crate::peer::IceServerConfig;

/// How often names of servers that answer are looked up again.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(600);

/// The servers and how they fare.
#[derive(Debug, Default)]
pub(super) struct Servers {
    addresses: Vec<SocketAddr>,
    looked_up: Option<Instant>,
    silent: bool,
    /// Whether the router was found to map our port once for each destination.
    symmetric: bool,
}

impl Servers {
    /// One address of each family and server.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether nobody answered when they were last asked.
    pub(super) fn are_silent(&self) -> bool {
        self.silent
    }

    /// Looks the servers' names up where that is due, also after a round without an answer.
    pub(super) async fn look_up(&mut self, servers: &[IceServerConfig]) {
        if !self.silent && self.looked_up.is_some_and(|last| last.elapsed() < LOOKUP_INTERVAL) {
            return;
        }
        let mut found = Vec::new();
        for (host, port) in servers.iter().flat_map(|server| &server.urls).filter_map(|url| url.udp_server()) {
            match lookup::addresses(host, port).await {
                Ok(addresses) => {
                    found.extend(addresses.iter().find(|address| address.is_ipv4()));
                    found.extend(addresses.iter().find(|address| address.is_ipv6()));
                }
                Err(error) => debug!(%host, %error, "cannot look up this name of [webrtc] ice_servers"),
            }
        }
        found.dedup();
        self.addresses = found;
        self.looked_up = Some(Instant::now());
        if self.addresses.is_empty()
            && servers.iter().any(|server| server.urls.iter().any(|url| url.udp_server().is_some()))
        {
            self.note_silence("no name of [webrtc] ice_servers can be looked up");
        }
    }

    /// How a round of questions ended.
    pub(super) fn note(&mut self, round: Round) {
        if round.answered > 0 && self.silent {
            self.silent = false;
            info!("a server of [webrtc] ice_servers answers now");
        } else if round.answered == 0 && round.asked > 0 {
            self.note_silence("no server of [webrtc] ice_servers answers over UDP");
        }
    }

    /// Told once, until it is over: it may be so for good, on a machine without internet.
    fn note_silence(&mut self, what: &str) {
        if !self.silent {
            self.silent = true;
            warn!("{what}: viewers outside this network may not find the gateway");
        }
    }

    /// Two servers that see different ports of one address of ours tell that viewers will see yet others. `mappings` are those
    /// of one round: a router that has got another address differs from what it said before.
    pub(super) fn note_mappings(&mut self, mappings: &[Mapping]) {
        if mappings.len() < 2 {
            return;
        }
        let differ =
            |a: &Mapping, b: &Mapping| a.base == b.base && a.server.ip() != b.server.ip() && a.mapped != b.mapped;
        let symmetric = mappings.iter().any(|a| mappings.iter().any(|b| differ(a, b)));
        if symmetric && !self.symmetric {
            warn!(
                "the router gives every destination another port (symmetric NAT): for viewers outside forward the port of \
                 [webrtc] listen and name its public address in [webrtc] advertise, or give viewers a TURN server"
            );
        }
        self.symmetric = symmetric;
    }
}
