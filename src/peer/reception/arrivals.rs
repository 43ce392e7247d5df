//! When each packet of a publisher's arrived, for its congestion control
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01): without it a browser sends 300 kbit/s for good. Pure: time is an
//! argument.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
    SymbolTypeTcc, TransportLayerCc,
};

/// From one report to the next: what libwebrtc takes at a usual bit rate.
const INTERVAL: Duration = Duration::from_millis(50);
/// Packets that one report tells of. More in an interval are 200 Mbit/s.
const MAX_REPORTED: u64 = 1_000;
/// A larger gap is another beginning.
const MAX_GAP: u64 = 8_192;
/// What a delta counts (section 3.1.5).
const TICK_US: i64 = 250;
/// What a reference time counts, in ticks (section 3.1).
const REFERENCE: i64 = 256;
/// Symbols of two bits in a status vector (section 3.1.4).
const VECTOR: usize = 7;
/// Longest run (section 3.1.3).
const MAX_RUN: u16 = 8_191;
/// A run is worth a chunk of its own beyond a vector.
const MIN_RUN: usize = VECTOR + 1;

/// What has arrived of one transport.
#[derive(Debug)]
pub(super) struct Arrivals {
    epoch: Instant,
    highest: Option<u64>,
    /// Those that were not told yet.
    fresh: BTreeMap<u64, Instant>,
    /// Up to here all were told, whether they had arrived or not.
    told: u64,
    count: u8,
    due: Instant,
}

impl Arrivals {
    pub(super) fn new(now: Instant) -> Self {
        Self { epoch: now, highest: None, fresh: BTreeMap::new(), told: 0, count: 0, due: now }
    }

    /// Packet `number` arrived at `at`.
    pub(super) fn note(&mut self, number: u16, at: Instant) {
        let number = match self.highest {
            None => {
                self.told = (1 << 16) + u64::from(number);
                self.told
            }
            Some(highest) => {
                let ahead = number.wrapping_sub(highest as u16).cast_signed();
                highest.saturating_add_signed(ahead.into())
            }
        };
        if self.highest.is_some_and(|highest| number > highest + MAX_GAP) {
            self.told = number;
            self.fresh.clear();
        }
        self.highest = Some(self.highest.map_or(number, |highest| highest.max(number)));
        // A flood is told late rather than kept.
        if self.fresh.len() < 2 * MAX_REPORTED as usize {
            self.fresh.insert(number, at);
        }
    }

    /// When [`report`](Self::report) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!self.fresh.is_empty()).then_some(self.due)
    }

    /// What has arrived since the last report.
    pub(super) fn report(&mut self, sender_ssrc: u32, media_ssrc: u32, now: Instant) -> Option<TransportLayerCc> {
        let (&first, &first_at) = self.fresh.first_key_value().filter(|_| self.due <= now)?;
        self.due = now + INTERVAL;
        // What was told as missing and has come after all is told with what was told after it.
        let base = first.min(self.told).max(first.saturating_sub(MAX_REPORTED / 2));
        let reference = self.ticks(first_at).div_euclid(REFERENCE);
        let mut last = reference * REFERENCE;
        let (mut symbols, mut recv_deltas, mut number) = (Vec::new(), Vec::new(), base);
        while let Some((&newest, _)) = self.fresh.last_key_value()
            && number <= newest
            && number < base + MAX_REPORTED
        {
            let symbol = match self.fresh.get(&number) {
                None => SymbolTypeTcc::PacketNotReceived,
                Some(at) => {
                    let ticks = self.ticks(*at);
                    let Ok(delta) = i16::try_from(ticks - last) else { break };
                    let small = (0..=255).contains(&delta);
                    let symbol = if small {
                        SymbolTypeTcc::PacketReceivedSmallDelta
                    } else {
                        SymbolTypeTcc::PacketReceivedLargeDelta
                    };
                    recv_deltas.push(RecvDelta { type_tcc_packet: symbol, delta: i64::from(delta) * TICK_US });
                    last = ticks;
                    self.fresh.remove(&number);
                    symbol
                }
            };
            symbols.push(symbol);
            number += 1;
        }
        self.told = self.told.max(number);
        let fb_pkt_count = self.count;
        self.count = self.count.wrapping_add(1);
        Some(TransportLayerCc {
            sender_ssrc,
            media_ssrc,
            base_sequence_number: base as u16,
            packet_status_count: symbols.len() as u16,
            reference_time: (reference & 0x00ff_ffff) as u32,
            fb_pkt_count,
            packet_chunks: chunks(&symbols),
            recv_deltas,
        })
    }

    fn ticks(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.epoch).as_micros();
        i64::try_from(since).unwrap_or(i64::MAX) / TICK_US
    }
}

