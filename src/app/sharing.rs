//! `camgate share`, `shares` and `unshare`: links that show one camera, made on the gateway's machine. They write the file that
//! the gateway reads, so that it need not run, and nobody needs a password who may write there.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, bail};
use humantime::format_rfc3339_seconds;

use crate::{
    config::Config,
    http::{self, BaseUrl, Shares, Wish},
    source::{self, config::Input},
};

/// How long a link lasts, for how many viewers, and what to remember it by.
#[derive(Debug)]
pub struct Terms<'a> {
    /// From now on.
    pub lasts: Duration,
    /// At one time; `None` for any number.
    pub viewers: Option<u32>,
    /// Whether it also lets somebody be the camera.
    pub publish: bool,
    /// For the list of links.
    pub note: &'a str,
    /// What the link begins with, instead of `[http] public_url`.
    pub base: Option<&'a str>,
}

/// Makes a link to `camera`; the text to print, the link in its first line.
///
/// # Errors
/// No such camera, terms out of bounds, a folder that cannot be written.
pub fn share(config: &Config, camera: &str, terms: &Terms<'_>) -> anyhow::Result<String> {
    if !config.cameras.iter().any(|known| known.name.as_str() == camera) {
        let names: Vec<_> = config.cameras.iter().map(|camera| camera.name.as_str()).collect();
        bail!("there is no camera {camera:?} in the configuration, which has {}", names.join(", "));
    }
    let published = |known: &source::Config| matches!(known.input, Input::Whip { .. }) && known.name.as_str() == camera;
    if terms.publish && !config.cameras.iter().any(published) {
        bail!("camera {camera:?} is not published to: only one with source = \"whip\" in the configuration is");
    }
    let wish = Wish::new(camera, terms.lasts, terms.viewers, terms.note)?.publishing(terms.publish);
    let base: BaseUrl = match (terms.base, &config.http.public_url) {
        (Some(base), _) => base.parse().with_context(|| format!("--url {base}"))?,
        (None, Some(base)) => base.clone(),
        (None, None) => {
            let scheme = if config.http.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}{}", near(config.http.listen), config.http.surroundings.base_path.as_str()).parse()?
        }
    };
    let (share, token) = Shares::open(&config.http.state_dir).make(wish)?;
    let (link, whep) = (base.link(&token), base.whep(camera));
    let whip = if terms.publish {
        format!("\nFor OBS, or another WHIP publisher: {} with the same header.", base.whip(camera))
    } else {
        String::new()
    };
    let code = http::qr_text(&link).unwrap_or_default();
    Ok(format!(
        "{link}\n\n{code}\n\nShows {camera} until {} to {}; `camgate unshare {}` ends it before.\nFor a WHEP player: {whep} with \
         the header \"Authorization: Bearer {}\".{whip}",
        format_rfc3339_seconds(share.expires()),
        share.viewers.map_or_else(|| "whoever has it".to_owned(), |count| format!("{count} at one time")),
        share.id,
        token.expose(),
    ))
}

/// The links that there are, a line each.
pub fn list_shares(config: &Config) -> Vec<String> {
    let line = |share: &http::Share| {
        let viewers = share.viewers.map_or_else(|| "any".to_owned(), |count| count.to_string());
        let (id, camera, until) = (share.id, &share.camera, format_rfc3339_seconds(share.expires()));
        format!("{id}  {camera}  until {until}  viewers: {viewers}  {}", share.note).trim_end().to_owned()
    };
    Shares::open(&config.http.state_dir).list().iter().map(|share| line(share)).collect()
}

/// Ends a link.
///
/// # Errors
/// No such link, or a folder that cannot be written.
pub fn end_share(config: &Config, id: &str) -> anyhow::Result<()> {
    let known = id.parse().map_err(anyhow::Error::msg)?;
    match Shares::open(&config.http.state_dir).end(known)? {
        true => Ok(()),
        false => bail!("there is no link {id}; `camgate shares` lists those that there are"),
    }
}

/// Where others in this network find the gateway, as far as can be told without asking anybody.
fn near(listen: SocketAddr) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    // Sends nothing: tells which of our addresses a packet to the internet would have (RFC 5737 names one that nobody has).
    let outside = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    SocketAddr::new(outside.map_or_else(|_| [127, 0, 0, 1].into(), |address| address.ip()), listen.port())
}
