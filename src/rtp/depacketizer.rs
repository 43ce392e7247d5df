//! The way back from payloads to NAL units (RFC 6184 sections 5.6 to 5.8): payloads of our own [`super::pack_h264`] enter, NAL
//! units leave as slices of them, nothing is copied. What is not H.264 in packetization-mode 1 is left out.

use bytes::Bytes;

/// `nal_unit_type` of a single-time aggregation packet (RFC 6184 section 5.7.1).
const STAP_A: u8 = 24;
/// `nal_unit_type` of a fragmentation unit (RFC 6184 section 5.8).
const FU_A: u8 = 28;
/// FU indicator and FU header.
const FU_HEADERS: usize = 2;

/// Every NAL header that there is: a fragmented NAL unit has its own nowhere in the payloads.
static HEADERS: [u8; 256] = {
    let mut headers = [0; 256];
    let mut at = 0;
    while at < headers.len() {
        headers[at] = at as u8;
        at += 1;
    }
    headers
};

/// One NAL unit without start code, in the pieces that it was sent in.
#[derive(Clone, Debug, Default)]
pub struct NalUnit {
    pieces: Vec<Bytes>,
}

impl NalUnit {
    /// Its bytes in order; no piece is empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// `nal_unit_type` (H.264 table 7-1).
    pub fn kind(&self) -> u8 {
        self.header() & 0x1f
    }

    /// Whether other pictures are made of it (H.264 clause 7.4.1, `nal_ref_idc`).
    pub fn is_reference(&self) -> bool {
        self.header() & 0x60 != 0
    }

    /// In one piece.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [whole] => whole.clone(),
            pieces => pieces.concat().into(),
        }
    }

    fn header(&self) -> u8 {
        self.pieces.first().and_then(|piece| piece.first()).copied().unwrap_or_default()
    }

    fn whole(nal: Bytes) -> Self {
        Self { pieces: vec![nal] }
    }
}

/// The NAL units of one access unit.
pub fn nal_units(payloads: &[Bytes]) -> Vec<NalUnit> {
    let mut nals: Vec<NalUnit> = Vec::new();
    for payload in payloads {
        match payload.first().map(|header| header & 0x1f) {
            Some(STAP_A) => nals.extend(aggregated(payload)),
            Some(FU_A) => {
                let [indicator, header, body @ ..] = payload.as_ref() else { continue };
                if body.is_empty() {
                    continue;
                }
                if header & 0x80 != 0 {
                    let own = usize::from(indicator & 0xe0 | header & 0x1f);
                    nals.push(NalUnit::whole(Bytes::from_static(&HEADERS[own..=own])));
                }
                if let Some(nal) = nals.last_mut() {
                    nal.pieces.push(payload.slice(FU_HEADERS..));
                }
            }
            Some(_) => nals.push(NalUnit::whole(payload.clone())),
            None => {}
        }
    }
    nals
}

fn aggregated(payload: &Bytes) -> impl Iterator<Item = NalUnit> + '_ {
    let mut at = 1;
    std::iter::from_fn(move || {
        let length = payload.get(at..at + 2)?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        let start = at + 2;
        at = start + length;
        (length > 0 && at <= payload.len()).then(|| NalUnit::whole(payload.slice(start..at)))
    })
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;
    use crate::{media::VideoFormat, rtp::pack_h264};

    #[test]
    fn what_was_packed_comes_back() {
        let nal = |header: u8, length: usize| -> Vec<u8> {
            std::iter::once(header).chain((1..length).map(|at| at as u8)).collect()
        };
        let format = VideoFormat { sps: nal(0x67, 20).into(), pps: vec![nal(0x68, 4).into()], width: 16, height: 16 };
        let slices = [nal(0x65, 9_000), nal(0x65, 700), nal(0x06, 3)];
        let mut data = BytesMut::new();
        for nal in &slices {
            data.put_u32(nal.len() as u32);
            data.put_slice(nal);
        }
        let nals = nal_units(&pack_h264(&data.freeze(), true, &format));
        let whole: Vec<_> = nals.iter().map(|nal| nal.to_bytes().to_vec()).collect();
        let expected = [&[format.sps.to_vec(), format.pps[0].to_vec()][..], &slices[..]].concat();
        assert_eq!(whole, expected);
        assert_eq!(nals.iter().map(NalUnit::kind).collect::<Vec<_>>(), [7, 8, 5, 5, 6]);
        assert_eq!(nals[2].len(), 9_000);
        assert!(nals[2].is_reference() && !nals[4].is_reference());
    }

    #[test]
    fn payloads_that_make_no_sense_are_left_out() {
        let payloads = [&[][..], &[28], &[28, 0x05], &[28, 0x05, 1], &[24, 0, 9, 1], &[24, 0], &[24, 0, 0, 0, 1, 7]];
        let nals = nal_units(&payloads.map(Bytes::from_static));
        assert!(nals.is_empty(), "{nals:?}");
    }
}
