//! How many sessions there may be: in all, of one address, of one user, of one camera, and of those that nobody has come for
//! yet. Each costs memory and, until somebody comes, connectivity checks to wherever its offer says.

use std::net::IpAddr;

use thiserror::Error;

use super::{Phase, SessionStatus};
use crate::places::customer;

/// Most sessions at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub sessions: usize,
    /// Of one address (IPv6: one customer's network). This machine, where a reverse proxy may run, may have all.
    pub per_address: usize,
    /// Of one user.
    pub per_user: usize,
    /// Of one camera.
    pub per_camera: usize,
    /// That were answered and are not connected.
    pub half_open: usize,
    /// Of these, of one address.
    pub half_open_per_address: usize,
}

impl Limits {
    /// So many sessions, whosesoever.
    pub fn all(sessions: usize) -> Self {
        Self {
            sessions,
            per_address: sessions,
            per_user: sessions,
            per_camera: sessions,
            half_open: sessions,
            half_open_per_address: sessions,
        }
    }
}

/// Who wants a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Where the offer came from.
    pub address: IpAddr,
    /// Who sent it, where there are users.
    pub user: Option<String>,
}

#[cfg(any(test, feature = "fuzzing"))]
impl Visitor {
    /// Somebody at this machine.
    pub(super) fn here() -> Self {
        Self { address: std::net::Ipv4Addr::LOCALHOST.into(), user: None }
    }
}

/// Why there is no room for another session.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoRoom {
    /// [`Limits::sessions`].
    #[error("all {0} viewer places are taken: try again when somebody has left, or raise max_sessions under [webrtc]")]
    Full(usize),
    /// [`Limits::per_camera`].
    #[error(
        "all {0} viewer places of this camera are taken: try again when somebody has left, or raise max_sessions_per_camera under \
         [webrtc]"
    )]
    Camera(usize),
    /// [`Limits::half_open`].
    #[error("{0} viewers are connecting already, which is all that may at one time: try again in a moment")]
    HalfOpen(usize),
    /// [`Limits::per_address`].
    #[error(
        "your address has {0} sessions already, which is all that one may have: close another, or raise \
         max_sessions_per_address under [webrtc]"
    )]
    Address(usize),
    /// [`Limits::half_open_per_address`].
    #[error(
        "your address has {0} sessions that are not connected yet, which is all that one may have: try again in a moment"
    )]
    HalfOpenOfAddress(usize),
    /// [`Limits::per_user`].
    #[error(
        "this user has {0} sessions already, which is all that one may have: close another, or raise max_sessions_per_user under \
         [webrtc]"
    )]
    User(usize),
}

impl NoRoom {
    fn limit(self) -> usize {
        match self {
            Self::Full(limit)
            | Self::Camera(limit)
            | Self::HalfOpen(limit)
            | Self::Address(limit)
            | Self::HalfOpenOfAddress(limit)
            | Self::User(limit) => limit,
        }
    }

    /// The key of `[webrtc]` that sets the limit.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Full(_) => "max_sessions",
            Self::Camera(_) => "max_sessions_per_camera",
            Self::HalfOpen(_) => "max_half_open_sessions",
            Self::Address(_) => "max_sessions_per_address",
            Self::HalfOpenOfAddress(_) => "max_half_open_sessions_per_address",
            Self::User(_) => "max_sessions_per_user",
        }
    }

    /// Names it for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full(_) => "gateway-full",
            Self::Camera(_) => "camera-viewers-full",
            Self::HalfOpen(_) => "too-many-connecting",
            Self::Address(_) => "address-full",
            Self::HalfOpenOfAddress(_) => "address-connecting",
            Self::User(_) => "user-full",
        }
    }

    /// Whether it is for this visitor to end a session, not for somebody else.
    pub fn is_visitors(self) -> bool {
        matches!(self, Self::Address(_) | Self::HalfOpenOfAddress(_) | Self::User(_))
    }
}

