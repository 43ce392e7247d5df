//! Who may have what: from a request to a [`Caller`], or to the answer that refuses it.
//!
//! Without users everybody of this machine and of private networks may have everything, and nobody else anything. With
//! users a request names one of them: by name and password (Basic), by token (Bearer), or by the cookie of the login page.
//! With or without users, the token of a link (`share`) shows one camera to whoever sends it, and nothing else.
//! What it needs for which address is in `rights`; which cameras are its user's, the handlers ask the [`Caller`].

mod caller;
mod checker;
mod cookies;
mod credentials;
mod forward;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod gate;
mod guest;
mod jwt;
mod login;
mod near;
mod origin;
mod outward;
mod owners;
mod passwords;
mod private;
mod rights;
mod share;
mod state_dir;
mod throttle;
mod user;

use std::sync::Arc;

use axum::{Extension, Router, middleware};

pub(super) use self::{
    caller::{Caller, End},
    gate::Gate,
    login::{log_in, log_out, page},
    near::{is_from_near, is_local_name},
    share::{Maker, Seat},
};
pub use self::{
    forward::ForwardConfig,
    jwt::{JwtConfig, JwtKeys, JwtSecret},
    near::{BadPageOrigin, PageOrigin},
    passwords::{hash_password, uneven_passwords},
    share::{BadWish, Share, ShareError, ShareId, ShareToken, Shares, Wish},
    user::{Action, BadUser, Cameras, PasswordHash, TokenHash, User, UserName, make_token},
};

/// Lets requests to `router` past `gate` only, what it does not know included.
pub(super) fn around(router: Router, gate: Arc<Gate>) -> Router {
    router.layer(middleware::from_fn_with_state(gate.clone(), gate::guard)).layer(Extension(gate))
}
