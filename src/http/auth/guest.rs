//! Whoever has a link: lets them in by its token, with users and without, from wherever they come.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::http::{HeaderMap, Uri, header};
use tracing::warn;
use url::form_urlencoded;

use super::{
    Action, Caller, Gate, Maker, Share, ShareToken, User,
    credentials::{Credentials, credentials},
    rights::{is_for_guests, takes_link},
    share::Recognised,
};
use crate::http::problem::Problem;

/// The parameter of a URL that stands for a header, for players and publishers that cannot send one.
pub(super) const PARAMETER: &str = "share";

/// A text that is meant to be a link's token. Without `Debug`, so that nothing prints it.
pub(super) struct Presented {
    text: String,
    in_url: bool,
}

/// Why a link does not let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoEntry {
    /// It is over, or was never there.
    Ended,
    /// Too many that were never there have come from this address.
    TooOften(Duration),
    /// It is good, but not for this.
    NotHere,
}

impl From<NoEntry> for Problem {
    fn from(why: NoEntry) -> Self {
        match why {
            NoEntry::Ended => Self::link_ended(),
            NoEntry::TooOften(wait) => Self::too_many_failures(wait),
            NoEntry::NotHere => Self::only_one_camera(),
        }
    }
}

/// The token that a request has: as Bearer, or in the URL of WHEP and of what a camera sees. Who says otherwise who they are means that.
pub(super) fn presented(route: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Option<Presented> {
    if headers.contains_key(header::AUTHORIZATION) {
        return match credentials(headers) {
            Some(Credentials::Bearer(text)) if ShareToken::is_meant(&text) => Some(Presented { text, in_url: false }),
            _ => None,
        };
    }
    if !takes_link(route) {
        return None;
    }
    let (_, text) = form_urlencoded::parse(uri.query()?.as_bytes()).find(|(name, _)| name == PARAMETER)?;
    Some(Presented { text: text.into_owned(), in_url: true })
}

impl Gate {
    /// Somebody with a link, if it is good for what they ask. A link that is over, one that was never there and one whose
    /// maker may not share any more are answered alike. An old one costs nobody a pause.
    pub(super) fn admit_guest(
        self: &Arc<Self>,
        address: IpAddr,
        route: Option<&str>,
        link: Presented,
    ) -> Result<Caller, NoEntry> {
        let share = match self.shares().recognise(&link.text, SystemTime::now()) {
            Recognised::Live(share) if self.honours(&share) => share,
            Recognised::Live(_) | Recognised::Ended => return Err(NoEntry::Ended),
            Recognised::Forged => {
                self.throttle().link_failed(address, Instant::now()).map_err(NoEntry::TooOften)?;
                if self.may_log() {
                    let client = address.to_canonical();
                    warn!(%client, "login failed from {client}: no such link");
                }
                return Err(NoEntry::Ended);
            }
        };
        if !is_for_guests(route, share.publish) {
            return Err(NoEntry::NotHere);
        }
        let in_url = link.in_url.then(|| self.shares().token(&share)).flatten();
        Ok(Caller::Guest { share, in_url, gate: self.clone() })
    }

    /// Whether its maker could make it today.
    pub(super) fn honours(&self, share: &Share) -> bool {
        match &share.by {
            Maker::Operator => true,
            Maker::Anyone => !self.has_users(),
            Maker::User(name) => self.user(name).is_some_and(|user| may_make(user, share)),
        }
    }
}

/// Nobody gives what they have not.
fn may_make(user: &User, share: &Share) -> bool {
    let may = |action| user.actions.contains(&action);
    may(Action::Share) && (!share.publish || may(Action::Publish)) && user.cameras.has(&share.camera)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::{Cameras, Wish, state_dir::StateDir};

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

    fn gate(users: &[User], folder: &std::path::Path) -> Arc<Gate> {
        Arc::new(Gate::new(users, false, Duration::ZERO, StateDir::new(folder)))
    }

    fn anna(cameras: Cameras, actions: &[Action]) -> User {
        let name = "anna".parse().expect("a name");
        User { name, password: None, token: None, cameras, actions: actions.to_vec() }
    }

    fn status(gate: &Arc<Gate>, text: &str) -> u16 {
        let link = Presented { text: text.to_owned(), in_url: false };
        gate.admit_guest(HOME, Some("/whep/{camera}"), link).map_or_else(|why| Problem::from(why).status(), |_| 200)
    }

    #[test]
    fn a_link_is_good_as_long_as_its_maker_may_share() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = gate(&[], folder.path());
        let make = |by| {
            let wish = Wish::new("front", Duration::from_secs(3_600), None, "").expect("a wish");
            open.shares().make_for(by, wish, SystemTime::now()).expect("a share").1
        };
        let links = [Maker::Operator, Maker::Anyone, Maker::User("anna".to_owned())].map(make);
        let statuses = |gate: &Arc<Gate>| links.each_ref().map(|link| status(gate, link.expose()));
        assert_eq!(statuses(&open), [200, 200, 410]);
        let share = [Action::Watch, Action::Share];
        let of = |cameras, actions: &[Action]| gate(&[anna(cameras, actions)], folder.path());
        assert_eq!(statuses(&of(Cameras::All, &share)), [200, 410, 200]);
        assert_eq!(statuses(&of(Cameras::Only(vec!["front".to_owned()]), &share)), [200, 410, 200]);
        assert_eq!(statuses(&of(Cameras::Only(vec!["back".to_owned()]), &share)), [200, 410, 410]);
        assert_eq!(statuses(&of(Cameras::All, &[Action::Watch])), [200, 410, 410]);
    }

    #[test]
    fn a_link_to_publish_takes_a_maker_who_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = gate(&[], folder.path());
        let wish = Wish::new("front", Duration::from_secs(3_600), None, "").expect("a wish");
        let by = || Maker::User("anna".to_owned());
        let make = |wish| open.shares().make_for(by(), wish, SystemTime::now()).expect("a share").1;
        let links = [make(wish.clone()), make(wish.publishing(true))];
        let statuses = |actions: &[Action], route: &'static str| {
            let gate = gate(&[anna(Cameras::All, actions)], folder.path());
            links.each_ref().map(|link| {
                let link = Presented { text: link.expose().to_owned(), in_url: false };
                gate.admit_guest(HOME, Some(route), link).map_or_else(|why| Problem::from(why).status(), |_| 200)
            })
        };
        let all = [Action::Watch, Action::Share, Action::Publish];
        assert_eq!(statuses(&all, "/whep/{camera}"), [200, 200]);
        assert_eq!(statuses(&all, "/whip/{camera}"), [403, 200]);
        assert_eq!(statuses(&[Action::Watch, Action::Share], "/whip/{camera}"), [403, 410]);
        assert_eq!(statuses(&[Action::Watch, Action::Share], "/whep/{camera}"), [200, 410]);
    }

    #[test]
    fn who_guesses_at_links_has_to_pause_and_locks_out_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = gate(&[], folder.path());
        let wish = Wish::new("front", Duration::from_secs(3_600), None, "").expect("a wish");
        let (share, link) = gate.shares().make(wish.clone()).expect("a share");
        let old = gate.shares().make(wish).expect("a share");
        gate.shares().end(old.0.id).expect("no fault");
        for _ in 0..100 {
            assert_eq!(status(&gate, old.1.expose()), 410, "an old link is no guess");
        }
        let mut forged = link.expose().to_owned();
        forged.replace_range(20..21, if &forged[20..21] == "A" { "B" } else { "A" });
        let answers: Vec<_> = (0..20).map(|_| status(&gate, &forged)).collect();
        assert_eq!(answers[..6], [410; 6]);
        assert!(answers[7..].iter().all(|status| *status == 429), "{answers:?}");
        assert_eq!(status(&gate, link.expose()), 200, "who has the link goes on");
        assert!(gate.throttle().check_address(HOME, Instant::now()).is_ok(), "and so does who has a password");
        assert!(gate.failures() >= 6);
        assert_eq!(share.camera, "front");
    }

    #[test]
    fn a_token_in_the_url_is_for_whep_and_for_who_says_nothing_else() {
        let of = |route, uri: &str, authorization: Option<&str>| {
            let headers = authorization.map(|value| (header::AUTHORIZATION, value.parse().expect("a value")));
            let uri = uri.parse().expect("a path");
            presented(Some(route), &uri, &headers.into_iter().collect()).map(|link| (link.text, link.in_url))
        };
        let some = |text: &str, in_url| Some((text.to_owned(), in_url));
        assert_eq!(of("/whep/{camera}", "/whep/front?a=b&share=cgs_x", None), some("cgs_x", true));
        assert_eq!(of("/whep/{camera}", "/whep/front?share=x", None), some("x", true));
        assert_eq!(of("/whep/{camera}", "/whep/front", Some("Bearer cgs_x")), some("cgs_x", false));
        assert_eq!(of("/", "/", Some("bearer cgs_x")), some("cgs_x", false));
        assert_eq!(of("/whep/{camera}", "/whep/front?share=cgs_x", Some("Bearer 0123")), None);
        assert_eq!(of("/whep/{camera}", "/whep/front?share=cgs_x", Some("Basic YW5uYTo=")), None);
        assert_eq!(of("/", "/?share=cgs_x", None), None);
        assert_eq!(of("/whep/{camera}", "/whep/front", None), None);
    }
}
