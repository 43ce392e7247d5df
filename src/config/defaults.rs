//! What holds for a key that is not in the configuration: all defaults, in this one place.
//!
//! The shipped config.toml shows each of them; a test compares the two.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::http::{self, RateLimit};
use crate::peer::{IceMode, Limits, Playout};
use crate::source::config::{Audio, Start, Transport};

/// All interfaces, so that a phone on the LAN reaches a fresh installation; no root is needed for this port.
pub(super) const HTTP_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

/// Connecting, logging in and the first keyframe of a camera with a GOP of 4 s fit, and no viewer gives up earlier.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(10);

/// A page of 30 cameras opens and ends as many sessions when it is reloaded, twice in a row, and with a neighbour behind the
/// same router; nobody who watches needs more than this for long.
pub(super) const RATE_LIMIT: RateLimit =
    RateLimit { per_second: NonZeroU32::new(20).expect("not zero"), burst: NonZeroU32::new(200).expect("not zero") };

/// A page holds up to six connections, and a browser one event stream for all its pages and one for each session at most; a
/// player has a WebSocket for each camera while it connects. A browser's offer has 3 to 8 kB, one with every codec and 30
/// candidates 20 kB; its headers have 1 kB, and cookies of others on the same host some more.
pub(super) const HTTP_LIMITS: http::Limits = http::Limits {
    connections: http::Portion { all: 512, per_address: 128, per_user: 512 },
    header_deadline: Duration::from_secs(15),
    header_bytes: 32 << 10,
    body_bytes: 64 << 10,
    event_streams: http::Portion { all: 256, per_address: 32, per_user: 64 },
    sockets: http::Portion { all: 256, per_address: 64, per_user: 64 },
};

/// A phone is asked for the password once a month; whoever loses it can be locked out by another password and a restart.
pub(super) const LOGIN_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// What every provider has in a token (OpenID Connect Core section 2).
pub(super) const NAME_CLAIM: &str = "sub";

/// Claims that a provider has to be told to add; who has none sees nothing.
pub(super) const CAMERAS_CLAIM: &str = "cameras";
pub(super) const ACTIONS_CLAIM: &str = "actions";

/// What Authelia, Authentik and Traefik's and nginx's recipes call it.
pub(super) const USER_HEADER: &str = "Remote-User";

/// A page asks for dozens of files in a second; whoever is locked out there is so here soon.
pub(super) const FORWARD_CACHE: Duration = Duration::from_secs(10);

/// Services answer in milliseconds; a person does not wait for much longer than this.
pub(super) const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Beside config.toml, so that two gateways on a machine do not share their secrets.
pub(super) const STATE_DIR: &str = "state";

/// All interfaces. 8189 is what other WebRTC gateways use, so that firewall recipes fit.
pub(super) const WEBRTC_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8189);

/// Bridges and virtual cables of containers and virtual machines: nobody reaches a camera gateway through them, and every
/// one costs each viewer connectivity checks. Docker calls its bridges `br-` and 12 digits; OpenWrt's LAN is `br-lan`.
pub(super) const EXCLUDED_INTERFACES: [&str; 11] = [
    "docker*",
    "br-????????????",
    "veth*",
    "virbr*",
    "podman*",
    "lxcbr*",
    "lxdbr*",
    "cni*",
    "flannel*",
    "cali*",
    "cilium*",
];

/// A gateway at home is behind a NAT, which only checks of its own open.
pub(super) const ICE: IceMode = IceMode::Full;

/// A picture waits for its sound where that is heard, for which 150 ms are sometimes too little.
pub(super) const PLAYOUT: Playout = Playout::Adaptive;

/// What coturn's documentation recommends: a viewer may reload the page for a day before it asks again.
pub(super) const TURN_LIFETIME: Duration = Duration::from_secs(86_400);

/// In all about 200 MB of session memory (at most 450 kB each; a viewer on TCP that does not read adds up to 1.2 MB): more
/// than a household needs, less than a Raspberry Pi has. An address may be an office that watches a wall of 30 cameras in
/// several places, and a session is half-open for a second at most where its viewer comes.
pub(super) const LIMITS: Limits = Limits {
    sessions: 500,
    per_address: 250,
    per_user: 250,
    per_camera: 500,
    half_open: 250,
    half_open_per_address: 100,
};

/// They leave most of the 1,024 descriptors that a process has at least to HTTP and the cameras; `app.rs` asks for as many as
/// all of them together can take.
pub(super) const MAX_TCP_CONNECTIONS: usize = 400;

/// Twenty times as many may be sent at once, which is what a wall of 30 cameras at one address takes; for long this is 6 kB/s.
pub(super) const CHECKS_PER_SECOND: u32 = 50;

/// Beside config.toml first, so that a user's pipeline replaces a packaged one of the same name.
pub(super) const PIPELINE_FOLDERS: [&str; 2] = ["pipelines", "/usr/share/camgate/pipelines"];

/// A TEARDOWN and a DTLS close take milliseconds; systemd would wait 90 s, Docker kills after 10 s.
pub(super) const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Most cameras, Wi-Fi cameras above all, show torn pictures over UDP.
pub(super) const TRANSPORT: Transport = Transport::Tcp;

/// A camera that nobody watches costs no bandwidth, no CPU and none of the camera's few connections.
pub(super) const START: Start = Start::OnDemand;

/// Most cameras send AAC, which no browser plays.
pub(super) const AUDIO: Audio = Audio::Auto;

/// Long enough for a reloaded page and for switching between cameras without a new connection.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// A GOP of 10 s at 12 Mbit/s: a 4K camera with its usual settings.
pub(super) const GOP_CACHE_MIB: u64 = 16;

/// Three times the longest GOP that cameras usually offer (10 s).
pub(super) const GOP_CACHE_AGE: Duration = Duration::from_secs(30);

/// Off: some cameras do not survive being asked for one track more.
pub(super) const EVENTS: bool = false;

/// As long as people speak at a door, so that who forgets the button is not heard all day.
pub(super) const TALK_LIMIT: Duration = Duration::from_secs(60);

/// Off: it costs memory, sound that nobody hears is transcoded for it, and not everybody wants a past to be kept.
pub(super) const CLIP: Duration = Duration::ZERO;

/// A minute and a half at 6 Mbit/s, two minutes at 4: more than most ask for, and little of a Raspberry Pi's memory.
pub(super) const CLIP_MIB: u64 = 64;
