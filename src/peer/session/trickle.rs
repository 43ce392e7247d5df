//! What a viewer tells about its side of ICE after the offer: trickled candidates, and restarts.

use std::time::Instant;

use super::{Session, Terms};
use crate::peer::{
    engine::local_candidates,
    ice_description,
    ice_update::{Change, IceUpdate, IceUpdateError},
};

impl Session {
    /// Notes candidates, or begins a restart when the credentials are new.
    ///
    /// # Errors
    /// [`IceUpdateError`]; nothing has changed then.
    pub(in crate::peer) fn update_ice(&mut self, change: Change, now: Instant) -> Result<IceUpdate, IceUpdateError> {
        self.stirred = true;
        let Change { expected, fragment, ours, offered } = change;
        if !expected.allows(self.ice.generation()) {
            return Err(IceUpdateError::Stale);
        }
        let Some(theirs) = fragment.credentials.filter(|theirs| theirs != self.ice.theirs()) else {
            self.ice.add_candidates(&fragment.candidates);
            return Ok(IceUpdate::Added);
        };
        let refused = |error: rtc::shared::error::Error| IceUpdateError::Refused(error.to_string());
        let local: Vec<_> =
            local_candidates(&offered).map_err(refused)?.iter().map(|candidate| candidate.marshal()).collect();
        let answer = ice_description::restarted(&self.answer, &ours, &local);
        let generation = ours.ufrag.clone();
        // Datagrams to the addresses of before keep coming until the new pair is there.
        let kept = self.offered.iter().filter(|old| offered.iter().all(|new| new.address != old.address));
        let known = offered.iter().chain(kept).take(MAX_ADDRESSES).cloned().collect();
        self.ice.restart(Terms { ours, theirs, offered, candidates: fragment.candidates }, now).map_err(refused)?;
        self.offered = known;
        Ok(IceUpdate::Restarted { generation, fragment: answer })
    }

    /// User name fragments by which no datagram is routed here any more.
    pub(in crate::peer) fn take_retired(&mut self) -> Vec<String> {
        self.ice.take_retired()
    }
}

/// Addresses of ours that are remembered: those of now, and some of before.
const MAX_ADDRESSES: usize = 64;
