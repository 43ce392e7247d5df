//! The addresses of this gateway as they change: interfaces come and go, advertised names move, routers map our port.
//!
//! In: settings, and STUN responses from the port. Out: what to offer a viewer now, without waiting for anything. One task
//! keeps it fresh.

mod lookup;
mod reflexive;
mod servers;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use if_addrs::Interface;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use self::{
    reflexive::{Mapping, Reflexive},
    servers::Servers,
};
use super::{
    Advertise, Candidate, Config, Gathered, IceMode, Origin,
    candidates::gather,
    port::Port,
    socket::{Received, Socket},
};

/// How often the interfaces are looked at.
const POLL: Duration = Duration::from_secs(5);
/// How often advertised host names are looked up again. Dynamic DNS services use a lifetime of one minute.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(60);
/// How often STUN servers are asked, which also keeps the router's mapping: many drop one after 30 s without a datagram.
const REFRESH: Duration = Duration::from_secs(25);
/// How long after the start an answer waits for the first look-ups and STUN responses, so that viewers that come back at
/// once after a restart are not told half of the addresses. A machine without internet waits no longer either.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Where this gateway can be reached.
#[derive(Debug)]
pub(super) struct Addresses {
    config: Config,
    /// With the real port.
    listen: SocketAddr,
    started: Instant,
    /// What each of `config.advertise` stands for.
    advertised: RwLock<Vec<Vec<IpAddr>>>,
    reflexive: Reflexive,
    /// Whether the first look-ups and questions are over.
    settled: watch::Sender<bool>,
}

impl Addresses {
    /// Nothing is looked up yet. `listen` is the address of the open port.
    pub(super) fn new(config: Config, listen: SocketAddr) -> Self {
        let fixed = config.advertise.iter().map(|advertise| match advertise {
            Advertise::Ip(ip) => vec![*ip],
            Advertise::Host(_) => Vec::new(),
        });
        let advertised = RwLock::new(fixed.collect());
        let settled = watch::Sender::new(false);
        Self { config, listen, started: Instant::now(), advertised, reflexive: Reflexive::default(), settled }
    }

    /// What a viewer is offered now, and all addresses of this machine.
    pub(super) fn gather(&self) -> (Vec<Candidate>, Vec<IpAddr>) {
        let (gathered, own) = self.survey();
        (gathered.offered, own)
    }

    /// What becomes of every address, and all addresses of this machine.
    pub(super) fn survey(&self) -> (Gathered, Vec<IpAddr>) {
        let interfaces = interfaces();
        let mut gathered = self.hosts(&interfaces);
        let bases: Vec<_> = gathered.bases().collect();
        for mapping in self.reflexive.mappings() {
            let known = gathered.offered.iter().any(|candidate| candidate.address == mapping.mapped);
            if !known && bases.contains(&mapping.base) {
                let origin = Origin::Reflexive { base: mapping.base, server: mapping.server };
                gathered.offered.push(Candidate { address: mapping.mapped, origin });
            }
        }
        (gathered, interfaces.iter().map(Interface::ip).collect())
    }

    /// Takes a datagram that is a STUN server's answer to this gateway. Whether it was one.
    pub(super) fn take(&self, datagram: &Received) -> bool {
        self.reflexive.take(datagram)
    }

    /// Waits until everything has been asked once, for a second after the start at most.
    pub(super) async fn settled(&self) {
        let mut settled = self.settled.subscribe();
        // In time or not, the answer is what is known.
        let _ = timeout(FIRST_WAIT.saturating_sub(self.started.elapsed()), settled.wait_for(|settled| *settled)).await;
    }

    /// Keeps everything fresh until it is aborted.
    pub(super) async fn keep(self: Arc<Self>, port: Arc<Port>) {
        let due = |last: Option<Instant>, interval| last.is_none_or(|last| last.elapsed() >= interval);
        let (mut looked_up, mut asked) = (None, None);
        let mut servers = Servers::default();
        let (mut bases, mut hosts) = (Vec::new(), Gathered::default());
        loop {
            let now: Vec<_> = self.hosts(&interfaces()).bases().collect();
            // The router may be starting, as after a power cut.
            let ask_again = if servers.are_silent() { POLL } else { REFRESH };
            let (look_up, ask) = (due(looked_up, LOOKUP_INTERVAL), bases != now || due(asked, ask_again));
            bases = now;
            let looking_up = async {
                if look_up {
                    self.look_up().await;
                    looked_up = Some(Instant::now());
                }
            };
            let asking = async {
                if ask {
                    self.ask(&port.udp, &bases, &mut servers).await;
                    asked = Some(Instant::now());
                }
            };
            tokio::join!(looking_up, asking);
            self.settled.send_replace(true);
            let now = self.hosts(&interfaces());
            if hosts != now {
                info!("{}", now.summary());
                hosts = now;
            }
            sleep(POLL).await;
        }
    }

