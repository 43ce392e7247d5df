//! `GET /metrics`: counters and states in the OpenMetrics text format that Prometheus reads.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::UNIX_EPOCH,
};

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    Context,
    auth::{Caller, Gate},
    quality::Delays,
    rate::Limits,
    tls::Tls,
};
use crate::{
    hub::{Camera, CameraState},
    peer::Phase,
    places::Places,
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfCamera {
    pub(super) camera: String,
}

/// What bounds clients, and counts those that it refuses.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) limits: Arc<Limits>,
    pub(super) streams: Places,
    pub(super) sockets: Places,
    pub(super) connections: Places,
    pub(super) tls: Option<Tls>,
}

/// Reads everything at the moment it is asked; nothing is kept between scrapes but what viewers have said.
pub(super) async fn scrape(
    State(context): State<Context>,
    Extension(bounds): Extension<Bounds>,
    Extension(caller): Extension<Caller>,
    Extension(gate): Extension<Arc<Gate>>,
    Extension(delays): Extension<Delays>,
) -> Response {
    let mut registry = Registry::with_prefix("camgate");
    cameras(&caller.cameras(&context.hub), &mut registry);
    viewers(&context, &caller, &mut registry);
    paths(&context, &caller, &mut registry);
    delays.register(&caller.cameras(&context.hub), &mut registry);
    requests(&bounds, gate.failures(), &mut registry);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn cameras(cameras: &[Arc<Camera>], registry: &mut Registry) {
    let mut counter = |name: &str, help: &str, read: fn(&crate::stats::CameraCounters) -> u64| {
        let family = Family::<OfCamera, Counter>::default();
        for camera in cameras {
            family.get_or_create(&OfCamera { camera: camera.name().to_string() }).inc_by(read(&camera.counters));
        }
        registry.register(name, help, family);
    };
    counter("camera_units", "Access units received", |c| c.units.total());
    counter("camera_bytes", "Coded bytes received", |c| c.bytes.total());
    counter("camera_unusable_units", "Access units that could not be packed", |c| c.unusable.total());
    counter("camera_dropped_units", "Units that found a queue full", |c| c.dropped.total());
    counter("camera_gop_cache_overflows", "Times a GOP outgrew the cache", |c| c.cache_overflows.total());
    counter("camera_lost_packets", "RTP packets of the camera that did not arrive", |c| c.lost_packets.total());
    counter("camera_reconnects", "Connections made again", |c| c.reconnects.total());
    let live = Family::<OfCamera, Gauge>::default();
    let viewers = Family::<OfCamera, Gauge>::default();
    let b_frames = Family::<OfCamera, Gauge>::default();
    for camera in cameras {
        let label = OfCamera { camera: camera.name().to_string() };
        live.get_or_create(&label).set(i64::from(camera.status().state == CameraState::Live));
        b_frames.get_or_create(&label).set(i64::from(camera.formats().b_frames));
        viewers.get_or_create(&label).set(i64::try_from(*camera.viewers().borrow()).unwrap_or(i64::MAX));
    }
    registry.register("camera_live", "Whether media flows", live);
    registry.register("camera_viewers", "Viewers now", viewers);
    registry.register("camera_b_frames", "Whether it sends B-frames, which browsers cannot show", b_frames);
}

/// What viewers' networks carry: of each camera's viewers the one that is worst off, and how many get only part.
fn paths(context: &Context, caller: &Caller, registry: &mut Registry) {
    let left_out = Family::<OfCamera, Gauge>::default();
    let lowest = Family::<OfCamera, Gauge<f64, AtomicU64>>::default();
    for session in context.peers.sessions().iter().filter(|session| caller.sees(session.camera.as_str())) {
        let label = OfCamera { camera: session.camera.to_string() };
        let path = session.path();
        left_out.get_or_create(&label).inc_by(path.leaves_out.into());
        if let Some(estimate) = path.estimate_bps {
            let gauge = lowest.get_or_create(&label);
            let known = gauge.get();
            gauge.set(if known > 0.0 { estimate.min(known) } else { estimate });
        }
    }
    registry.register("camera_viewers_leaving_out", "Viewers whose network does not carry every picture", left_out);
    registry.register("camera_lowest_estimate_bps", "What the slowest network of its viewers carries", lowest);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn requests(bounds: &Bounds, failed_logins: u64, registry: &mut Registry) {
    let Bounds { limits, streams, sockets, connections, tls } = bounds;
    if let Some(tls) = tls {
        handshakes(tls, registry);
    }
    gauge(registry, "event_streams", "Streams of server-sent events that are open", streams.taken());
    gauge(registry, "signalling_sockets", "WebSockets of /api/ws that are open", sockets.taken());
    let help = "HTTP connections beyond [http] max_connections_per_address";
    counter(registry, "refused_http_connections", help, connections.refused());
    counter(registry, "refused_requests", "Requests beyond [http] rate_limit_per_second", limits.refused());
    counter(registry, "failed_logins", "Wrong names, passwords and tokens", failed_logins);
    counter(registry, "refused_event_streams", "Event streams that there was no place for", streams.refused());
    counter(
        registry,
        "refused_signalling_sockets",
        "WebSockets of /api/ws that there was no place for",
        sockets.refused(),
    );
}

fn handshakes(tls: &Tls, registry: &mut Registry) {
    if let Some(expires) = tls.expires() {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        registry.register("certificate_expiry_timestamp_seconds", "When the certificate expires, since 1970", gauge);
    }
    gauge(registry, "tls_handshakes", "TLS handshakes that are under way", tls.handshakes().taken());
    counter(registry, "failed_tls_handshakes", "TLS handshakes that came to nothing", tls.failed());
    let help = "Connections that there was no place for a TLS handshake for";
    counter(registry, "refused_tls_handshakes", help, tls.handshakes().refused());
}

fn viewers(context: &Context, caller: &Caller, registry: &mut Registry) {
    let mut sessions = context.peers.sessions();
    sessions.retain(|session| caller.sees(session.camera.as_str()));
    let connected = sessions.iter().filter(|session| session.phase() == Phase::Connected).count();
    gauge(registry, "sessions", "WebRTC sessions", sessions.len());
    gauge(registry, "sessions_connected", "WebRTC sessions that media flows in", connected);
    gauge(
        registry,
        "tcp_connections",
        "Connections of viewers on the WebRTC port's TCP side",
        context.peers.tcp_connections(),
    );
    let drops = context.peers.drops();
    counter(
        registry,
        "unsent_datagrams",
        "Datagrams to viewers that the kernel had no room for",
        drops.unsent_datagrams,
    );
    counter(registry, "unsent_frames", "Datagrams to viewers on TCP who read too slowly", drops.unsent_frames);
    counter(
        registry,
        "unread_datagrams",
        "Datagrams from viewers that a worker had no room for",
        drops.unread_datagrams,
    );
    counter(registry, "unknown_datagrams", "Datagrams to the WebRTC port that no viewer sent", drops.unknown_datagrams);
    let help = "Connectivity checks beyond [webrtc] max_checks_per_second that were not sent";
    counter(registry, "withheld_checks", help, drops.withheld_checks);
    let help = "TCP connections to the WebRTC port that were one too many or did not begin as ICE does";
    counter(registry, "refused_tcp_connections", help, drops.refused_connections);
}
