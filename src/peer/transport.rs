//! How datagrams travel between us and a viewer: UDP, or TCP where a network lets no UDP through.

use std::{fmt, net::SocketAddr};

use rtc::shared::{TransportContext, TransportProtocol};

/// The transport of an ICE candidate (RFC 8445, RFC 6544).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram is one packet.
    Udp,
    /// Framed (RFC 4571) in a connection that the viewer opened.
    Tcp,
}

impl Transport {
    /// Its name in SDP, the API and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// As rtc calls it.
    pub(super) fn protocol(self) -> TransportProtocol {
        match self {
            Self::Udp => TransportProtocol::UDP,
            Self::Tcp => TransportProtocol::TCP,
        }
    }

    /// From rtc's word for it.
    pub(super) fn of(protocol: TransportProtocol) -> Self {
        match protocol {
            TransportProtocol::TCP => Self::Tcp,
            _ => Self::Udp,
        }
    }
}

/// The viewer's end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// How to send there.
    pub transport: Transport,
    /// Where to. Behind a NAT it is the NAT's.
    pub address: SocketAddr,
}

impl Remote {
    /// The other end of a pair.
    pub(super) fn of(pair: &TransportContext) -> Self {
        Self { transport: Transport::of(pair.transport_protocol), address: pair.peer_addr }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.name(), self.address)
    }
}
