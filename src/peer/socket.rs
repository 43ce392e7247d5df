//! The port on UDP: trains out with GSO where the system has it, batches in.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    sync::RwLock,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Protocol, Socket as RawSocket, Type};
use tracing::info;

use super::{
    batch::{Batch, Train},
    port::{of_both_families, open},
    transport::{Remote, Transport},
};
use crate::stats::Counter;

/// Asked of the kernel for each direction, in bytes: what 200 viewers of a 60 kB keyframe make. It gives what
/// net.core.wmem_max allows, half a MB in all on Debian.
const BUFFER: usize = 8 << 20;
/// Largest datagram read, in bytes. Viewers send STUN, DTLS and RTCP, all below an Ethernet frame.
pub(super) const MAX_DATAGRAM: usize = 2_048;

/// How long trains are not tried again after one failed.
const GSO_RETRY: Duration = Duration::from_secs(60);

/// A datagram from a viewer.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) remote: Remote,
    /// The address of ours it was sent to, where the system says.
    pub(super) to: Option<IpAddr>,
    pub(super) data: BytesMut,
    pub(super) at: Instant,
}

/// What a read has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All room was taken: there may be more.
    Full,
    /// Nothing.
    All,
}

/// What is known of the system's GSO.
#[derive(Debug)]
struct Trains {
    state: UdpSocketState,
    failed: Option<Instant>,
}

/// Whether this machine has a route to an address.
pub(super) fn has_route(to: SocketAddr) -> bool {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Connecting sends nothing: it looks the route up.
    let connected = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(to));
    !connected
        .is_err_and(|error| matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable))
}

/// The port.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    /// For reading, and for what leaves alone. quinn-udp takes any failure for a lack of GSO, also of a datagram that
    /// has nothing to do with it (a candidate that cannot be reached), hence two states on one descriptor.
    singles: UdpSocketState,
    trains: RwLock<Trains>,
    local: SocketAddr,
    v6: bool,
    /// Datagrams that the kernel had no room for.
    pub(super) refused: Counter,
}