/// Whether `visitor` may have one more session of `camera` beside those of `sessions`.
///
/// # Errors
/// [`NoRoom`].
pub(super) fn check<'a>(
    limits: &Limits,
    sessions: impl Iterator<Item = &'a SessionStatus>,
    visitor: &Visitor,
    camera: &str,
) -> Result<(), NoRoom> {
    let own = customer(visitor.address);
    let [mut all, mut of_camera, mut half_open, mut of_address, mut of_user, mut half_open_of_address] = [0_usize; 6];
    for session in sessions {
        let is_half_open = matches!(session.phase(), Phase::New | Phase::Connecting);
        let is_neighbour = customer(session.visitor.address) == own && !own.is_loopback();
        all += 1;
        of_camera += usize::from(session.camera.as_str() == camera);
        half_open += usize::from(is_half_open);
        of_address += usize::from(is_neighbour);
        half_open_of_address += usize::from(is_neighbour && is_half_open);
        of_user += usize::from(visitor.user.is_some() && session.visitor.user == visitor.user);
    }
    // What the visitor can mend itself comes first.
    let bounds = [
        (of_user, NoRoom::User(limits.per_user)),
        (of_address, NoRoom::Address(limits.per_address)),
        (half_open_of_address, NoRoom::HalfOpenOfAddress(limits.half_open_per_address)),
        (all, NoRoom::Full(limits.sessions)),
        (of_camera, NoRoom::Camera(limits.per_camera)),
        (half_open, NoRoom::HalfOpen(limits.half_open)),
    ];
    bounds.into_iter().find(|(count, why)| *count >= why.limit()).map_or(Ok(()), |(_, why)| Err(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::SessionId;

    fn visitor(address: &str, user: Option<&str>) -> Visitor {
        Visitor { address: address.parse().expect("an address"), user: user.map(str::to_owned) }
    }

    fn session(visitor: Visitor, camera: &str, phase: Phase) -> SessionStatus {
        let status = SessionStatus::new(SessionId::random(), camera.parse().expect("a name"), visitor);
        status.set_phase(phase);
        status
    }

    #[test]
    fn each_bound_holds_for_itself() {
        let anna = || visitor("192.0.2.1", Some("anna"));
        let sessions = [
            session(anna(), "front", Phase::Connected),
            session(visitor("192.0.2.1", None), "back", Phase::New),
            session(visitor("198.51.100.7", Some("bert")), "front", Phase::Connecting),
        ];
        let check = |limits: Limits, visitor: Visitor, camera: &str| check(&limits, sessions.iter(), &visitor, camera);
        let most = Limits::all(100);
        assert_eq!(check(most, anna(), "front"), Ok(()));
        let nobody = || visitor("203.0.113.9", None);
        assert_eq!(check(Limits { sessions: 3, ..most }, nobody(), "attic"), Err(NoRoom::Full(3)));
        assert_eq!(check(Limits { per_camera: 2, ..most }, nobody(), "front"), Err(NoRoom::Camera(2)));
        assert_eq!(check(Limits { per_camera: 2, ..most }, nobody(), "back"), Ok(()));
        assert_eq!(check(Limits { half_open: 2, ..most }, nobody(), "back"), Err(NoRoom::HalfOpen(2)));
        let elsewhere = visitor("203.0.113.9", Some("anna"));
        assert_eq!(check(Limits { per_user: 1, ..most }, elsewhere.clone(), "back"), Err(NoRoom::User(1)));
        assert_eq!(check(Limits { per_user: 1, ..most }, nobody(), "back"), Ok(()), "nobody is no user");
        assert_eq!(check(Limits { per_address: 2, ..most }, anna(), "back"), Err(NoRoom::Address(2)));
        assert_eq!(check(Limits { per_address: 2, ..most }, elsewhere, "back"), Ok(()));
        let half = Limits { half_open_per_address: 1, ..most };
        assert_eq!(check(half, anna(), "back"), Err(NoRoom::HalfOpenOfAddress(1)));
        assert_eq!(check(half, nobody(), "back"), Ok(()));
    }

    #[test]
    fn a_proxy_on_this_machine_may_have_all_and_a_network_is_one_address() {
        let limits = Limits { per_address: 1, half_open_per_address: 1, ..Limits::all(3) };
        let here = || visitor("::ffff:127.0.0.1", None);
        let sessions =
            [session(here(), "front", Phase::New), session(visitor("2001:db8::1", None), "front", Phase::New)];
        assert_eq!(check(&limits, sessions.iter(), &here(), "front"), Ok(()));
        let neighbour = visitor("2001:db8::2", None);
        assert_eq!(check(&limits, sessions.iter(), &neighbour, "front"), Err(NoRoom::Address(1)));
    }
}
