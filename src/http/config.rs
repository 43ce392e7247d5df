//! What the HTTP side needs to know: where to listen and how patient to be.
//!
//! Made by `crate::config` from the section `[http]`, read by the HTTP server. Plain data: whoever makes it has
//! checked it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    BasePath, BaseUrl, ForwardConfig, FrameAncestor, JwtConfig, Limits, Network, PageOrigin, ProxyHeaders, TlsConfig,
    User,
};

/// The settings of the HTTP server (WHEP, pages, API).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The TCP address to listen on; port 0 means any free port.
    pub listen: SocketAddr,
    /// How long a WHEP POST waits for a camera that is not live yet before it is answered with 409.
    pub start_deadline: Duration,
    /// How many sessions one address may open, change and end.
    pub rate_limit: RateLimit,
    /// What strangers and users may take.
    pub limits: Limits,
    /// Who is answered; everybody of a private network while there is nobody here.
    pub users: Vec<User>,
    /// Who knows further users.
    pub jwt: Option<JwtConfig>,
    /// Who is asked about those who are none of them.
    pub forward: Option<ForwardConfig>,
    /// Without users: everybody is answered, wherever from.
    pub allow_anonymous: bool,
    /// HTTPS; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// What is in front of it.
    pub surroundings: Surroundings,
    /// How long the login page's cookie is good.
    pub login_lifetime: Duration,
    /// The folder for what outlives the program: the key of cookies and links. Made when it is needed.
    pub state_dir: PathBuf,
    /// What links begin with; without it, what the page was loaded by that made them.
    pub public_url: Option<BaseUrl>,
}

/// What stands between the gateway and those who ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Reverse proxies that are believed whom they ask for.
    pub trusted_proxies: Vec<Network>,
    /// By which header fields.
    pub proxy_headers: ProxyHeaders,
    /// What everything is below, where a proxy passes that on.
    pub base_path: BasePath,
    /// Names that it is asked by, beside addresses and local names. Matters without users.
    pub hosts: Vec<String>,
    /// Pages that may use it without users, beside its own and those of private networks.
    pub cors_origins: Vec<PageOrigin>,
    /// Pages that may show its own in frames.
    pub frame_ancestors: Vec<FrameAncestor>,
}

/// Requests of one client address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// For as long as it likes.
    pub per_second: NonZeroU32,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}