impl Socket {
    /// Opens `address`.
    ///
    /// # Errors
    /// When it is taken or not this machine's.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::adopt(of_both_families(address, |address| open(address, Type::DGRAM, Protocol::UDP))?)
    }

    /// Takes a socket that is open and does not block.
    ///
    /// # Errors
    /// When the system tells nothing of it.
    pub(super) fn adopt(raw: RawSocket) -> io::Result<Self> {
        let io = UdpSocket::from(raw);
        let singles = UdpSocketState::new((&io).into())?;
        let trains = UdpSocketState::new((&io).into())?;
        info!(datagrams_per_call = trains.max_gso_segments(), "sending with UDP GSO where it is more than 1");
        // Fewer bytes than asked for are no failure.
        let _ = singles.set_send_buffer_size((&io).into(), BUFFER);
        let _ = singles.set_recv_buffer_size((&io).into(), BUFFER);
        let local = io.local_addr()?;
        let trains = RwLock::new(Trains { state: trains, failed: None });
        Ok(Self { io, singles, trains, local, v6: local.is_ipv6(), refused: Counter::default() })
    }

    /// The address it listens on, with the real port.
    pub(super) fn local_address(&self) -> SocketAddr {
        match self.local.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), self.local.port()),
            _ => self.local,
        }
    }

    /// How many datagrams may leave in one train now.
    fn max_segments(&self) -> usize {
        self.trains.read().unwrap_or_else(|e| e.into_inner()).state.max_gso_segments()
    }

    /// Sends a batch, from `source` where that may be set, or drops and counts what the kernel has no room for: waiting
    /// would hold up every other viewer, and what a viewer misses it asks for again.
    pub(super) fn send(&self, batch: &Batch, source: Option<IpAddr>, destination: SocketAddr, now: Instant) {
        for train in batch.trains(self.max_segments()) {
            if train.count > 1 {
                match self.send_train(train, source, destination) {
                    Ok(()) => continue,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        self.refused.add(train.count as u64);
                        continue;
                    }
                    Err(_) => self.train_failed(now),
                }
            }
            for datagram in train.bytes.chunks(train.segment.max(1)) {
                self.send_datagram(source, destination, datagram);
            }
        }
    }

    /// Sends one datagram, or drops and counts it.
    pub(super) fn send_datagram(&self, source: Option<IpAddr>, destination: SocketAddr, datagram: &[u8]) {
        let transmit = self.transmit(source, destination, datagram, None);
        if self.singles.try_send((&self.io).into(), &transmit).is_err() {
            self.refused.add(1);
        }
    }

    /// Sends one datagram from `source`, an address of this machine.
    ///
    /// # Errors
    /// What the system says, such as that there is no route.
    pub(super) fn send_one(&self, source: IpAddr, destination: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let transmit = self.transmit(Some(source), destination, datagram, None);
        self.singles.try_send((&self.io).into(), &transmit)
    }

    fn send_train(&self, train: Train<'_>, source: Option<IpAddr>, destination: SocketAddr) -> io::Result<()> {
        let transmit = self.transmit(source, destination, train.bytes, Some(train.segment));
        let trains = self.trains.read().unwrap_or_else(|e| e.into_inner());
        trains.state.try_send((&self.io).into(), &transmit)
    }

    /// Whatever the reason was, GSO is given another chance later: an address that went away looks the same.
    fn train_failed(&self, now: Instant) {
        let mut trains = self.trains.write().unwrap_or_else(|e| e.into_inner());
        let failed = *trains.failed.get_or_insert(now);
        if now.saturating_duration_since(failed) >= GSO_RETRY
            && let Ok(state) = UdpSocketState::new((&self.io).into())
        {
            *trains = Trains { state, failed: None };
        }
    }

    fn transmit<'a>(
        &self,
        src_ip: Option<IpAddr>,
        destination: SocketAddr,
        contents: &'a [u8],
        segment_size: Option<usize>,
    ) -> Transmit<'a> {
        let destination = match (destination, self.v6) {
            (SocketAddr::V4(v4), true) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            (other, _) => other,
        };
        Transmit { destination, ecn: None, contents, segment_size, src_ip }
    }

    /// Reads the datagrams that are there and hands each to `take`.
    ///
    /// # Errors
    /// Only when the socket itself is broken.
    pub(super) fn receive(&self, buffers: &mut Buffers, mut take: impl FnMut(Received)) -> io::Result<Read> {
        let mut slices = buffers.bytes.each_mut().map(|buffer| IoSliceMut::new(buffer));
        let read = self.singles.recv((&self.io).into(), &mut slices, &mut buffers.meta);
        let count = match read {
            Ok(count) => count,
            // Linux reports an ICMP "port unreachable" of a viewer that left on the next call.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock || e.kind() == io::ErrorKind::ConnectionRefused => {
                return Ok(Read::All);
            }
            Err(e) => return Err(e),
        };
        let at = Instant::now();
        for (meta, bytes) in buffers.meta.iter().zip(&buffers.bytes).take(count) {
            let address = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let remote = Remote { transport: Transport::Udp, address };
            let to = meta.dst_ip.map(|ip| ip.to_canonical());
            for datagram in bytes[..meta.len].chunks(meta.stride.max(1)) {
                take(Received { remote, to, data: BytesMut::from(datagram), at });
            }
        }
        Ok(if count == BATCH_SIZE { Read::Full } else { Read::All })
    }

    /// Buffers for [`receive`](Self::receive).
    pub(super) fn buffers(&self) -> Buffers {
        let size = MAX_DATAGRAM * self.singles.gro_segments().max(1);
        Buffers { bytes: std::array::from_fn(|_| vec![0; size]), meta: std::array::from_fn(|_| RecvMeta::default()) }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// Room for one batch.
#[derive(Debug)]
pub(super) struct Buffers {
    bytes: [Vec<u8>; BATCH_SIZE],
    meta: [RecvMeta; BATCH_SIZE],
}
