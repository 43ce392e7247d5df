//! How much the HTTP side gives to strangers, in all and each.

use std::time::Duration;

use crate::places::Places;

/// The settings of `[http]` that bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are answered at one time; more wait. Of one address, those above `each` are refused.
    pub connections: Portion,
    /// From the first byte of a request, or from the last answer, to the end of the request's headers.
    pub header_deadline: Duration,
    /// Bytes of a request's first line and headers together.
    pub header_bytes: usize,
    /// Bytes of a request's body, and of a message on a WebSocket.
    pub body_bytes: usize,
    /// Streams of server-sent events. Each holds a connection.
    pub event_streams: Portion,
    /// WebSockets of `/api/ws`. Most are open for a second only, until the picture is there.
    pub sockets: Portion,
}

/// Things that stay: so many in all, and of these so many for one address and for one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// In all.
    pub all: usize,
    /// For one address (IPv6: one customer's network). This machine, where a reverse proxy may run, may have all.
    pub per_address: usize,
    /// For one user.
    pub per_user: usize,
}

impl Portion {
    pub(super) fn places(self) -> Places {
        Places::behind_proxy(self.all, self.per_address).for_users(self.per_user)
    }

    /// The same of places that there are.
    pub(super) fn set(self, places: &Places) {
        places.set(self.all, self.per_address, self.per_user);
    }
}

/// What a request's body may have, as an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxBody(pub(super) usize);
