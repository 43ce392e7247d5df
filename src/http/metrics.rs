//! `GET /metrics`: counters and states in the text format that Prometheus reads. docs/metrics.md explains each.

mod cameras;
mod page;
mod process;
mod viewers;

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use tokio::runtime::Handle;

pub(super) use self::page::Page;
use super::{
    Context,
    auth::{Caller, Gate},
    quality::Delays,
    rate::Limits,
    tls::Tls,
};
use crate::{log, panics, places::Places};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What bounds clients, and counts those that it refuses.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) limits: Arc<Limits>,
    pub(super) streams: Places,
    pub(super) sockets: Places,
    pub(super) connections: Places,
    pub(super) tls: Option<Tls>,
}

/// Reads everything at the moment it is asked; nothing is kept between scrapes but what viewers have said. Of cameras and their
/// viewers the caller's only.
pub(super) async fn scrape(
    State(context): State<Context>,
    Extension(bounds): Extension<Bounds>,
    Extension(caller): Extension<Caller>,
    Extension(gate): Extension<Arc<Gate>>,
    Extension(delays): Extension<Delays>,
) -> Response {
    let mut page = Page::default();
    let cameras = caller.cameras(&context.hub);
    cameras::tell(&cameras, &mut page);
    viewers::tell(&context, &caller, &mut page);
    delays.tell(&cameras, &mut page);
    viewers::tell_port(&context, &mut page);
    requests(&bounds, gate.failures(), &mut page);
    context.reloads.tell(&mut page);
    let tasks = Handle::current().metrics().num_alive_tasks();
    page.gauge("tasks", "Tasks of the runtime of cameras and HTTP", tasks as f64);
    tell_faults(&mut page);
    process::tell(&mut page);
    match page.text() {
        Some(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn requests(bounds: &Bounds, failed_logins: u64, page: &mut Page) {
    let Bounds { limits, streams, sockets, connections, tls } = bounds;
    if let Some(tls) = tls {
        handshakes(tls, page);
    }
    page.gauge("http_connections", "HTTP connections that are open", connections.taken() as f64);
    page.gauge("event_streams", "Streams of server-sent events that are open", streams.taken() as f64);
    page.gauge("signalling_sockets", "WebSockets of /api/ws that are open", sockets.taken() as f64);
    let help = "HTTP connections beyond [http] max_connections_per_address";
    page.counter("refused_http_connections_total", help, connections.refused());
    page.counter("refused_requests_total", "Requests beyond [http] rate_limit_per_second", limits.refused());
    page.counter("failed_logins_total", "Wrong names, passwords and tokens", failed_logins);
    let help = "Event streams that there was no place for";
    page.counter("refused_event_streams_total", help, streams.refused());
    let help = "WebSockets of /api/ws that there was no place for";
    page.counter("refused_signalling_sockets_total", help, sockets.refused());
}

fn tell_faults(page: &mut Page) {
    let mut family = page::Family::counter("panics_total", "Panics, each a fault of camgate, by what goes on after it");
    panics::totals().for_each(|(part, total)| family.add(&[("part", part)], total as f64));
    page.family(family);
    let help = "Lines of the log that could not be written, or that waited for too many others";
    page.counter("lost_log_lines_total", help, log::lost_lines());
}

fn handshakes(tls: &Tls, page: &mut Page) {
    if let Some(expires) = tls.expires() {
        let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        page.gauge("certificate_expiry_timestamp_seconds", "When the certificate expires, since 1970", expires);
    }
    page.gauge("tls_handshakes", "TLS handshakes that are under way", tls.handshakes().taken() as f64);
    page.counter("failed_tls_handshakes_total", "TLS handshakes that came to nothing", tls.failed());
    let help = "Connections that there was no place for a TLS handshake for";
    page.counter("refused_tls_handshakes_total", help, tls.handshakes().refused());
}
