//! Gathers datagrams to one destination into trains that leave in one system call (UDP GSO, Linux 4.18).

use std::net::{IpAddr, SocketAddr};

/// Linux refuses more in one message (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;
/// A train is one UDP message to the kernel, whose length has 16 bits; less the headers.
const MAX_BYTES: usize = 65_000;

/// Datagrams that differ in nothing but content: one source, one destination, one size but for the last.
#[derive(Debug)]
pub(super) struct Train {
    /// The address of ours to send from; `None` lets the system choose.
    pub(super) source: Option<IpAddr>,
    pub(super) destination: SocketAddr,
    pub(super) segment: usize,
    pub(super) count: usize,
    pub(super) bytes: Vec<u8>,
    limit: usize,
}

impl Train {
    /// `limit` is how many segments the socket takes at once; 1 without GSO.
    pub(super) fn new(limit: usize) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            source: None,
            destination: nowhere,
            segment: 0,
            count: 0,
            bytes: Vec::with_capacity(MAX_BYTES),
            limit: limit.clamp(1, MAX_SEGMENTS),
        }
    }

    /// The socket's limit changes when the kernel or the network card turns out not to do GSO.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(1, MAX_SEGMENTS);
    }

    /// Whether `datagram` was coupled on; if not, the train must leave first.
    pub(super) fn couple(&mut self, source: Option<IpAddr>, destination: SocketAddr, datagram: &[u8]) -> bool {
        if self.count == 0 {
            (self.source, self.destination, self.segment) = (source, destination, datagram.len());
        } else {
            let same_way = self.source == source && self.destination == destination;
            let last_was_whole = self.bytes.len() == self.count * self.segment;
            let fits = datagram.len() <= self.segment
                && self.count < self.limit
                && self.bytes.len() + datagram.len() <= MAX_BYTES;
            if !(same_way && last_was_whole && fits) {
                return false;
            }
        }
        self.bytes.extend_from_slice(datagram);
        self.count += 1;
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn couples_equal_datagrams_and_one_shorter_last() {
        let mut train = Train::new(64);
        assert!(train.couple(None, addr(2), &[0; 100]));
        assert!(train.couple(None, addr(2), &[1; 100]));
        assert!(!train.couple(None, addr(3), &[1; 100]));
        assert!(!train.couple(None, addr(2), &[1; 101]));
        assert!(train.couple(None, addr(2), &[2; 40]));
        assert!(!train.couple(None, addr(2), &[2; 40]));
        assert_eq!((train.count, train.segment, train.bytes.len()), (3, 100, 240));
    }

    #[test]
    fn is_bounded_in_segments_and_bytes() {
        let mut train = Train::new(1);
        assert!(train.couple(None, addr(2), &[0; 10]));
        assert!(!train.couple(None, addr(2), &[0; 10]));
        let mut train = Train::new(1_000);
        assert_eq!((0..100).take_while(|_| train.couple(None, addr(2), &[0; 10])).count(), 64);
        let mut train = Train::new(64);
        assert_eq!((0..100).take_while(|_| train.couple(None, addr(2), &[0; 1_500])).count(), 43);
    }
}
