//! What viewers are sent, and what their networks carry: by camera, because sessions come and go.

use std::{collections::BTreeMap, sync::Arc};

use super::page::{Family, Page};
use crate::{
    http::{Context, auth::Caller},
    peer::{Drops, Phase, SessionStatus, ViewerTotals},
};

type Read = fn(&ViewerTotals) -> u64;

const COUNTERS: [(&str, &str, Read); 7] = [
    ("viewer_sessions_total", "WebRTC sessions opened", |t| t.opened),
    ("viewer_sent_bytes_total", "Bytes sent to viewers, all of UDP's payload", |t| t.bytes_sent),
    ("viewer_sent_packets_total", "RTP packets sent to viewers, retransmissions included", |t| t.rtp_packets_sent),
    ("viewer_nacks_total", "Packets that viewers asked for again", |t| t.nacks),
    ("viewer_retransmissions_total", "Packets that were sent again", |t| t.retransmissions),
    ("viewer_keyframe_requests_total", "Keyframes that viewers asked for (PLI and FIR)", |t| t.plis),
    ("viewer_skipped_units_total", "Units not sent because a viewer had to skip", |t| t.skipped_units),
];

pub(super) fn tell(context: &Context, caller: &Caller, page: &mut Page) {
    let (mut sessions, mut totals) = context.peers.census();
    sessions.retain(|session| caller.sees(session.camera.as_str()));
    totals.retain(|camera, _| caller.sees(camera.as_str()));
    for (name, help, read) in COUNTERS {
        let mut family = Family::counter(name, help);
        for (camera, totals) in &totals {
            family.add(&[("camera", camera.as_str())], read(totals) as f64);
        }
        page.family(family);
    }
    let mut ends = Family::counter("viewer_sessions_ended_total", "WebRTC sessions that are over, by what ended them");
    for (camera, totals) in &totals {
        for (reason, count) in &totals.ended {
            ends.add(&[("camera", camera.as_str()), ("reason", reason)], *count as f64);
        }
    }
    page.family(ends);
    phases(context, caller, &sessions, page);
    paths(context, caller, &sessions, page);
}

/// How many sessions of each camera are in each phase, those that have none included.
fn phases(context: &Context, caller: &Caller, sessions: &[Arc<SessionStatus>], page: &mut Page) {
    let mut family = Family::gauge("sessions", "WebRTC sessions now, by how far they have come");
    for camera in caller.cameras(&context.hub) {
        let of_camera = || sessions.iter().filter(|session| session.camera == *camera.name());
        for phase in [Phase::New, Phase::Connecting, Phase::Connected] {
            let count = of_camera().filter(|session| session.phase() == phase).count();
            family.add(&[("camera", camera.name().as_str()), ("state", phase.name())], count as f64);
        }
    }
    page.family(family);
}

/// Of each camera's viewers the one that is worst off.
#[derive(Default)]
struct Worst {
    rtt: Option<f64>,
    loss: Option<f64>,
    estimate: Option<f64>,
    queueing: Option<f64>,
    leaving_out: u32,
}

fn higher(known: Option<f64>, value: f64) -> Option<f64> {
    Some(known.map_or(value, |known| known.max(value)))
}

fn paths(context: &Context, caller: &Caller, sessions: &[Arc<SessionStatus>], page: &mut Page) {
    let mut cameras: BTreeMap<String, Worst> =
        caller.cameras(&context.hub).iter().map(|camera| (camera.name().to_string(), Worst::default())).collect();
    for session in sessions.iter().filter(|session| session.phase() == Phase::Connected) {
        let Some(worst) = cameras.get_mut(session.camera.as_str()) else { continue };
        let path = session.path();
        worst.leaving_out += u32::from(path.leaves_out);
        worst.queueing = higher(worst.queueing, path.queueing.as_secs_f64());
        worst.rtt = session.rtt().map_or(worst.rtt, |rtt| higher(worst.rtt, rtt.as_secs_f64()));
        worst.loss = session.loss().map_or(worst.loss, |loss| higher(worst.loss, loss));
        if let Some(estimate) = path.estimate_bps {
            worst.estimate = Some(worst.estimate.map_or(estimate, |known| known.min(estimate)));
        }
    }
    type Pick = fn(&Worst) -> Option<f64>;
    let gauges: [(&str, &str, Pick); 5] = [
        ("viewers_leaving_out", "Viewers whose network does not carry every picture", |w| Some(w.leaving_out.into())),
        ("viewer_highest_rtt_seconds", "Round trip to the farthest viewer", |w| w.rtt),
        ("viewer_highest_loss_ratio", "Packets lost on the way to the worst off viewer, 0 to 1", |w| w.loss),
        ("viewer_highest_queueing_seconds", "How long packets wait on the slowest network", |w| w.queueing),
        ("viewer_lowest_estimate_bytes_per_second", "What the slowest viewer's network carries", |w| {
            w.estimate.map(|bits| bits / 8.0)
        }),
    ];
    for (name, help, pick) in gauges {
        let mut family = Family::gauge(name, help);
        for (camera, worst) in &cameras {
            if let Some(value) = pick(worst) {
                family.add(&[("camera", camera)], value);
            }
        }
        page.family(family);
    }
}

/// The port that all of them share, and who was turned away.
pub(super) fn tell_port(context: &Context, page: &mut Page) {
    let mut refused = Family::counter("refused_sessions_total", "Offers that there was no room for, by the limit");
    for (limit, count) in context.peers.refused_sessions() {
        refused.add(&[("limit", limit)], count as f64);
    }
    page.family(refused);
    let help = "Connections of viewers on the WebRTC port's TCP side";
    page.gauge("tcp_connections", help, context.peers.tcp_connections() as f64);
    let Drops {
        unsent_datagrams,
        unsent_frames,
        unread_datagrams,
        refused_connections,
        unknown_datagrams,
        withheld_checks,
    } = context.peers.drops();
    let help = "Datagrams to viewers that the kernel had no room for";
    page.counter("unsent_datagrams_total", help, unsent_datagrams);
    page.counter("unsent_frames_total", "Datagrams to viewers on TCP who read too slowly", unsent_frames);
    let help = "Datagrams from viewers that a worker had no room for";
    page.counter("unread_datagrams_total", help, unread_datagrams);
    page.counter("unknown_datagrams_total", "Datagrams to the WebRTC port that no viewer sent", unknown_datagrams);
    let help = "Connectivity checks beyond [webrtc] max_checks_per_second that were not sent";
    page.counter("withheld_checks_total", help, withheld_checks);
    let help = "TCP connections to the WebRTC port that were one too many or did not begin as ICE does";
    page.counter("refused_tcp_connections_total", help, refused_connections);
    let mut routes = Family::gauge("routes", "Entries that lead datagrams to sessions, by what they are found by");
    for (by, entries) in context.peers.routes() {
        routes.add(&[("by", by)], entries as f64);
    }
    page.family(routes);
    let mut load = Family::gauge("worker_sessions", "WebRTC sessions of each worker thread");
    for (worker, sessions) in context.peers.loads() {
        load.add(&[("worker", &worker.to_string())], sessions as f64);
    }
    page.family(load);
}
