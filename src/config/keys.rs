//! The one table of every key: its section, its name, what may stand there.
//!
//! The check of the file, the names and types of environment variables, every "did you mean" and the test of the
//! shipped config.toml read this table. A test compares it with the structs that serde fills.

use std::fmt;

/// A table of the file with a fixed set of keys.
#[derive(Debug)]
pub(super) struct Section {
    /// The name in brackets, `http` for `[http]`; of a table in another, with the other's.
    pub(super) name: &'static str,
    /// All keys that the table may have.
    pub(super) keys: &'static [Key],
}

/// One key of a section.
#[derive(Debug)]
pub(super) struct Key {
    /// The name to the left of the `=`.
    pub(super) name: &'static str,
    /// What may stand to the right of it.
    pub(super) kind: Kind,
}

/// What may stand to the right of a key. The `Display` continues the words "allowed: ".
#[derive(Debug)]
pub(super) enum Kind {
    /// A string; in words, what it must say.
    Text(&'static str),
    /// A string that no message may show; in words, what it is.
    Secret(&'static str),
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A whole number within these bounds.
    Integer { min: i64, max: i64 },
    /// Yes or no.
    Flag,
    /// Seconds within these bounds, with or without a fraction.
    Seconds { min: f64, max: f64 },
    /// A list of strings; in words, what each must say.
    TextList(&'static str),
    /// A string or a list of them; in words, what each must say.
    TextOrList(&'static str),
    /// A list of STUN and TURN servers: strings, or tables with the keys of [`ICE_SERVER`].
    IceServers,
    /// A table with these keys.
    Table(&'static Section),
    /// A table whose keys the user chooses, with one plain value each.
    Parameters,
}

impl Section {
    /// The key of that name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(words) | Self::Secret(words) => write!(f, "{words}, in quotes"),
            Self::Choice(choices) => {
                let quoted: Vec<_> = choices.iter().map(|choice| format!("{choice:?}")).collect();
                f.write_str(&quoted.join(" or "))
            }
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Flag => f.write_str("true or false"),
            Self::Seconds { min, max } => write!(f, "seconds from {min} to {max}"),
            Self::TextList(words) => write!(f, "a list of {words}, such as [\"...\", \"...\"]"),
            Self::TextOrList(words) => write!(f, "{words}, or a list of them"),
            Self::IceServers => f.write_str(
                "a list of \"stun:host:port\" or \
                 { urls = [\"turn:host:port\"], username = \"...\", credential = \"...\" }",
            ),
            Self::Table(section) => write!(f, "a table [{}]", section.name),
            Self::Parameters => {
                f.write_str("a table of plain values, such as { device = \"/dev/video0\", width = 1280 }")
            }
        }
    }
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

pub(super) const LISTEN_WORDS: &str = "an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"";
pub(super) const ISSUER_WORDS: &str = "what tokens have in iss";
pub(super) const AUDIENCE_WORDS: &str = "what tokens for this gateway have in aud";
pub(super) const SERVICE_WORDS: &str = "an http:// or https:// address without credentials";
pub(super) const HEADER_WORDS: &str = "the name of a header field, such as Remote-User";
pub(super) const JWT_SECRET_WORDS: &str = "a secret of 32 bytes at least, shared with the identity provider";
pub(super) const PUBLIC_URL_WORDS: &str =
    "what browsers outside reach this gateway by, such as \"https://cam.example.org\"";
pub(super) const ADVERTISE_WORDS: &str = "IP addresses or host names without a port";
pub(super) const INTERFACE_WORDS: &str =
    "names of interfaces such as eth0 or docker*, or networks such as 192.168.1.0/24";
pub(super) const ICE_URL_WORDS: &str = "stun:host[:port], stuns:..., turn:host[:port][?transport=udp|tcp] or turns:...";
pub(super) const PROXY_WORDS: &str = "IP addresses or networks such as 172.18.0.0/16";
pub(super) const BASE_PATH_WORDS: &str = "a path such as \"/cams\"";
pub(super) const CERTIFICATE_WORDS: &str = "a file with the certificate and those between it and its authority (PEM)";
pub(super) const KEY_WORDS: &str = "a file with the private key of the certificate (PEM)";
pub(super) const HOST_WORDS: &str = "host names without a port such as cam.example.org";
pub(super) const ORIGIN_WORDS: &str = "origins such as https://player.example.org:8443, \"null\" or \"*\"";
pub(super) const FRAME_WORDS: &str = "origins such as https://home.example.org or https://*.example.org, or \"*\"";
pub(super) const DOMAIN_WORDS: &str = "public host names of this machine such as cam.example.org";
pub(super) const EMAIL_WORDS: &str = "an email address";
pub(super) const DIRECTORY_WORDS: &str = "the https:// address of an ACME directory";
pub(super) const NAME_WORDS: &str = "1 to 64 of a-z, 0-9, _ and -";
pub(super) const USER_NAME_WORDS: &str = "1 to 64 letters, digits, dots, _, - and @";
pub(super) const PASSWORD_HASH_WORDS: &str = "what `camgate password` prints";
pub(super) const TOKEN_HASH_WORDS: &str = "what `camgate token` prints behind token_hash";
pub(super) const USER_CAMERAS_WORDS: &str = "the name of a camera, or \"*\" for all";
pub(super) const ACTION_WORDS: &str = "watch, publish, talk, api, metrics or share";
pub(super) const PIPELINE_WORDS: &str = "the name of a pipeline file without .launch (letters, digits, _ and -)";

/// `[http]`
pub(super) static HTTP: Section = Section {
    name: "http",
    keys: &[
        key("listen", Kind::Text(LISTEN_WORDS)),
        key("start_deadline_seconds", Kind::Seconds { min: 0.1, max: 120.0 }),
        key("rate_limit_per_second", Kind::Integer { min: 1, max: 100_000 }),
        key("rate_limit_burst", Kind::Integer { min: 1, max: 100_000 }),
        key("max_connections", Kind::Integer { min: 8, max: 8_192 }),
        key("max_connections_per_address", Kind::Integer { min: 1, max: 8_192 }),
        key("header_timeout_seconds", Kind::Seconds { min: 1.0, max: 300.0 }),
        key("max_header_kib", Kind::Integer { min: 8, max: 1_024 }),
        key("max_body_kib", Kind::Integer { min: 16, max: 4_096 }),
        key("max_event_streams", Kind::Integer { min: 1, max: 8_192 }),
        key("max_event_streams_per_address", Kind::Integer { min: 1, max: 8_192 }),
        key("max_event_streams_per_user", Kind::Integer { min: 1, max: 8_192 }),
        key("max_sockets", Kind::Integer { min: 1, max: 8_192 }),
        key("max_sockets_per_address", Kind::Integer { min: 1, max: 8_192 }),
        key("max_sockets_per_user", Kind::Integer { min: 1, max: 8_192 }),
        key("allow_anonymous", Kind::Flag),
        key("trusted_proxies", Kind::TextList(PROXY_WORDS)),
        key("proxy_headers", Kind::Choice(&["x-forwarded", "forwarded"])),
        key("base_path", Kind::Text(BASE_PATH_WORDS)),
        key("hosts", Kind::TextList(HOST_WORDS)),
        key("cors_origins", Kind::TextList(ORIGIN_WORDS)),
        key("frame_ancestors", Kind::TextList(FRAME_WORDS)),
        key("tls", Kind::Table(&TLS)),
        key("acme", Kind::Table(&ACME)),
        key("jwt", Kind::Table(&JWT)),
        key("forward_auth", Kind::Table(&FORWARD_AUTH)),
        key("login_lifetime_seconds", Kind::Seconds { min: 60.0, max: 31_536_000.0 }),
        key("public_url", Kind::Text(PUBLIC_URL_WORDS)),
        key("state_dir", Kind::Text("a folder that camgate may write to")),
    ],
};

/// `[http.tls]`
pub(super) static TLS: Section = Section {
    name: "http.tls",
    keys: &[
        key("certificate", Kind::Text(CERTIFICATE_WORDS)),
        key("key", Kind::Text(KEY_WORDS)),
        key("redirect_listen", Kind::Text(LISTEN_WORDS)),
        key("hsts_seconds", Kind::Seconds { min: 0.0, max: 63_072_000.0 }),
    ],
};

/// `[http.acme]`
pub(super) static ACME: Section = Section {
    name: "http.acme",
    keys: &[
        key("domains", Kind::TextList(DOMAIN_WORDS)),
        key("email", Kind::Text(EMAIL_WORDS)),
        key("cache_dir", Kind::Text("a folder that camgate may write to")),
        key("directory", Kind::Text(DIRECTORY_WORDS)),
    ],
};

/// `[http.jwt]`
pub(super) static JWT: Section = Section {
    name: "http.jwt",
    keys: &[
        key("issuer", Kind::Text(ISSUER_WORDS)),
        key("audience", Kind::Text(AUDIENCE_WORDS)),
        key("jwks_url", Kind::Text(SERVICE_WORDS)),
        key("secret", Kind::Secret(JWT_SECRET_WORDS)),
        key("secret_file", Kind::Text("a file with nothing but that secret")),
        key("name_claim", Kind::Text("the name of a claim")),
        key("cameras_claim", Kind::Text("the name of a claim")),
        key("actions_claim", Kind::Text("the name of a claim")),
    ],
};

/// `[http.forward_auth]`
pub(super) static FORWARD_AUTH: Section = Section {
    name: "http.forward_auth",
    keys: &[
        key("url", Kind::Text(SERVICE_WORDS)),
        key("user_header", Kind::Text(HEADER_WORDS)),
        key("cameras_header", Kind::Text(HEADER_WORDS)),
        key("cache_seconds", Kind::Seconds { min: 0.0, max: 300.0 }),
        key("timeout_seconds", Kind::Seconds { min: 0.1, max: 30.0 }),
    ],
};

/// `[webrtc]`
pub(super) static WEBRTC: Section = Section {
    name: "webrtc",
    keys: &[
        key("listen", Kind::Text(LISTEN_WORDS)),
        key("advertise", Kind::TextList(ADVERTISE_WORDS)),
        key("include_interfaces", Kind::TextList(INTERFACE_WORDS)),
        key("exclude_interfaces", Kind::TextList(INTERFACE_WORDS)),
        key("ice", Kind::Choice(&["full", "lite"])),
        key("playout", Kind::Choice(&["adaptive", "realtime", "smooth"])),
        key("ice_servers", Kind::IceServers),
        key("max_sessions", Kind::Integer { min: 1, max: 100_000 }),
        key("max_sessions_per_address", Kind::Integer { min: 1, max: 100_000 }),
        key("max_sessions_per_user", Kind::Integer { min: 1, max: 100_000 }),
        key("max_sessions_per_camera", Kind::Integer { min: 1, max: 100_000 }),
        key("max_half_open_sessions", Kind::Integer { min: 1, max: 100_000 }),
        key("max_half_open_sessions_per_address", Kind::Integer { min: 1, max: 100_000 }),
        key("max_tcp_connections", Kind::Integer { min: 1, max: 4_096 }),
        key("max_checks_per_second", Kind::Integer { min: 1, max: 100_000 }),
    ],
};

/// One table in `ice_servers` of `[webrtc]`
pub(super) static ICE_SERVER: Section = Section {
    name: "ice_servers",
    keys: &[
        key("urls", Kind::TextList(ICE_URL_WORDS)),
        key("username", Kind::Text("the user of the TURN server")),
        key("credential", Kind::Secret("the password of that user")),
        key("secret", Kind::Secret("the secret that the TURN server shares")),
        key("secret_file", Kind::Text("a file with nothing but the secret")),
        key("lifetime_seconds", Kind::Seconds { min: 60.0, max: 604_800.0 }),
    ],
};

/// `[pipelines]`
pub(super) static PIPELINES: Section =
    Section { name: "pipelines", keys: &[key("path", Kind::TextList("folders with .launch files"))] };

/// `[shutdown]`
pub(super) static SHUTDOWN: Section =
    Section { name: "shutdown", keys: &[key("grace_seconds", Kind::Seconds { min: 0.0, max: 300.0 })] };

/// `[log]`
pub(super) static LOG: Section = Section {
    name: "log",
    keys: &[
        key("format", Kind::Choice(&["human", "json"])),
        key("level", Kind::Choice(&["error", "warn", "info", "debug", "trace"])),
    ],
};

/// `[[camera]]`
pub(super) static CAMERA: Section = Section {
    name: "camera",
    keys: &[
        key("name", Kind::Text(NAME_WORDS)),
        key("url", Kind::Text("rtsp://host[:port]/path without credentials")),
        key("pipeline", Kind::Text(PIPELINE_WORDS)),
        key("source", Kind::Choice(&["whip"])),
        key("takeover", Kind::Flag),
        key("with", Kind::Parameters),
        key("username", Kind::Text("the user of the camera")),
        key("password", Kind::Secret("the password of that user")),
        key("password_file", Kind::Text("a file with nothing but the password")),
        key("transport", Kind::Choice(&["tcp", "udp"])),
        key("audio", Kind::Choice(&["auto", "passthrough", "off"])),
        key("events", Kind::Flag),
        key("audio_bitrate_kbps", Kind::Integer { min: 6, max: 510 }),
        key("start", Kind::Choice(&["on-demand", "always"])),
        key("linger_seconds", Kind::Seconds { min: 0.0, max: 86_400.0 }),
        key("gop_cache_mib", Kind::Integer { min: 0, max: 1024 }),
        key("gop_cache_seconds", Kind::Seconds { min: 0.1, max: 600.0 }),
        key("clip_seconds", Kind::Seconds { min: 0.0, max: 600.0 }),
        key("clip_mib", Kind::Integer { min: 1, max: 1024 }),
        key("talk", Kind::Choice(&["off", "onvif", "pipeline"])),
        key("talk_pipeline", Kind::Text(PIPELINE_WORDS)),
        key("talk_with", Kind::Parameters),
        key("talk_limit_seconds", Kind::Seconds { min: 1.0, max: 3_600.0 }),
    ],
};

/// `[[user]]`
pub(super) static USER: Section = Section {
    name: "user",
    keys: &[
        key("name", Kind::Text(USER_NAME_WORDS)),
        key("password_hash", Kind::Secret(PASSWORD_HASH_WORDS)),
        key("token_hash", Kind::Secret(TOKEN_HASH_WORDS)),
        key("cameras", Kind::TextOrList(USER_CAMERAS_WORDS)),
        key("actions", Kind::TextList(ACTION_WORDS)),
    ],
};

/// The lists of tables beside the [`SECTIONS`].
pub(super) static LISTS: [&Section; 2] = [&CAMERA, &USER];

/// The sections with one table each, in the order of the shipped file; [`LISTS`] are beside them.
pub(super) static SECTIONS: [&Section; 5] = [&HTTP, &WEBRTC, &PIPELINES, &SHUTDOWN, &LOG];

/// The candidate that `typed` was probably meant to be: at most one mistake in three letters.
pub(super) fn closest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(typed, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_only_what_is_close() {
        let guess = |typed| closest(typed, CAMERA.keys.iter().map(|key| key.name));
        assert_eq!(guess("pasword").as_deref(), Some("password"));
        assert_eq!(guess("ulr").as_deref(), Some("url"));
        assert_eq!(guess("linger").as_deref(), None);
        assert_eq!(guess("colour"), None);
    }
}
