//! What somebody is told who may not have what they ask for.

use std::{net::IpAddr, time::Duration};

use axum::http::StatusCode;

use super::{FULL, Problem, SOON, capitalized};
use crate::http::ShareError;

impl Problem {
    /// Of a public address, while there are no users.
    pub(in crate::http) fn stranger() -> Self {
        let detail = "This gateway has no users, so that it answers private networks only. To let others in, define a \
                      [[user]] in its configuration, or set [http] allow_anonymous = true.";
        Self::new(StatusCode::FORBIDDEN, "stranger", "Not for strangers", detail)
    }

    /// Of a private address that asks for somebody else, while there are no users.
    pub(in crate::http) fn veiled(proxy: IpAddr) -> Self {
        let detail = format!(
            "A reverse proxy at {} asks for somebody else, and this gateway has no users, so that it has to know for whom. \
             Name the proxy in [http] trusted_proxies of the gateway's configuration, or define a [[user]].",
            proxy.to_canonical()
        );
        Self::new(StatusCode::FORBIDDEN, "unknown-proxy", "Behind an unknown proxy", detail)
    }

    pub(in crate::http) fn login_needed() -> Self {
        let detail = "This gateway answers its users only: log in on its login page, or send a name and password (Basic) or a \
                      token (Bearer) that it knows.";
        Self::new(StatusCode::UNAUTHORIZED, "login-needed", "Login needed", detail)
    }

    /// Nobody has a password, so that there is nothing to fill in.
    pub(in crate::http) fn no_passwords() -> Self {
        let detail = "This gateway knows its users by tokens or by another service, which has a login page of its own: begin there, or \
                      ask whoever runs the gateway for a link.";
        Self::new(StatusCode::NOT_FOUND, "no-passwords", "No passwords here", detail)
    }

    /// Whoever knows the users does not answer.
    pub(in crate::http) fn provider_silent() -> Self {
        let detail = "The service that tells this gateway who may watch does not answer; the gateway's log says why.";
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "provider", "Nobody to ask", detail);
        problem.retry_after = Some(FULL);
        problem
    }

    pub(in crate::http) fn wrong_password() -> Self {
        let detail = "The name or the password is wrong.";
        Self::new(StatusCode::UNAUTHORIZED, "wrong-password", "Wrong password", detail)
    }

    pub(in crate::http) fn too_many_failures(wait: Duration) -> Self {
        let detail = "Too many wrong names, passwords or tokens have come.";
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "failures", "Too many failed logins", detail);
        problem.retry_after = Some(wait);
        problem
    }

    pub(in crate::http) fn too_many_logins() -> Self {
        let detail = "Too many logins are being checked already.";
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "full", "Too many logins", detail);
        problem.retry_after = Some(SOON);
        problem
    }

    pub(in crate::http) fn not_your_action(needed: &str) -> Self {
        let detail = format!("This takes a user with actions = [...] that has {needed}.");
        Self::new(StatusCode::FORBIDDEN, "not-allowed", "Not allowed", detail)
    }

    /// Of a link that is over, or is none of ours.
    pub(in crate::http) fn link_ended() -> Self {
        let detail = "This link has ended, or it is not whole. Ask whoever gave it to you for another one.";
        Self::new(StatusCode::GONE, "link-ended", "This link has ended", detail)
    }

    /// So many watch by a link already.
    pub(in crate::http) fn link_full(viewers: u32) -> Self {
        let detail = match viewers {
            1 => "Somebody else is watching by this link, which is for one at a time.".to_owned(),
            _ => format!("{viewers} are watching by this link already, which is all that it is for."),
        };
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "link-full", "Somebody else is watching", detail);
        problem.retry_after = Some(SOON);
        problem
    }

    pub(in crate::http) fn only_one_camera() -> Self {
        let detail = "A link shows its camera, and nothing else.";
        Self::new(StatusCode::FORBIDDEN, "not-allowed", "Not by a link", detail)
    }

    pub(in crate::http) fn bad_share(reason: &str) -> Self {
        let detail = format!("This cannot be shared so: {reason}.");
        Self::new(StatusCode::BAD_REQUEST, "bad-share", "Unusable share", detail)
    }

    pub(in crate::http) fn unknown_share() -> Self {
        let detail = "There is no such link; it may have ended already.";
        Self::new(StatusCode::NOT_FOUND, "no-such-share", "No such link", detail)
    }

    /// A link could not be kept.
    pub(in crate::http) fn unkept(error: &ShareError) -> Self {
        let status = match error {
            ShareError::Full => StatusCode::CONFLICT,
            ShareError::State(_) | ShareError::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // Where files lie is for the log.
        let detail = match error {
            ShareError::Full => capitalized(&error.to_string()),
            _ => "The gateway cannot keep links; its log says why.".to_owned(),
        };
        Self::new(status, "share-not-kept", "The link was not made", detail)
    }

    /// Where there are no users, links are made from near, by pages that are surely ours.
    pub(in crate::http) fn not_from_here() -> Self {
        let detail = "Without users, links are made in the gateway's own network, on a page whose address is a number or \
                      a name of that network; or by `camgate share`.";
        Self::new(StatusCode::FORBIDDEN, "not-from-here", "Not from here", detail)
    }

    pub(in crate::http) fn foreign_page() -> Self {
        let detail =
            "A page of another site sent this, or a browser that does not tell; only this gateway's own pages may.";
        Self::new(StatusCode::FORBIDDEN, "foreign-page", "Not from here", detail)
    }

    /// Of a name that may be a stranger's, while there are no users.
    pub(in crate::http) fn foreign_name(host: &str) -> Self {
        let name: String =
            host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(*c)).take(80).collect();
        let detail = format!(
            "This gateway has no users, so that it is asked by its address and by local names only: another name may be that of \
             a stranger's page. If \"{name}\" is yours, put it into [http] hosts of the gateway's configuration."
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, "foreign-name", "Not by this name", detail)
    }

    /// Of a page of the internet, while there are no users.
    pub(in crate::http) fn foreign_origin() -> Self {
        let detail = "This gateway has no users, so that pages of the internet may not use it through a browser near by. If \
                      this page is yours, put its origin into [http] cors_origins of the gateway's configuration.";
        Self::new(StatusCode::FORBIDDEN, "foreign-origin", "Not from this page", detail)
    }
}
