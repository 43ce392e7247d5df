//! The sections `[http]` and `[webrtc]`: what they say, as the settings of the HTTP and the WebRTC side.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ::config::Value;
use serde::Deserialize;

use super::check::{self, Checked, quote};
use super::defaults;
use super::fault::Problem;
use super::forward_auth::{ForwardSection, forward_auth};
use super::ice_servers::{self, IceServerEntry};
use super::jwt::{self, JwtSection};
use super::key_path::KeyPath;
use super::keys::{
    self, ADVERTISE_WORDS, BASE_PATH_WORDS, FRAME_WORDS, HOST_WORDS, INTERFACE_WORDS, LISTEN_WORDS, ORIGIN_WORDS,
    PROXY_WORDS, PUBLIC_URL_WORDS,
};
use super::report::Report;
use super::tls::{self, AcmeSection, TlsSection};
use crate::source::config::redact_url;
use crate::{http, peer};

/// `[http]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpSection {
    listen: Option<String>,
    start_deadline_seconds: Option<f64>,
    rate_limit_per_second: Option<NonZeroU32>,
    rate_limit_burst: Option<NonZeroU32>,
    max_connections: Option<usize>,
    max_connections_per_address: Option<usize>,
    header_timeout_seconds: Option<f64>,
    max_header_kib: Option<usize>,
    max_body_kib: Option<usize>,
    max_event_streams: Option<usize>,
    max_event_streams_per_address: Option<usize>,
    max_event_streams_per_user: Option<usize>,
    max_sockets: Option<usize>,
    max_sockets_per_address: Option<usize>,
    max_sockets_per_user: Option<usize>,
    allow_anonymous: Option<bool>,
    trusted_proxies: Option<Vec<String>>,
    proxy_headers: Option<http::ProxyHeaders>,
    base_path: Option<String>,
    hosts: Option<Vec<String>>,
    cors_origins: Option<Vec<String>>,
    frame_ancestors: Option<Vec<String>>,
    tls: Option<TlsSection>,
    acme: Option<AcmeSection>,
    jwt: Option<JwtSection>,
    forward_auth: Option<ForwardSection>,
    login_lifetime_seconds: Option<f64>,
    public_url: Option<String>,
    state_dir: Option<String>,
}

/// `[webrtc]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebrtcSection {
    listen: Option<String>,
    advertise: Option<Vec<String>>,
    include_interfaces: Option<Vec<String>>,
    exclude_interfaces: Option<Vec<String>>,
    ice: Option<peer::IceMode>,
    playout: Option<peer::Playout>,
    ice_servers: Option<Vec<IceServerEntry>>,
    max_sessions: Option<usize>,
    max_sessions_per_address: Option<usize>,
    max_sessions_per_user: Option<usize>,
    max_sessions_per_camera: Option<usize>,
    max_half_open_sessions: Option<usize>,
    max_half_open_sessions_per_address: Option<usize>,
    max_tcp_connections: Option<usize>,
    max_checks_per_second: Option<u32>,
}

