//! Ports that systemd has opened already (socket activation, sd_listen_fds(3)): whose they are is told by their names
//! (`FileDescriptorName=`), else by their addresses.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use listenfd::ListenFd;
use thiserror::Error;

/// What systemd separates names by.
const NAMES: &str = "LISTEN_FDNAMES";

/// A port of the program's.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Its name in `FileDescriptorName=`.
    pub name: &'static str,
    /// The setting of its address.
    pub key: &'static str,
    /// The address that is configured; port 0 takes whatever systemd has opened by that name.
    pub address: SocketAddr,
}

/// A socket of systemd's that is of no use.
#[derive(Debug, Error)]
pub enum BadSocket {
    /// Neither TCP nor UDP.
    #[error(
        "systemd passes a socket \"{name}\" that is neither a TCP port (ListenStream=) nor a UDP port (ListenDatagram=): \
         mend it in the .socket unit"
    )]
    Kind {
        /// What systemd calls it.
        name: String,
    },
    /// Its address is not the configured one.
    #[error(
        "systemd passes \"{name}\" at {address}, but {key} is \"{configured}\": write the same address into the .socket unit \
         and into the configuration"
    )]
    Elsewhere {
        /// What systemd calls it.
        name: String,
        /// Where it is.
        address: SocketAddr,
        /// Which setting says otherwise.
        key: &'static str,
        /// Its value.
        configured: SocketAddr,
    },
    /// Nothing is configured there.
    #[error(
        "systemd passes \"{name}\" at {address}, where nothing is to listen: take it out of the .socket unit, or set \
         [http] listen or [webrtc] listen to it"
    )]
    Unknown {
        /// What systemd calls it.
        name: String,
        /// Where it is.
        address: SocketAddr,
    },
    /// The system says no.
    #[error("cannot use \"{name}\", which systemd passes: {source}")]
    System {
        /// What systemd calls it.
        name: String,
        /// Why not.
        source: io::Error,
    },
}

/// One of them.
#[derive(Debug)]
struct Given<T> {
    name: String,
    address: SocketAddr,
    socket: T,
}

/// All that systemd has opened, until somebody takes it.
#[derive(Debug, Default)]
pub struct Sockets {
    tcp: Vec<Given<TcpListener>>,
    udp: Vec<Given<UdpSocket>>,
}

impl Sockets {
    /// Takes them over, also from whoever is started by this program later. To be called before there are threads.
    ///
    /// # Errors
    /// [`BadSocket`].
    pub fn inherited() -> Result<Self, BadSocket> {
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let (mut passed, mut sockets) = (ListenFd::from_env(), Self::default());
        for index in 0..passed.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
            let fault = |source| BadSocket::System { name: name.clone(), source };
            if let Ok(Some(socket)) = passed.take_tcp_listener(index) {
                socket.set_nonblocking(true).map_err(fault)?;
                let address = socket.local_addr().map_err(fault)?;
                sockets.tcp.push(Given { name, address, socket });
            } else if let Ok(Some(socket)) = passed.take_udp_socket(index) {
                socket.set_nonblocking(true).map_err(fault)?;
                let address = socket.local_addr().map_err(fault)?;
                sockets.udp.push(Given { name, address, socket });
            } else {
                return Err(BadSocket::Kind { name });
            }
        }
        Ok(sockets)
    }

    /// The TCP port for `port`, if systemd has opened it.
    ///
    /// # Errors
    /// [`BadSocket::Elsewhere`].
    pub fn tcp(&mut self, port: &Port) -> Result<Option<TcpListener>, BadSocket> {
        take(&mut self.tcp, port)
    }

    /// The UDP port for `port`, if systemd has opened it.
    ///
    /// # Errors
    /// [`BadSocket::Elsewhere`].
    pub fn udp(&mut self, port: &Port) -> Result<Option<UdpSocket>, BadSocket> {
        take(&mut self.udp, port)
    }

    /// When everybody has taken theirs.
    ///
    /// # Errors
    /// [`BadSocket::Unknown`] when one is left: whoever connects to it would wait for ever.
    pub fn finish(self) -> Result<(), BadSocket> {
        let tcp = self.tcp.into_iter().map(|given| (given.name, given.address));
        let udp = self.udp.into_iter().map(|given| (given.name, given.address));
        match tcp.chain(udp).next() {
            Some((name, address)) => Err(BadSocket::Unknown { name, address }),
            None => Ok(()),
        }
    }
}

fn take<T>(sockets: &mut Vec<Given<T>>, port: &Port) -> Result<Option<T>, BadSocket> {
    let named = sockets.iter().position(|given| given.name == port.name);
    let found =
        named.or_else(|| sockets.iter().position(|given| port.address.port() != 0 && fits(port, given.address)));
    let Some(given) = found.map(|index| sockets.swap_remove(index)) else { return Ok(None) };
    if port.address.port() != 0 && !fits(port, given.address) {
        let (name, address) = (given.name, given.address);
        return Err(BadSocket::Elsewhere { name, address, key: port.key, configured: port.address });
    }
    Ok(Some(given.socket))
}

/// `0.0.0.0` and `[::]` both mean every address.
fn fits(port: &Port, address: SocketAddr) -> bool {
    let (wanted, given) = (port.address.ip().to_canonical(), address.ip().to_canonical());
    let everywhere = wanted.is_unspecified() && given.is_unspecified();
    port.address.port() == address.port() && (wanted == given || everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: Port = Port {
        name: "http",
        key: "[http] listen",
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8080),
    };

    fn given(sockets: &[(&str, &str)]) -> Vec<Given<u8>> {
        let given = |(index, (name, address)): (usize, &(&str, &str))| Given {
            name: (*name).to_owned(),
            address: address.parse().expect("an address"),
            socket: index as u8,
        };
        sockets.iter().enumerate().map(given).collect()
    }

    #[test]
    fn a_name_wins_over_an_address() {
        let mut sockets = given(&[("camgate.socket", "[::]:8080"), ("http", "0.0.0.0:8080"), ("http", "[::]:8080")]);
        assert_eq!(take(&mut sockets, &HTTP).expect("one"), Some(1));
    }

    #[test]
    fn without_a_name_the_address_tells() {
        let mut sockets = given(&[("camgate.socket", "[::]:8189"), ("camgate.socket", "[::]:8080")]);
        assert_eq!(take(&mut sockets, &HTTP).expect("one"), Some(1));
        assert_eq!(take(&mut sockets, &HTTP).expect("none"), None);
        let here = Port { address: "127.0.0.1:8189".parse().expect("an address"), ..HTTP };
        assert_eq!(take(&mut sockets, &here).expect("none"), None);
    }

    #[test]
    fn a_named_one_elsewhere_is_refused_with_both_addresses() {
        let error = take(&mut given(&[("http", "127.0.0.1:8081")]), &HTTP).expect_err("another port").to_string();
        let (passed, configured) = ("\"http\" at 127.0.0.1:8081", "[http] listen is \"0.0.0.0:8080\"");
        assert!(error.contains(passed) && error.contains(configured), "{error}");
        let any = Port { address: "127.0.0.1:0".parse().expect("an address"), ..HTTP };
        assert_eq!(take(&mut given(&[("http", "127.0.0.1:8081")]), &any).expect("any"), Some(0));
    }
}
