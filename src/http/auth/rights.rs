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

/// By the route that `path` was matched with; what no route knows needs a login too.
pub(super) fn need(route: Option<&str>, path: &str) -> Need {
    match route {
        Some("/healthz" | "/login" | "/logout") => Need::Nothing,
        Some("/assets/{file}") => {
            let is_public = path.strip_prefix("/assets/").is_some_and(|file| LOGIN_ASSETS.contains(&file));
            if is_public { Need::Nothing } else { Need::Login }
        }
        None | Some("/api/v1/user") => Need::Login,
        Some("/" | "/watch/{camera}" | "/api/ws") => Need::OneOf(&[Action::Watch]),
        Some(route) if route.starts_with("/whep/") => Need::OneOf(&[Action::Watch]),
        Some("/api/v1/cameras" | "/api/v1/events") => Need::OneOf(&[Action::Watch, Action::Api]),
        Some("/readyz") => Need::OneOf(&[Action::Api, Action::Metrics]),
        Some("/metrics") => Need::OneOf(&[Action::Metrics]),
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
        for route in ["/", "/watch/{camera}", "/whep/{camera}", "/whep/{camera}/{session}/events/{stream}", "/api/ws"] {
            assert_eq!(need(Some(route), ""), Need::OneOf(&[Action::Watch]), "{route}");
        }
    }
}
