//! What a request needs for which address of ours.

use super::Action;

/// What there has to be before a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: strangers are answered too.
    Nothing,
    /// A user, whoever it is.
    Login,
    /// A user who may do one of these.
    OneOf(&'static [Action]),
}

/// The files that the login page loads.
const LOGIN_ASSETS: [&str; 7] =
    ["login.js", "base.js", "failure.js", "request.js", "words.js", "style.css", "icon.svg"];

/// The files that the page of a link loads beside those.
const SHARE_ASSETS: [&str; 15] = [
    "share.js",
    "stage.js",
    "player.js",
    "tile.js",
    "element.js",
    "whep.js",
    "session.js",
    "backoff.js",
    "fragment.js",
    "link.js",
    "delay.js",
    "catchup.js",
    "lipsync.js",
    "meter.js",
    "stats.js",
];

/// Whether somebody with a link may ask for a route: for the sessions of its camera, and what the link shows.
pub(super) fn is_for_guests(route: Option<&str>) -> bool {
    route.is_some_and(|route| route == "/api/v1/user" || route.starts_with("/whep/"))
}

/// By the route that `path` was matched with; what no route knows needs a login too.
pub(super) fn need(route: Option<&str>, path: &str) -> Need {
    match route {
        Some("/healthz" | "/login" | "/logout" | "/share") => Need::Nothing,
        Some("/assets/{file}") => {
            let file = path.strip_prefix("/assets/");
            let is_public = file.is_some_and(|file| LOGIN_ASSETS.contains(&file) || SHARE_ASSETS.contains(&file));
            if is_public { Need::Nothing } else { Need::Login }
        }
        None | Some("/api/v1/user") => Need::Login,
        Some("/" | "/watch/{camera}" | "/api/ws") => Need::OneOf(&[Action::Watch]),
        Some(route) if route.starts_with("/whep/") => Need::OneOf(&[Action::Watch]),
        Some("/api/v1/cameras" | "/api/v1/events") => Need::OneOf(&[Action::Watch, Action::Api]),
        Some("/readyz") => Need::OneOf(&[Action::Api, Action::Metrics]),
        Some("/metrics") => Need::OneOf(&[Action::Metrics]),
        Some("/api/v1/shares" | "/api/v1/shares/{share}") => Need::OneOf(&[Action::Share]),
        Some("/api/v1/configuration") => Need::OneOf(&[Action::Api]),
        // Also what is not here yet.
        Some(_) => Need::OneOf(&[Action::Api]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_only_what_a_login_takes() {
        let assets = |file: &str| need(Some("/assets/{file}"), &format!("/assets/{file}"));
        assert_eq!(assets("login.js"), Need::Nothing);
        assert_eq!(assets("grid.js"), Need::Login);
        assert_eq!(assets("login%2Ejs"), Need::Login);
        assert_eq!(need(Some("/healthz"), "/healthz"), Need::Nothing);
        assert_eq!(need(None, "/healthz/"), Need::Login, "no such page");
        assert_eq!(need(Some("/api/v2/secrets"), "/api/v2/secrets"), Need::OneOf(&[Action::Api]), "not thought of yet");
        assert_eq!(need(Some("/api/v1/shares/{share}"), ""), Need::OneOf(&[Action::Share]));
        for route in ["/whep/{camera}", "/whep/{camera}/{session}", "/api/v1/user"] {
            assert!(is_for_guests(Some(route)), "{route}");
        }
        let others =
            ["/", "/watch/{camera}", "/api/v1/shares", "/api/v1/cameras", "/api/v1/events", "/api/ws", "/metrics"];
        for route in others {
            assert!(!is_for_guests(Some(route)), "{route}");
        }
        assert!(!is_for_guests(None));
        for route in ["/", "/watch/{camera}", "/whep/{camera}", "/whep/{camera}/{session}/events/{stream}", "/api/ws"] {
            assert_eq!(need(Some(route), ""), Need::OneOf(&[Action::Watch]), "{route}");
        }
    }
}
