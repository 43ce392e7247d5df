//! Ways in for `fuzz/`: what viewers send before and after they have proved who they are.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::BytesMut;
use rtc::{
    crypto::RTCCrypto,
    stun::{
        fingerprint::FINGERPRINT,
        integrity::MessageIntegrity,
        message::{Message, Setter},
    },
};
use tokio_util::codec::Decoder;

use super::{
    Candidate, Expected, IceCredentials, IceFragment, IceMode, Origin, Playout, Role, SessionId, SessionStatus,
    batch::Batch,
    directory::{Directory, Route, is_request},
    dtls::{HelloReader, Position},
    engine::{Blueprint, Engine},
    ice_update::Change,
    limits::{Limits, Visitor},
    negotiation::{self, Negotiated},
    session::{Purpose, Session, Terms},
    socket::{MAX_DATAGRAM, Received},
    tcp::frames,
    transport::{Remote, Transport},
};
use crate::{
    hub::{Camera, Formats, GopLimits},
    media::{AudioCodec, AudioFormat, VideoFormat},
};

pub use super::reception::fuzzing::reception;

/// The offer of a viewer whose datagrams are of interest.
const OFFER: &str = include_str!("../../tests/offers/webrtc-rs.sdp");
const OURS: (&str, &str) = ("camgatefuzzing00", "0123456789abcdefghijklmnopqrstuv");
const VIEWER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);
const GATEWAY: ([u8; 4], u16) = ([192, 0, 2, 7], 8_189);

/// From an offer to a session that has answered it.
pub fn offer(text: &str) {
    let _ = (negotiation::check(text), negotiation::check_publication(text, Role::Publisher));
    if let Some(mut session) = session(text) {
        drain(&mut session, &Directory::new(50));
    }
}

/// A fragment for a session that runs.
pub fn fragment(text: &str) {
    let Ok(fragment) = text.parse::<IceFragment>() else { return };
    let Some(mut session) = session(OFFER) else { return };
    let ours = IceCredentials { ufrag: "again".to_owned(), pwd: OURS.1.to_owned() };
    let change = Change { expected: Expected::Any, fragment, ours, offered: offered() };
    let _ = session.update_ice(change, Instant::now());
    // As many rounds of checks as there are, and what they are sent to.
    let (mut now, mut sent) = (Instant::now(), 0);
    for _ in 0..100 {
        now += Duration::from_millis(200);
        session.on_timeout(now, SystemTime::now(), &mut Batch::default());
        sent += drain(&mut session, &Directory::new(50));
    }
    assert!(sent < 2_000, "{sent} checks for one fragment");
}

/// What arrives at the port, each datagram behind its length in two bytes as on TCP. The first byte is how: bit 0 gives STUN
/// messages the viewer's proof that it knows the password.
pub fn datagrams(data: &[u8]) {
    let Some((flags, framed)) = data.split_first() else { return };
    let directory = Directory::new(50);
    let Some(mut session) = session(OFFER) else { return };
    let route = Route { worker: 0, session: session.status.id };
    let _ = directory.enter(route, OURS.0.to_owned(), session.status.clone(), &Limits::all(1));
    let transport = if flags & 2 == 0 { Transport::Udp } else { Transport::Tcp };
    let (mut buffer, mut codec) = (BytesMut::from(framed), frames(MAX_DATAGRAM));
    let mut now = Instant::now();
    while let Ok(Some(mut data)) = codec.decode(&mut buffer) {
        if flags & 1 != 0 {
            data = proved(&data).unwrap_or(data);
        }
        let _ = is_request(&data);
        now += Duration::from_millis(20);
        let remote = Remote { transport, address: VIEWER.into() };
        if let Some(route) = directory.route(remote, &data, now) {
            assert_eq!(route.session, session.status.id);
            let to = Some(IpAddr::from(GATEWAY.0));
            session.on_datagram(Received { remote, to, data, at: now }, SystemTime::now(), &mut Batch::default());
        }
        drain(&mut session, &directory);
        if session.poll_timeout().is_some_and(|due| due <= now) {
            session.on_timeout(now, SystemTime::now(), &mut Batch::default());
            drain(&mut session, &directory);
        }
    }
}

