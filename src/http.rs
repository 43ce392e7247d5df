//! HTTP: WHEP (draft-ietf-wish-whep), the pages, the API, health and metrics. Nothing that a browser can do without is
//! kept here: sessions belong to [`crate::peer`], cameras to [`crate::hub`].

mod api;
mod auth;
mod base_url;
mod body;
mod bounds;
mod camera_events;
mod channel;
mod clip;
mod config;
mod cors;
mod events;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod health;
mod join;
mod metrics;
mod page;
mod problem;
mod proxy;
mod qr;
mod quality;
mod rate;
mod reloads;
mod serve;
mod server;
mod shares;
mod signalling;
mod site;
mod snapshot;
mod tls;
mod waiting;
mod whep;
mod whip;

use std::{sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{get, post},
};

pub use auth::{
    Action, BadPageOrigin, BadUser, BadWish, Cameras, ForwardConfig, JwtConfig, JwtKeys, JwtSecret, PageOrigin,
    PasswordHash, Share, ShareError, ShareId, ShareToken, Shares, TokenHash, User, UserName, Wish, hash_password,
    make_token, uneven_passwords,
};
pub use base_url::{BadBaseUrl, BaseUrl};
pub use bounds::{Limits, Portion};
pub use config::{Config, RateLimit, Surroundings};
pub use frames::{BadFrameAncestor, FrameAncestor};
pub use proxy::{BadBasePath, BasePath, Network, ProxyHeaders};
pub use qr::qr_text;
pub use reloads::Reloads;
pub use server::{BindError, Change, Opened, Server, Serving};
pub use tls::{Acme, BadCertificate, CertificateFiles, CertificateSource, TlsConfig, report as certificate_report};

use crate::{hub::Hub, peer::Peers};

/// What every handler may use.
#[derive(Clone)]
pub struct Context {
    /// The cameras.
    pub hub: Arc<Hub>,
    /// The sessions.
    pub peers: Arc<Peers>,
    /// Cameras that are to be live all the time; `/readyz` asks for them.
    pub always_on: Arc<[crate::media::CameraName]>,
    /// How long an offer waits for its camera.
    pub start_deadline: Duration,
    /// Whether what is configured is what runs.
    pub reloads: Arc<Reloads>,
}

/// What asks for something else than a [`Context`] finds it among the extensions.
fn router(context: Context, limits: Arc<rate::Limits>, registry: whep::Registry) -> Router {
    let limited = middleware::from_fn_with_state(limits, rate::limit);
    let open = Router::new()
        .merge(whep::routes(registry).merge(whip::routes()).layer(limited.clone()))
        // A wall of cameras asks for each of them, all the time; who asks holds a session.
        .merge(quality::routes())
        .route("/api/v1/cameras", get(api::cameras))
        .route("/api/v1/cameras/{camera}/snapshot.jpg", get(snapshot::get))
        .route("/api/v1/cameras/{camera}/clip.mp4", get(clip::get))
        .route("/api/v1/sessions", get(api::sessions))
        .route("/api/v1/user", get(api::user))
        .route("/api/v1/events", get(camera_events::stream))
        .route("/api/ws", get(signalling::upgrade))
        .layer(middleware::map_response(cors::expose));
    Router::new()
        .merge(open)
        .merge(shares::routes().layer(limited.clone()))
        .route("/", get(page::grid))
        .route("/share", get(page::share))
        .route("/login", get(auth::page).post(auth::log_in).layer(limited))
        .route("/logout", post(auth::log_out))
        .route("/watch/{camera}", get(page::watch))
        .route("/publish/{camera}", get(page::publish))
        .route("/publish", get(page::publish_by_link))
        .route("/assets/{file}", get(page::asset))
        .route("/healthz", get(health::process))
        .route("/readyz", get(health::cameras))
        .route("/api/v1/configuration", get(reloads::show))
        .route("/metrics", get(metrics::scrape))
        .fallback(problem::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(context)
}
