//! The one UDP port: trains out with GSO where the system has it, batches in.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use bytes::BytesMut;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use thiserror::Error;
use tokio::{io::Interest, net::UdpSocket};

use super::train::Train;
use crate::stats::Counter;

/// Asked of the kernel for each direction, in bytes: what 200 viewers of a 60 kB keyframe make. It gives what
/// net.core.wmem_max allows, half a MB in all on Debian.
const BUFFER: usize = 8 << 20;
/// Largest datagram read. Viewers send STUN, DTLS and RTCP, all below an Ethernet frame.
const MAX_DATAGRAM: usize = 2_048;

/// The port cannot be opened.
#[derive(Debug, Error)]
#[error("[webrtc] listen = \"{address}\": cannot open this UDP port: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl BindError {
    pub(super) fn new(address: SocketAddr, source: io::Error) -> Self {
        Self { address, source }
    }
}

/// A datagram from a viewer.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) remote: SocketAddr,
    /// The address of ours it was sent to, where the system says.
    pub(super) to: Option<IpAddr>,
    pub(super) data: BytesMut,
    pub(super) at: Instant,
}

/// The port.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    v6: bool,
    /// Datagrams that the kernel had no room for.
    pub(super) refused: Counter,
}

impl Socket {
    /// Opens `address`. `0.0.0.0` and `[::]` both mean every address of both families, where the machine has IPv6.
    ///
    /// # Errors
    /// [`BindError`] when the port is taken or the address is not this machine's.
    pub(super) fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let fault = |source| BindError::new(address, source);
        let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        let raw = match address.ip() {
            ip if ip.is_unspecified() => match open(both) {
                Err(e) if address.is_ipv4() && e.kind() != io::ErrorKind::AddrInUse => open(address),
                opened => opened,
            },
            _ => open(address),
        };
        Self::adopt(raw.map_err(fault)?).map_err(fault)
    }

    fn adopt(raw: RawSocket) -> io::Result<Self> {
        let std_socket = std::net::UdpSocket::from(raw);
        let state = UdpSocketState::new((&std_socket).into())?;
        // Fewer bytes than asked for are no failure.
        let _ = state.set_send_buffer_size((&std_socket).into(), BUFFER);
        let _ = state.set_recv_buffer_size((&std_socket).into(), BUFFER);
        let local = std_socket.local_addr()?;
        let io = UdpSocket::from_std(std_socket)?;
        Ok(Self { io, state, local, v6: local.is_ipv6(), refused: Counter::default() })
    }

    /// The address it listens on, with the real port.
    pub(super) fn local_address(&self) -> SocketAddr {
        match self.local.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.local.port()),
            _ => self.local,
        }
    }

    /// How many datagrams may leave in one train now.
    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends a train, or drops and counts it when the kernel has no room: waiting would hold up every other viewer,
    /// and what a viewer misses it asks for again.
    pub(super) fn send(&self, train: &Train) {
        let destination = match (train.destination, self.v6) {
            (SocketAddr::V4(v4), true) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            (other, _) => other,
        };
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &train.bytes,
            segment_size: (train.count > 1).then_some(train.segment),
            src_ip: train.source,
        };
        if self.state.try_send((&self.io).into(), &transmit).is_err() {
            self.refused.add(train.count as u64);
        }
    }

    /// Waits for datagrams and hands each to `take`.
    ///
    /// # Errors
    /// Only when the socket itself is broken.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn receive(&self, buffers: &mut Buffers, mut take: impl FnMut(Received)) -> io::Result<()> {
        self.io.readable().await?;
        let read = self.io.try_io(Interest::READABLE, || {
            let mut slices = buffers.bytes.each_mut().map(|buffer| IoSliceMut::new(buffer));
            self.state.recv((&self.io).into(), &mut slices, &mut buffers.meta)
        });
        let count = match read {
            Ok(count) => count,
            // Linux reports an ICMP "port unreachable" of a viewer that left on the next call.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::ConnectionRefused => {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let at = Instant::now();
        for (meta, bytes) in buffers.meta.iter().zip(&buffers.bytes).take(count) {
            let remote = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let to = meta.dst_ip.map(|ip| ip.to_canonical());
            for datagram in bytes[..meta.len].chunks(meta.stride.max(1)) {
                take(Received { remote, to, data: BytesMut::from(datagram), at });
            }
        }
        Ok(())
    }

    /// Buffers for [`receive`](Self::receive).
    pub(super) fn buffers(&self) -> Buffers {
        let size = MAX_DATAGRAM * self.state.gro_segments().max(1);
        Buffers { bytes: std::array::from_fn(|_| vec![0; size]), meta: std::array::from_fn(|_| RecvMeta::default()) }
    }
}

/// Room for one batch.
#[derive(Debug)]
pub(super) struct Buffers {
    bytes: [Vec<u8>; BATCH_SIZE],
    meta: [RecvMeta; BATCH_SIZE],
}

fn open(address: SocketAddr) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