fn chunks(mut symbols: &[SymbolTypeTcc]) -> Vec<PacketStatusChunk> {
    let mut chunks = Vec::new();
    while let Some(&symbol) = symbols.first() {
        let run = symbols.iter().take(MAX_RUN.into()).take_while(|other| **other == symbol).count();
        let taken = if run >= MIN_RUN || run == symbols.len() {
            chunks.push(PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                type_tcc: StatusChunkTypeTcc::RunLengthChunk,
                packet_status_symbol: symbol,
                run_length: run as u16,
            }));
            run
        } else {
            let taken = symbols.len().min(VECTOR);
            let mut symbol_list = symbols[..taken].to_vec();
            symbol_list.resize(VECTOR, SymbolTypeTcc::PacketNotReceived);
            chunks.push(PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list,
            }));
            taken
        };
        symbols = &symbols[taken..];
    }
    chunks
}

#[cfg(test)]
mod tests {
    use rtc::shared::marshal::{Marshal, Unmarshal};

    use super::*;

    /// The numbers that a report says arrived, each with its time in milliseconds, after it went over the wire.
    fn told(report: &TransportLayerCc) -> Vec<(u16, f64)> {
        let sent = report.marshal().expect("it can be written");
        let report = TransportLayerCc::unmarshal(&mut sent.clone()).expect("it can be read");
        let mut symbols = Vec::new();
        for chunk in &report.packet_chunks {
            match chunk {
                PacketStatusChunk::RunLengthChunk(run) => {
                    symbols.extend(vec![run.packet_status_symbol; run.run_length.into()]);
                }
                PacketStatusChunk::StatusVectorChunk(vector) => symbols.extend(&vector.symbol_list),
            }
        }
        let mut deltas = report.recv_deltas.iter();
        let mut at = f64::from(report.reference_time) * 64.0;
        let numbered = (0..report.packet_status_count).zip(symbols);
        let received = numbered.filter(|(_, symbol)| *symbol != SymbolTypeTcc::PacketNotReceived);
        received
            .map(|(index, _)| {
                at += deltas.next().expect("one for each").delta as f64 / 1_000.0;
                (report.base_sequence_number.wrapping_add(index), at)
            })
            .collect()
    }

    fn at(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn each_packet_is_told_with_its_time_across_the_wrap() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        for (number, time) in [(65_534, 0), (65_535, 10), (0, 400), (3, 390)] {
            arrivals.note(number, at(start, time));
        }
        let report = arrivals.report(1, 2, at(start, 400)).expect("it is due");
        assert_eq!((report.packet_status_count, report.fb_pkt_count), (6, 0));
        assert_eq!(told(&report), [(65_534, 0.0), (65_535, 10.0), (0, 400.0), (3, 390.0)]);
        assert_eq!(arrivals.report(1, 2, at(start, 800)), None, "nothing has come");
        arrivals.note(4, at(start, 810));
        assert_eq!(arrivals.poll_timeout(), Some(at(start, 450)));
        let report = arrivals.report(1, 2, at(start, 810)).expect("it is due");
        assert_eq!(told(&report), [(4, 810.0)]);
        assert_eq!(report.fb_pkt_count, 1);
    }

    #[test]
    fn one_that_comes_late_is_told_after_all() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        arrivals.note(1, start);
        arrivals.note(3, start);
        assert_eq!(told(&arrivals.report(1, 2, start).expect("it is due")).len(), 2);
        arrivals.note(2, at(start, 60));
        assert_eq!(told(&arrivals.report(1, 2, at(start, 60)).expect("it is due")), [(2, 60.0)]);
        arrivals.note(4, at(start, 120));
        assert_eq!(told(&arrivals.report(1, 2, at(start, 120)).expect("it is due")), [(4, 120.0)]);
    }

    #[test]
    fn many_are_told_in_few_words_and_a_flood_is_bounded() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        for number in 0..60_000_u32 {
            arrivals.note(number as u16, start);
        }
        assert!(arrivals.fresh.len() <= 2 * MAX_REPORTED as usize);
        let report = arrivals.report(1, 2, start).expect("it is due");
        assert_eq!(report.packet_chunks.len(), 1);
        assert_eq!(told(&report).len(), MAX_REPORTED as usize);
    }

    #[test]
    fn a_long_pause_begins_another_report() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(start);
        arrivals.note(1, start);
        arrivals.note(2, at(start, 60_000));
        assert_eq!(told(&arrivals.report(1, 2, at(start, 60_000)).expect("it is due")), [(1, 0.0)]);
        assert_eq!(told(&arrivals.report(1, 2, at(start, 60_050)).expect("it is due")), [(2, 60_000.0)]);
    }
}