/// Reads `[http]`, for a gateway with these users.
pub(super) fn http(value: Option<Value>, users: Vec<http::User>, report: &mut Report<'_>) -> http::Config {
    let path = KeyPath::root(keys::HTTP.name);
    let Checked { values, .. } = check::section::<HttpSection>(&keys::HTTP, &path, value, report);
    let allow_anonymous = values.allow_anonymous.unwrap_or(false);
    if allow_anonymous && report.document().sections().iter().any(|section| section == keys::USER.name) {
        let path = path.key("allow_anonymous");
        report.add(&path, Problem::Exclusive { first: "allow_anonymous", second: "[[user]]" });
    }
    for (second, is_there) in
        [("[http.jwt]", values.jwt.is_some()), ("[http.forward_auth]", values.forward_auth.is_some())]
    {
        if allow_anonymous && is_there {
            let path = path.key("allow_anonymous");
            report.add(&path, Problem::Exclusive { first: "allow_anonymous", second });
        }
    }
    let limits = http_limits(&values);
    let public_url = values.public_url.and_then(|text| {
        let refuse =
            |why| report.value(&path.key("public_url"), format!("{} ({why})", redact_url(&text)), PUBLIC_URL_WORDS);
        text.parse().map_err(refuse).ok()
    });
    let state_dir = values.state_dir.map_or_else(state_dir, PathBuf::from);
    let state_dir = report.document().folder().join(state_dir);
    http::Config {
        listen: values
            .listen
            .map_or(Ok(defaults::HTTP_LISTEN), |text| listen(&text, &path.key("listen"), report))
            .unwrap_or(defaults::HTTP_LISTEN),
        start_deadline: seconds(values.start_deadline_seconds, defaults::START_DEADLINE),
        limits,
        rate_limit: http::RateLimit {
            per_second: values.rate_limit_per_second.unwrap_or(defaults::RATE_LIMIT.per_second),
            burst: values.rate_limit_burst.unwrap_or(defaults::RATE_LIMIT.burst),
        },
        users,
        allow_anonymous,
        surroundings: http::Surroundings {
            trusted_proxies: list(
                values.trusted_proxies.unwrap_or_default(),
                &path.key("trusted_proxies"),
                PROXY_WORDS,
                report,
            ),
            proxy_headers: values.proxy_headers.unwrap_or_default(),
            base_path: base_path(values.base_path, &path.key("base_path"), report),
            hosts: hosts(values.hosts.unwrap_or_default(), &path.key("hosts"), report),
            cors_origins: list(
                values.cors_origins.unwrap_or_default(),
                &path.key("cors_origins"),
                ORIGIN_WORDS,
                report,
            ),
            frame_ancestors: list(
                values.frame_ancestors.unwrap_or_default(),
                &path.key("frame_ancestors"),
                FRAME_WORDS,
                report,
            ),
        },
        tls: tls::tls(values.tls, values.acme, &state_dir, &path, report),
        jwt: jwt::jwt(values.jwt, &path.key("jwt"), report),
        forward: forward_auth(values.forward_auth, &path.key("forward_auth"), report),
        login_lifetime: seconds(values.login_lifetime_seconds, defaults::LOGIN_LIFETIME),
        public_url,
        state_dir,
    }
}

fn http_limits(values: &HttpSection) -> http::Limits {
    let default = defaults::HTTP_LIMITS;
    let share = |[all, per_address, per_user]: [Option<usize>; 3], default: http::Portion| http::Portion {
        all: all.unwrap_or(default.all),
        per_address: per_address.unwrap_or(default.per_address),
        per_user: per_user.unwrap_or(default.per_user),
    };
    let connections = [values.max_connections, values.max_connections_per_address, None];
    let streams = [values.max_event_streams, values.max_event_streams_per_address, values.max_event_streams_per_user];
    let sockets = [values.max_sockets, values.max_sockets_per_address, values.max_sockets_per_user];
    http::Limits {
        connections: share(connections, default.connections),
        header_deadline: seconds(values.header_timeout_seconds, default.header_deadline),
        header_bytes: values.max_header_kib.map_or(default.header_bytes, |kib| kib << 10),
        body_bytes: values.max_body_kib.map_or(default.body_bytes, |kib| kib << 10),
        event_streams: share(streams, default.event_streams),
        sockets: share(sockets, default.sockets),
    }
}

