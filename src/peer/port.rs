//! The one port: a number that is ours on UDP and, for viewers whose network lets no UDP through, on TCP.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use thiserror::Error;

use super::{socket::Socket, tcp::Tcp, transport::Transport};

/// Numbers that are tried until one is free on both, when any number will do.
const ATTEMPTS: usize = 16;

/// The port cannot be opened.
#[derive(Debug, Error)]
#[error("[webrtc] listen = \"{address}\": cannot open this {} port: {source}", transport.name().to_uppercase())]
pub struct BindError {
    address: SocketAddr,
    transport: Transport,
    source: io::Error,
}

impl BindError {
    pub(super) fn new(address: SocketAddr, transport: Transport, source: io::Error) -> Self {
        Self { address, transport, source }
    }
}

/// What of the port somebody else has opened, at the configured address; it does not block.
#[derive(Debug, Default)]
pub struct Opened {
    /// For media.
    pub udp: Option<UdpSocket>,
    /// The same number, for viewers whose network blocks UDP.
    pub tcp: Option<TcpListener>,
}

/// Both transports of the port.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) udp: Arc<Socket>,
    pub(super) tcp: Arc<Tcp>,
}

impl Port {
    /// Opens `address` on UDP and the same number on TCP, for so many `connections`; port 0 means one that is free on both.
    ///
    /// # Errors
    /// [`BindError`] when either is taken or the address is not this machine's.
    pub(super) fn bind(address: SocketAddr, connections: usize) -> Result<Self, BindError> {
        let mut attempt = 1;
        loop {
            let udp = Socket::bind(address).map_err(|e| BindError::new(address, Transport::Udp, e))?;
            let same = SocketAddr::new(address.ip(), udp.local_address().port());
            match Tcp::bind(same, connections) {
                Ok(tcp) => return Ok(Self { udp: Arc::new(udp), tcp: Arc::new(tcp) }),
                Err(e) if address.port() == 0 && e.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(e) => return Err(BindError::new(same, Transport::Tcp, e)),
            }
        }
    }

    /// The same with what is `opened`; what is missing of it is opened at the number of the other.
    ///
    /// # Errors
    /// [`BindError`], also when the two have different numbers.
    pub(super) fn complete(address: SocketAddr, connections: usize, opened: Opened) -> Result<Self, BindError> {
        if opened.udp.is_none() && opened.tcp.is_none() {
            return Self::bind(address, connections);
        }
        let fault = |transport| move |source| BindError::new(address, transport, source);
        let (udp_fault, tcp_fault) = (fault(Transport::Udp), fault(Transport::Tcp));
        let number = |tcp: &TcpListener| Ok(SocketAddr::new(address.ip(), tcp.local_addr()?.port()));
        let number = opened.tcp.as_ref().map(number).transpose().map_err(tcp_fault)?;
        let udp = match opened.udp {
            Some(udp) => Socket::adopt(udp.into()),
            None => Socket::bind(number.unwrap_or(address)),
        };
        let udp = udp.map_err(udp_fault)?;
        let same = SocketAddr::new(address.ip(), udp.local_address().port());
        if number.is_some_and(|number| number != same) {
            let why = "systemd opened another number for TCP than for UDP; both have to be one";
            return Err(tcp_fault(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let tcp = opened.tcp.map_or_else(|| Tcp::bind(same, connections), |tcp| Tcp::adopt(tcp, connections));
        Ok(Self { udp: Arc::new(udp), tcp: Arc::new(tcp.map_err(tcp_fault)?) })
    }

    /// The address it listens on, with the real port.
    pub(super) fn local_address(&self) -> SocketAddr {
        self.udp.local_address()
    }
}

/// Opens `address` with `open`. `0.0.0.0` and `[::]` both mean every address of both families, where the machine has IPv6.
///
/// # Errors
/// Those of `open`.
pub(super) fn of_both_families<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    if !address.ip().is_unspecified() {
        return open(address);
    }
    match open(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port())) {
        Err(e) if address.is_ipv4() && e.kind() != io::ErrorKind::AddrInUse => open(address),
        opened => opened,
    }
}

/// A bound socket that does not block; `::` takes IPv4 too.
///
/// # Errors
/// When it is taken or the address is not this machine's.
pub(super) fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if kind == Type::STREAM {
        // Else a restart would wait a minute for the connections of the last run (TIME_WAIT).
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_transports_have_one_number() {
        let port = Port::bind(([127, 0, 0, 1], 0).into(), 400).unwrap();
        assert_eq!(port.tcp.local_address().unwrap(), port.local_address());
        let udp = Port::bind(port.local_address(), 400).unwrap_err().to_string();
        assert!(udp.contains("cannot open this UDP port"), "{udp}");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = Port::bind(taken.local_addr().unwrap(), 400).unwrap_err().to_string();
        assert!(tcp.contains("cannot open this TCP port") && tcp.contains("[webrtc] listen"), "{tcp}");
    }
}