    /// Does once what [`keep`](Self::keep) keeps doing, for [`survey`](super::survey()).
    pub(super) async fn find_out(&self, socket: &Socket) {
        let bases: Vec<_> = self.hosts(&interfaces()).bases().collect();
        let mut servers = Servers::default();
        tokio::join!(self.look_up(), self.ask(socket, &bases, &mut servers));
    }

    /// The addresses that need nobody outside to be known.
    fn hosts(&self, interfaces: &[Interface]) -> Gathered {
        let advertised = self.advertised.read().unwrap_or_else(|e| e.into_inner()).concat();
        gather(self.listen, interfaces, &self.config.interfaces, &advertised)
    }

    async fn look_up(&self) {
        for (index, advertise) in self.config.advertise.iter().enumerate() {
            if let Advertise::Host(name) = advertise {
                self.note_lookup(index, name, lookup::addresses(name, 0).await);
            }
        }
    }

    /// A name that cannot be looked up keeps its last addresses.
    fn note_lookup(&self, index: usize, name: &str, found: io::Result<Vec<SocketAddr>>) {
        let found: Vec<_> = match found {
            Ok(found) => found.iter().map(SocketAddr::ip).collect(),
            Err(error) => return warn!(%name, %error, "cannot look up this name of [webrtc] advertise"),
        };
        let mut advertised = self.advertised.write().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = advertised.get_mut(index).filter(|known| **known != found) {
            info!(%name, addresses = ?found, "this name of [webrtc] advertise has a new address");
            *known = found;
        }
    }

    /// What STUN servers see is no candidate of an ICE-lite agent (RFC 8445 section 5.2).
    async fn ask(&self, socket: &Socket, bases: &[SocketAddr], servers: &mut Servers) {
        if self.config.ice == IceMode::Lite {
            return;
        }
        servers.look_up(&self.config.ice_servers).await;
        let before = self.reflexive.mappings();
        let (round, heard) = self.reflexive.ask(socket, bases, servers.addresses()).await;
        servers.note(round);
        for Mapping { base, mapped, server, .. } in self.reflexive.mappings() {
            if before.iter().any(|old| (old.base, old.server, old.mapped) == (base, server, mapped)) {
                continue;
            }
            if base == mapped {
                info!(%base, %server, "viewers outside see this address as it is");
            } else {
                info!(%base, %mapped, %server, "viewers outside see another address, which is offered, too");
            }
        }
        servers.note_mappings(&heard);
    }
}

fn interfaces() -> Vec<Interface> {
    // Without them a gateway that names its addresses in the configuration still works.
    if_addrs::get_if_addrs().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(advertise: &[&str]) -> Addresses {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: advertise.iter().map(|text| text.parse().expect("an address or a name")).collect(),
            interfaces: super::super::Interfaces::default(),
            ice: IceMode::Full,
            playout: super::super::Playout::Adaptive,
            ice_servers: Vec::new(),
            limits: super::super::Limits::all(1),
            max_tcp_connections: 1,
            checks_per_second: 1,
        };
        Addresses::new(config, ([127, 0, 0, 1], 8189).into())
    }

    fn offered(addresses: &Addresses) -> Vec<String> {
        addresses.gather().0.iter().map(|candidate| candidate.address.to_string()).collect()
    }

    #[test]
    fn an_advertised_name_follows_its_changes_and_survives_a_failure() {
        let addresses = addresses(&["198.51.100.1", "cam.example.org"]);
        assert_eq!(offered(&addresses), ["198.51.100.1:8189", "127.0.0.1:8189"]);
        let found = |ip: [u8; 4]| Ok(vec![(ip, 0).into()]);
        addresses.note_lookup(1, "cam.example.org", found([203, 0, 113, 7]));
        assert_eq!(offered(&addresses), ["198.51.100.1:8189", "203.0.113.7:8189", "127.0.0.1:8189"]);
        addresses.note_lookup(1, "cam.example.org", found([203, 0, 113, 8]));
        assert_eq!(offered(&addresses), ["198.51.100.1:8189", "203.0.113.8:8189", "127.0.0.1:8189"]);
        addresses.note_lookup(1, "cam.example.org", Err(io::ErrorKind::TimedOut.into()));
        assert_eq!(offered(&addresses), ["198.51.100.1:8189", "203.0.113.8:8189", "127.0.0.1:8189"]);
    }
}
