//! Which of the ports that systemd has opened is which of ours.

use crate::{
    config::Config,
    http, peer,
    systemd::{BadSocket, Port, Sockets},
};

/// Gives each layer its own.
///
/// # Errors
/// [`BadSocket`] when one is for none of them.
pub(super) fn of(config: &Config, mut sockets: Sockets) -> Result<(http::Opened, peer::Opened), BadSocket> {
    let pages = Port { name: "http", key: "[http] listen", address: config.http.listen };
    let media = Port { name: "webrtc", key: "[webrtc] listen", address: config.peer.listen };
    let redirect = config.http.tls.as_ref().and_then(|tls| tls.redirect_listen);
    let redirect = redirect.map(|address| Port { name: "redirect", key: "[http.tls] redirect_listen", address });
    let pages = sockets.tcp(&pages)?;
    let redirect = redirect.map(|redirect| sockets.tcp(&redirect)).transpose()?.flatten();
    let media = peer::Opened { udp: sockets.udp(&media)?, tcp: sockets.tcp(&media)? };
    sockets.finish()?;
    Ok((http::Opened { pages, redirect }, media))
}