/// What a viewer with a path sends that is not STUN, framed as for [`datagrams`]: DTLS, RTCP, RTP.
pub fn handshake(framed: &[u8]) {
    let Some(mut session) = session(OFFER) else { return };
    let (mut buffer, mut codec) = (BytesMut::from(framed), frames(MAX_DATAGRAM));
    let (mut hello, mut now) = (HelloReader::default(), Instant::now());
    while let Ok(Some(data)) = codec.decode(&mut buffer) {
        let _ = (hello.read(&data), Position::of(&data));
        now += Duration::from_millis(20);
        session.fuzz_connection(data, now);
    }
}

/// The message with the viewer's MESSAGE-INTEGRITY and FINGERPRINT at its end.
fn proved(data: &[u8]) -> Option<BytesMut> {
    let mut message = Message::new();
    message.unmarshal_binary(data).ok()?;
    message.raw.truncate(20 + usize::try_from(message.length).ok()?);
    let engine = engine();
    let provider = engine.provider();
    integrity(provider.crypto()).add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(BytesMut::from(&message.raw[..]))
}

fn integrity(crypto: &dyn RTCCrypto) -> MessageIntegrity<'_> {
    MessageIntegrity::new_short_term_integrity_with_provider(OURS.1.to_owned(), crypto)
}

fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().expect("a certificate")).clone()
}

fn offered() -> Vec<Candidate> {
    vec![Candidate { address: SocketAddr::from(GATEWAY), origin: Origin::Advertised }]
}

/// A session that has answered `offer`, for a camera with picture and sound.
fn session(offer: &str) -> Option<Session> {
    let formats = Formats {
        video: Some(VideoFormat {
            sps: vec![0x67, 0x42, 0xc0, 0x1e].into(),
            pps: vec![vec![0x68].into()],
            width: 16,
            height: 16,
        }),
        audio: Some(AudioFormat { codec: AudioCodec::Opus, channels: 2 }),
        ..Formats::default()
    };
    let Negotiated { choice, offer, candidates, frame, .. } = negotiation::negotiate(offer, &formats).ok()?;
    let theirs = IceCredentials::of(&offer)?;
    let ours = IceCredentials { ufrag: OURS.0.to_owned(), pwd: OURS.1.to_owned() };
    let blueprint = Blueprint {
        offer,
        role: Role::Viewer,
        choice,
        frame,
        ice: IceMode::Full,
        playout: Playout::Adaptive,
        terms: Terms { ours, theirs, offered: offered(), candidates },
        stream_id: "camgate-front".to_owned(),
        video_ssrc: 1,
        rtx_ssrc: 2,
        audio_ssrc: 3,
    };
    let camera = Camera::new("front".parse().ok()?, GopLimits { max_bytes: 0, max_age: Duration::ZERO });
    let status = Arc::new(SessionStatus::new(SessionId::random(), camera.name().clone(), Visitor::here()));
    let purpose = Purpose::View(camera.view());
    let session = Session::new(engine(), blueprint, Vec::new(), purpose, status, Instant::now());
    session.ok().map(|(session, answer)| {
        assert!(answer.starts_with("v=0\r\n"), "{answer}");
        session
    })
}

/// Takes what a session sends, as its worker does; how much that was.
fn drain(session: &mut Session, directory: &Directory) -> usize {
    let route = Route { worker: 0, session: session.status.id };
    let mut count = 0;
    while let Some(out) = session.poll_transmit() {
        directory.note_sent(route, out.remote, &out.data, Instant::now());
        count += 1;
        assert!(count < 1_000, "it does not stop sending");
    }
    count
}
