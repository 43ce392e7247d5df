//! How the packets of one track travel.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::faults::Wire;
use super::packets::interleaved;

/// Tries at two neighbouring ports that are both free.
const PORT_TRIES: usize = 100;

pub(super) enum Transport {
    /// Channels of the RTSP connection.
    Tcp {
        wire: Arc<Wire>,
        rtp: u8,
        rtcp: u8,
    },
    Udp(Pair),
}

/// The camera's two sockets, and where to send.
pub(super) struct Pair {
    /// Of another port than it tells, or of another address.
    elsewhere: Option<UdpSocket>,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    client: SocketAddr,
}

impl Pair {
    /// `client` gets RTP, the port behind it RTCP.
    pub(super) fn open(client: SocketAddr, from: Option<Ipv4Addr>) -> Self {
        let elsewhere = from.map(|address| UdpSocket::bind((address, 0)).expect("a socket"));
        for _ in 0..PORT_TRIES {
            let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            let port = rtp.local_addr().expect("bound").port();
            if port.is_multiple_of(2)
                && let Ok(rtcp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1))
            {
                return Self { elsewhere, rtp, rtcp, client };
            }
        }
        panic!("no two neighbouring ports are free");
    }

    pub(super) fn port(&self) -> u16 {
        self.rtp.local_addr().expect("bound").port()
    }
}

impl Transport {
    /// Sends packets of media, in one write where that is possible.
    pub(super) fn media(&self, packets: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Self::Tcp { wire, rtp, .. } => {
                let bytes: Vec<_> = packets.iter().flat_map(|packet| interleaved(*rtp, packet)).collect();
                wire.send(&bytes)
            }
            Self::Udp(pair) => {
                let socket = pair.elsewhere.as_ref().unwrap_or(&pair.rtp);
                packets.iter().try_for_each(|packet| udp(socket, packet, pair.client))
            }
        }
    }

    pub(super) fn report(&self, report: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp { wire, rtcp, .. } => wire.send(&interleaved(*rtcp, report)),
            Self::Udp(pair) => {
                let client = SocketAddr::new(pair.client.ip(), pair.client.port() + 1);
                udp(&pair.rtcp, report, client)
            }
        }
    }
}

/// Nobody listening any more is not the camera's business.
fn udp(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.send_to(datagram, to) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(error),
        _ => Ok(()),
    }
}
