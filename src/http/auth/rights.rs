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
const SHARE_ASSETS: [&str; 26] = [
    "share.js",
    "guest.js",
    "stage.js",
    "player.js",
    "tile.js",
    "element.js",
    "whep.js",
    "session.js",
    "receiving.js",
    "channel.js",
    "backoff.js",
    "fragment.js",
    "link.js",
    "delay.js",
    "download.js",
    "catchup.js",
    "lipsync.js",
    "meter.js",
    "stats.js",
    "publish.js",
    "devices.js",
    "wakelock.js",
    "whip.js",
    "sending.js",
    "outbound.js",
    "user.js",
];

/// What a camera sees and saw, as files: for whoever may watch it.
const KEEPSAKES: [&str; 2] = ["/api/v1/cameras/{camera}/snapshot.jpg", "/api/v1/cameras/{camera}/clip.mp4"];

/// Whether somebody with a link may ask for a route: for the sessions of its camera and its files, and what the link shows; to be
/// the camera if it is to `publish`.
pub(super) fn is_for_guests(route: Option<&str>, publish: bool) -> bool {
    route == Some("/api/v1/user") || is_watching(route) || (publish && is_publishing(route))
}

/// Whether a link's token may stand in the URL: players, and whoever shows a picture by its address, can send no header.
pub(super) fn takes_link(route: Option<&str>) -> bool {
    is_watching(route) || is_publishing(route)
}

fn is_watching(route: Option<&str>) -> bool {
    route.is_some_and(|route| route.starts_with("/whep/") || KEEPSAKES.contains(&route))
}

fn is_publishing(route: Option<&str>) -> bool {
    route.is_some_and(|route| route.starts_with("/whip/")) && !is_talking(route)
}

fn is_talking(route: Option<&str>) -> bool {
    route.is_some_and(|route| route.starts_with("/whip/{camera}/talk"))
}

/// By the route that `path` was matched with; what no route knows needs a login too.
pub(super) fn need(route: Option<&str>, path: &str) -> Need {
    match route {
        Some("/healthz" | "/login" | "/logout" | "/share" | "/publish") => Need::Nothing,
        Some("/assets/{file}") => {
            let file = path.strip_prefix("/assets/");
            let is_public = file.is_some_and(|file| LOGIN_ASSETS.contains(&file) || SHARE_ASSETS.contains(&file));
            if is_public { Need::Nothing } else { Need::Login }
        }
        None | Some("/api/v1/user") => Need::Login,
        Some("/" | "/watch/{camera}" | "/api/ws") => Need::OneOf(&[Action::Watch]),
        route if is_watching(route) => Need::OneOf(&[Action::Watch]),
        route if is_publishing(route) => Need::OneOf(&[Action::Publish]),
        route if is_talking(route) => Need::OneOf(&[Action::Talk]),
        Some("/publish/{camera}") => Need::OneOf(&[Action::Publish]),
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
        for route in ["/whep/{camera}", "/whep/{camera}/{session}", "/api/v1/user"].into_iter().chain(KEEPSAKES) {
            assert!(is_for_guests(Some(route), false), "{route}");
        }
        let others =
            ["/", "/watch/{camera}", "/api/v1/shares", "/api/v1/cameras", "/api/v1/events", "/api/ws", "/metrics"];
        for route in others {
            assert!(!is_for_guests(Some(route), true), "{route}");
        }
        assert!(!is_for_guests(None, true));
        for route in ["/whip/{camera}", "/whip/{camera}/{session}"] {
            assert!(is_for_guests(Some(route), true) && !is_for_guests(Some(route), false), "{route}");
            assert_eq!(need(Some(route), ""), Need::OneOf(&[Action::Publish]), "{route}");
        }
        for route in ["/whip/{camera}/talk", "/whip/{camera}/talk/", "/whip/{camera}/talk/{session}"] {
            assert!(!is_for_guests(Some(route), true) && !takes_link(Some(route)), "{route}");
            assert_eq!(need(Some(route), ""), Need::OneOf(&[Action::Talk]), "{route}");
        }
        assert!(!takes_link(Some("/api/v1/user")));
        let watched = ["/", "/watch/{camera}", "/whep/{camera}", "/whep/{camera}/{session}/events/{stream}", "/api/ws"];
        for route in watched.into_iter().chain(KEEPSAKES) {
            assert_eq!(need(Some(route), ""), Need::OneOf(&[Action::Watch]), "{route}");
        }
    }
}