/// Reads `[webrtc]`.
pub(super) fn webrtc(value: Option<Value>, report: &mut Report<'_>) -> peer::Config {
    let path = KeyPath::root(keys::WEBRTC.name);
    let Checked { values, .. } = check::section::<WebrtcSection>(&keys::WEBRTC, &path, value, report);
    let interfaces = interfaces(&values, &path, report);
    let ice_servers = values.ice_servers.unwrap_or_default();
    peer::Config {
        listen: values
            .listen
            .map_or(Ok(defaults::WEBRTC_LISTEN), |text| listen(&text, &path.key("listen"), report))
            .unwrap_or(defaults::WEBRTC_LISTEN),
        advertise: list(values.advertise.unwrap_or_default(), &path.key("advertise"), ADVERTISE_WORDS, report),
        interfaces,
        ice: values.ice.unwrap_or(defaults::ICE),
        playout: values.playout.unwrap_or(defaults::PLAYOUT),
        ice_servers: (ice_servers.into_iter().enumerate())
            .map(|(index, entry)| ice_servers::ice_server(entry, &path.key("ice_servers").index(index), report))
            .collect(),
        limits: peer::Limits {
            sessions: values.max_sessions.unwrap_or(defaults::LIMITS.sessions),
            per_address: values.max_sessions_per_address.unwrap_or(defaults::LIMITS.per_address),
            per_user: values.max_sessions_per_user.unwrap_or(defaults::LIMITS.per_user),
            per_camera: values.max_sessions_per_camera.unwrap_or(defaults::LIMITS.per_camera),
            half_open: values.max_half_open_sessions.unwrap_or(defaults::LIMITS.half_open),
            half_open_per_address: (values.max_half_open_sessions_per_address)
                .unwrap_or(defaults::LIMITS.half_open_per_address),
        },
        max_tcp_connections: values.max_tcp_connections.unwrap_or(defaults::MAX_TCP_CONNECTIONS),
        checks_per_second: values.max_checks_per_second.unwrap_or(defaults::CHECKS_PER_SECOND),
    }
}

/// Who names interfaces to include has thought about them all: what is left out by default is not, then.
fn interfaces(values: &WebrtcSection, path: &KeyPath, report: &mut Report<'_>) -> peer::Interfaces {
    let include = values.include_interfaces.clone().unwrap_or_default();
    let exclude = match &values.exclude_interfaces {
        Some(exclude) => exclude.clone(),
        None if include.is_empty() => defaults::EXCLUDED_INTERFACES.map(str::to_owned).to_vec(),
        None => Vec::new(),
    };
    peer::Interfaces {
        include: list(include, &path.key("include_interfaces"), INTERFACE_WORDS, report),
        exclude: list(exclude, &path.key("exclude_interfaces"), INTERFACE_WORDS, report),
    }
}

/// Each entry that is what the list holds; a fault for each other one.
pub(super) fn list<T: FromStr<Err: Display>>(
    texts: Vec<String>,
    path: &KeyPath,
    allowed: &str,
    report: &mut Report<'_>,
) -> Vec<T> {
    let entries = texts.into_iter().enumerate();
    let parse = |(index, text): (usize, String)| {
        let refuse = |why| report.value(&path.index(index), format!("{} ({why})", quote(&text)), allowed);
        text.parse().map_err(refuse).ok()
    };
    entries.filter_map(parse).collect()
}

fn hosts(names: Vec<String>, path: &KeyPath, report: &mut Report<'_>) -> Vec<String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !is_name(name)) {
        report.value(&path.index(index), quote(name), HOST_WORDS);
    }
    names
}

fn base_path(text: Option<String>, path: &KeyPath, report: &mut Report<'_>) -> http::BasePath {
    let Some(text) = text else { return http::BasePath::default() };
    text.parse().unwrap_or_else(|why| {
        report.value(path, format!("{} ({why})", quote(&text)), BASE_PATH_WORDS);
        http::BasePath::default()
    })
}

/// An address to listen on; `Err` only with a fault in the report.
pub(super) fn listen(text: &str, path: &KeyPath, report: &mut Report<'_>) -> Result<SocketAddr, ()> {
    text.parse().map_err(|_| report.value(path, quote(text), LISTEN_WORDS))
}

/// A number of seconds that the check has found within its bounds.
pub(super) fn seconds(number: Option<f64>, default: Duration) -> Duration {
    number.map_or(default, Duration::from_secs_f64)
}

/// Where the service manager says that it may be written (`StateDirectory=`, systemd.exec(5)), the first of several; or else
/// beside the configuration.
fn state_dir() -> PathBuf {
    let given = std::env::var("STATE_DIRECTORY").ok();
    let first = given.as_deref().and_then(|given| given.split(':').next()).filter(|first| !first.is_empty());
    PathBuf::from(first.unwrap_or(defaults::STATE_DIR))
}
