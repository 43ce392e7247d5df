//! Which of a camera's coded pictures are decoded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Captured;
use crate::{
    hub::Unit,
    media::{
        h264,
        still::{Coded, StillError, decode},
    },
};

/// A keyframe that is not older is what the camera sees now: half a second is what a person takes to react.
const FRESH: Duration = Duration::from_millis(500);
/// So long decoding goes on from an older keyframe towards now; what it comes to then is shown. A person who waits for a picture
/// waits longer for the answer otherwise.
const BUDGET: Duration = Duration::from_secs(1);
/// What starts a NAL unit in a byte stream (H.264 annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The newest picture of a GOP, `units`, that is worth its time.
pub(super) fn newest_picture(units: &[Arc<Unit>], now: Instant) -> Result<Captured, StillError> {
    let keyframe = units.first().ok_or(StillError::Undecodable)?;
    let format = keyframe.parameter_sets().ok_or(StillError::Undecodable)?;
    let is_fresh = now.saturating_duration_since(keyframe.captured) <= FRESH;
    let wanted = if is_fresh { &units[..1] } else { units };
    let last = wanted.len() - 1;
    let coded = wanted.iter().enumerate().filter_map(|(at, unit)| {
        let is_late = at > 0 && now.elapsed() >= BUDGET;
        let data = (!is_late).then(|| byte_stream(unit, at == last)).filter(|data| !data.is_empty())?;
        Some(Coded { tag: unit.captured, data })
    });
    let newest = decode(coded, &format)?;
    Ok(Captured { picture: newest.picture, at: newest.tag })
}

/// A picture's slices and parameter sets; nothing of one that no other is made of and that is not the last.
fn byte_stream(unit: &Unit, is_last: bool) -> Vec<u8> {
    let mut nals = unit.nal_units();
    nals.retain(|nal| matches!(nal.kind(), h264::NAL_SLICE | h264::NAL_IDR | h264::NAL_SPS | h264::NAL_PPS));
    if !is_last && !nals.iter().any(|nal| nal.is_reference()) {
        return Vec::new();
    }
    let mut stream = Vec::with_capacity(unit.bytes + 64);
    for nal in &nals {
        stream.extend(START_CODE);
        nal.pieces().iter().for_each(|piece| stream.extend_from_slice(piece));
    }
    stream
}
