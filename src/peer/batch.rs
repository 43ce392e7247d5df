//! What one session sends in one go: finished packets one behind the other in one buffer, which are cut into trains that
//! leave in one system call (UDP GSO, Linux 4.18).

/// Linux refuses more in one message (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 64;
/// A train is one UDP message to the kernel, whose length has 16 bits; less the headers.
const MAX_BYTES: usize = 65_000;

/// The packets of one session, to one destination. Used again and again, so that nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each packet ends.
    ends: Vec<usize>,
}

/// Packets of one size but for the last, which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Train<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) segment: usize,
    pub(super) count: usize,
}

impl Batch {
    /// Adds the packet that `write` appends to the buffer; nothing when it fails.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn add<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        match written {
            Ok(()) => self.ends.push(self.bytes.len()),
            Err(_) => self.bytes.truncate(start),
        }
        written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many packets there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// All packets in order, as few trains of at most `limit` packets as they make.
    pub(super) fn trains(&self, limit: usize) -> impl Iterator<Item = Train<'_>> {
        let limit = limit.clamp(1, MAX_SEGMENTS);
        let mut next = 0;
        let size = |index: usize| self.ends[index] - self.start(index);
        std::iter::from_fn(move || {
            let (first, segment) = (next, (next < self.len()).then(|| size(next))?);
            next += 1;
            while next < self.len()
                && next - first < limit
                && size(next - 1) == segment
                && size(next) <= segment
                && self.ends[next] - self.start(first) <= MAX_BYTES
            {
                next += 1;
            }
            let bytes = &self.bytes[self.start(first)..self.ends[next - 1]];
            Some(Train { bytes, segment, count: next - first })
        })
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(sizes: &[usize]) -> Batch {
        let mut batch = Batch::default();
        for (index, &size) in sizes.iter().enumerate() {
            let packet = |bytes: &mut Vec<u8>| {
                bytes.resize(bytes.len() + size, index as u8);
                Ok::<_, ()>(())
            };
            batch.add(packet).expect("nothing fails");
        }
        batch
    }

    fn cut(sizes: &[usize], limit: usize) -> Vec<(usize, usize)> {
        let batch = batch(sizes);
        let trains: Vec<_> = batch.trains(limit).collect();
        assert_eq!(trains.iter().flat_map(|train| train.bytes).count(), batch.bytes());
        trains.iter().map(|train| (train.segment, train.count)).collect()
    }

    #[test]
    fn couples_equal_packets_and_one_shorter_last() {
        assert_eq!(cut(&[100, 100, 40, 40, 101], 64), [(100, 3), (40, 1), (101, 1)]);
        assert_eq!(cut(&[], 64), []);
    }

    #[test]
    fn is_bounded_in_segments_and_bytes() {
        assert_eq!(cut(&[10; 3], 1), [(10, 1); 3]);
        assert_eq!(cut(&[10; 100], 1_000), [(10, 64), (10, 36)]);
        assert_eq!(cut(&[1_500; 50], 64), [(1_500, 43), (1_500, 7)]);
    }

    #[test]
    fn a_packet_that_fails_leaves_nothing() {
        let mut batch = batch(&[5]);
        let failed = batch.add(|bytes| {
            bytes.push(1);
            Err(())
        });
        assert_eq!((failed, batch.len(), batch.bytes()), (Err(()), 1, 5));
        assert_eq!(batch.packets().collect::<Vec<_>>(), [[0; 5]]);
    }
}
