//! Just enough of RFC 6184 to know which NAL units begin in an RTP payload.

/// The kinds of NAL unit that begin in a packet, one bit per `nal_unit_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NalTypes(u32);

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

impl NalTypes {
    pub const IDR: u8 = 5;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;

    pub fn of(payload: &[u8]) -> Self {
        let mut found = Self::default();
        match payload.first().map(|header| header & 0x1f) {
            Some(STAP_A) => {
                let mut rest = &payload[1..];
                while let [high, low, nal @ ..] = rest {
                    let length = usize::from(u16::from_be_bytes([*high, *low])).min(nal.len());
                    if let Some(header) = nal[..length].first() {
                        found.add(header & 0x1f);
                    }
                    rest = &nal[length..];
                }
            }
            Some(FU_A) => match payload.get(1) {
                Some(header) if header & 0x80 != 0 => found.add(header & 0x1f),
                _ => {}
            },
            Some(single @ 1..=23) => found.add(single),
            _ => {}
        }
        found
    }

    fn add(&mut self, kind: u8) {
        self.0 |= 1 << kind;
    }

    pub fn has(self, kind: u8) -> bool {
        self.0 >> kind & 1 == 1
    }
}

/// The NAL units in the packets of one picture.
pub fn nals(payloads: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut nals: Vec<Vec<u8>> = Vec::new();
    for payload in payloads {
        match payload {
            [header, body @ ..] if header & 0x1f == STAP_A => {
                let mut rest = body;
                while let [high, low, after @ ..] = rest {
                    let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
                    nals.push(after[..length].to_vec());
                    rest = &after[length..];
                }
            }
            [indicator, header, rest @ ..] if indicator & 0x1f == FU_A => {
                if header & 0x80 != 0 {
                    nals.push(vec![indicator & 0xe0 | header & 0x1f]);
                }
                if let Some(nal) = nals.last_mut() {
                    nal.extend(rest);
                }
            }
            whole => nals.push(whole.to_vec()),
        }
    }
    nals
}
