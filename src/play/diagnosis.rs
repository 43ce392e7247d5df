//! Which step failed, in a sentence that says what to look at next.

use std::{net::IpAddr, time::Duration};

use hyper::StatusCode;
use webrtc::peer_connection::RTCPeerConnectionState;

use super::{
    answer::Candidate,
    connection::{Checks, Seen},
    report::{Failure, Step},
    whep::{Created, Refused, readable},
};

/// The server refused the offer, for good or for too long.
pub(super) fn refused(refused: &Refused, has_token: bool) -> Failure {
    let Refused { status, reason, location, .. } = refused;
    let code = status.as_u16();
    let said = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let sentence = match *status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if has_token => {
            format!("The server does not accept the token ({code}){said}")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!(
                "The server wants to know who asks ({code}); give a bearer token by --token-file or WHEP_TOKEN{said}"
            )
        }
        StatusCode::NOT_FOUND => format!("There is no such stream (404){said}"),
        StatusCode::METHOD_NOT_ALLOWED => {
            format!("This address takes no POST (405), so it is no WHEP endpoint{said}")
        }
        StatusCode::NOT_ACCEPTABLE => {
            format!(
                "The server wants to make the offer itself (406, a counter-offer), which this viewer does not do{said}"
            )
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            format!("The server takes no further viewer now ({code}), and the time to wait is over{said}")
        }
        StatusCode::CONFLICT => {
            format!("The server has nothing to send yet ({code}), and the time to wait is over{said}")
        }
        status if status.is_redirection() => {
            let to = location.as_deref().map(|to| format!(" to {}", readable(to))).unwrap_or_default();
            format!("The server redirects{to} with {code}, after which clients ask with GET; WHEP wants 307 or 308")
        }
        status if status.is_server_error() => format!("The server failed ({code}){said}"),
        _ => format!("The server refused the offer ({code}){said}"),
    };
    Failure::new(Step::Refused, ended(sentence))
}

/// A success without an answer that can be read.
pub(super) fn no_answer(created: &Created, error: &dyn std::fmt::Display) -> Failure {
    let code = created.status.as_u16();
    let content_type = created.content_type.as_deref().map_or_else(|| "no Content-Type".to_owned(), readable);
    let begin: String = readable(&created.sdp).chars().take(40).collect();
    let sentence = if begin.is_empty() {
        format!("The server said {code}, but sent no answer")
    } else {
        format!(
            "The server said {code}, but what it sent ({content_type}, begins \"{begin}\") is no SDP answer: {error}"
        )
    };
    Failure::new(Step::Answer, ended(sentence))
}

/// What is known when the time is over, or the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) wants_video: bool,
    pub(super) answered: Duration,
    pub(super) candidates: &'a [Candidate],
    /// Where the HTTP response came from.
    pub(super) server: Option<IpAddr>,
    pub(super) checks: Checks,
}

/// The step at which playing stopped, before there was a picture.
pub(super) fn stuck(seen: &Seen, facts: Facts<'_>) -> Failure {
    if seen.ice_connected_at.is_none() {
        return no_way_through(facts);
    }
    if seen.connected_at.is_none() {
        let failed = if seen.state == RTCPeerConnectionState::Failed { "failed" } else { "did not end" };
        let detail = format!(
            "ICE connected, but the DTLS handshake {failed}: the certificate may not match the answer's fingerprint, or \
             large packets do not get through."
        );
        return Failure::new(Step::Dtls, detail);
    }
    let track = if facts.wants_video { &seen.video } else { &seen.audio };
    let kind = if facts.wants_video { "picture" } else { "sound" };
    match track {
        None => Failure::new(
            Step::Media,
            format!("The connection stands, but no packet of the {kind} arrived: the server has nothing to send."),
        ),
        Some(track) if facts.wants_video && track.tells_keyframes() && track.first_keyframe_at.is_none() => {
            let (packets, lost) = (track.packets, track.lost());
            let why = match (track.keyframes, lost) {
                (0, _) => "and none began, although one was asked for: the encoder does not make them on request",
                (_, 0) => "and the one that began did not end",
                _ => "and the one that began has holes that were not repaired",
            };
            let detail =
                format!("{packets} packets of the picture arrived ({lost} lost), but no whole keyframe, {why}.");
            Failure::new(Step::Keyframe, detail)
        }
        Some(track) => {
            let noun = if track.frames == 1 { "frame" } else { "frames" };
            let detail =
                format!("The {kind} began ({} {noun}), then nothing more came: the source stands still.", track.frames);
            Failure::new(Step::Frames, detail)
        }
    }
}

fn no_way_through(facts: Facts<'_>) -> Failure {
    let Facts { checks, answered, server, .. } = facts;
    let (candidates, untried): (Vec<_>, Vec<_>) =
        facts.candidates.iter().partition(|candidate| candidate.transport == "udp");
    let untried =
        if untried.is_empty() { "" } else { " Its TCP candidates were not tried: this viewer speaks UDP only." };
    let answer = format!("The server answered in {:.0} ms, but", answered.as_secs_f64() * 1_000.0);
    let shown = candidates.iter().take(4).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if candidates.len() > 4 { ", ..." } else { "" };
    let count = candidates.len();
    let noun = if count == 1 { "candidate" } else { "candidates" };
    let detail = if candidates.is_empty() {
        format!("{answer} named no address to reach it at (no UDP candidate in its answer), and none was learned.")
    } else if checks.answered > 0 {
        format!("{answer} ICE chose none of its {count} {noun} ({shown}{more}), although checks were answered.")
    } else {
        let elsewhere = server.filter(|server| candidates.iter().all(|candidate| candidate.ip() != Some(*server)));
        let hint = match elsewhere {
            // On the same machine HTTP may come from any of its addresses.
            Some(server) if !server.is_loopback() => format!(
                "; none of them is {server}, where its HTTP is answered: behind NAT or in a container it must be told \
                 that address"
            ),
            _ => ": a firewall or NAT is in between, or the port is not open".to_owned(),
        };
        let sent = checks.sent;
        format!("{answer} none of {sent} ICE checks was answered on any of its {count} {noun} ({shown}{more}){hint}.")
    };
    Failure::new(Step::Ice, detail + untried)
}

/// The connection broke while watching.
pub(super) fn broke(seen: &Seen, after: Duration) -> Failure {
    let how = match seen.state {
        RTCPeerConnectionState::Closed => "the server closed the connection",
        _ => "the connection broke: nothing arrives from the server any more",
    };
    Failure::new(Step::Watch, format!("It played, but {how} after {:.1} s.", after.as_secs_f64()))
}

/// With a full stop, which a quoted reason may have brought along.
fn ended(sentence: String) -> String {
    if sentence.ends_with('.') { sentence } else { sentence + "." }
}
