//! What cannot be provoked from outside the process: the hub is fed by hand, everything behind it is real.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use camgate::{
    http::{self, Context, Server},
    hub::{Camera, CameraState, GopLimits, Hub, Producer},
    media::{AccessUnit, AudioCodec, AudioFormat, ClockRate, Kind, MediaTime, VideoFormat},
    peer::{self, Limits, Peers},
};

use crate::{
    LIMIT,
    support::{
        viewer::{self, Viewer},
        wait,
    },
};

/// A gateway without sources.
struct Bench {
    hub: Arc<Hub>,
    peers: Arc<Peers>,
    url: String,
}

impl Bench {
    fn start() -> Self {
        let any = "127.0.0.1:0".parse().expect("an address");
        let start_deadline = Duration::from_secs(1);
        let often = NonZeroU32::new(1_000).expect("not zero");
        let rate_limit = http::RateLimit { per_second: often, burst: often };
        let portion = http::Portion { all: 100, per_address: 100, per_user: 100 };
        let config = http::Config {
            listen: any,
            start_deadline,
            rate_limit,
            limits: http::Limits {
                connections: portion,
                header_deadline: LIMIT,
                header_bytes: 1 << 15,
                body_bytes: 1 << 16,
                event_streams: portion,
                sockets: portion,
            },
            users: Vec::new(),
            allow_anonymous: false,
            surroundings: http::Surroundings::default(),
            tls: None,
            login_lifetime: LIMIT,
            state_dir: "/nowhere".into(),
            public_url: None,
            jwt: None,
            forward: None,
        };
        let server = Server::bind(&config, http::Opened::default()).expect("a port");
        let config = peer::Config {
            listen: any,
            advertise: Vec::new(),
            interfaces: peer::Interfaces::default(),
            ice: peer::IceMode::Full,
            playout: peer::Playout::Adaptive,
            ice_servers: Vec::new(),
            limits: Limits::all(10),
            max_tcp_connections: 10,
            checks_per_second: 50,
        };
        let peers = Peers::bind(config, 1, peer::Opened::default()).expect("a port");
        let hub = Arc::new(Hub::default());
        let url = format!("http://{}", server.local_address());
        let context = Context {
            hub: hub.clone(),
            peers: peers.clone(),
            always_on: Arc::new([]),
            start_deadline,
            reloads: Arc::default(),
        };
        tokio::spawn(server.serve(context, std::future::pending()));
        Self { hub, peers, url }
    }

    fn camera(&self, name: &str) -> Producer {
        let limits = GopLimits { max_bytes: 1 << 20, max_age: Duration::from_secs(60) };
        let camera = Camera::new(name.parse().expect("a name"), limits);
        self.hub.insert(camera.clone());
        let mut producer = Producer::new(camera.clone());
        let sps = Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1e, 0xd9]);
        producer.set_video(VideoFormat { sps, pps: vec![Bytes::from_static(&[0x68, 0xce])], width: 16, height: 16 });
        camera.set_state(CameraState::Live);
        producer
    }

    fn whep(&self, name: &str) -> String {
        format!("{}/whep/{name}", self.url)
    }
}

/// Feeds 25 pictures a second until it is aborted; they are not decodable, which no part of the gateway minds.
fn feed(mut producer: Producer) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(40));
        for index in 0i64.. {
            clock.tick().await;
            let keyframe = index % 50 == 0;
            let mut data = vec![0, 0, 0x03, 0xe8, if keyframe { 0x65 } else { 0x41 }];
            data.resize(1_004, 7);
            producer.publish(&AccessUnit {
                kind: Kind::Video,
                time: MediaTime { ticks: index * 3_600, rate: ClockRate::VIDEO },
                captured: Instant::now(),
                keyframe,
                data: data.into(),
            });
        }
    })
}

#[tokio::test]
async fn sessions_end_with_their_camera_and_others_go_on() {
    let bench = Bench::start();
    let feeds = [feed(bench.camera("front")), feed(bench.camera("back"))];
    let (front, back) = (Viewer::join(bench.whep("front")).await, Viewer::join(bench.whep("back")).await);
    front.wait_packets(viewer::Kind::Video, 20, LIMIT).await;
    let others = bench.hub.cameras().into_iter().filter(|camera| camera.name().as_str() != "front").collect();
    bench.hub.arrange(others);
    let left = || async { bench.peers.sessions().iter().map(|session| session.camera.to_string()).collect::<Vec<_>>() };
    wait::until_value("one session", Duration::from_secs(3), left, |left| *left == ["back"]).await;
    back.wait_more(viewer::Kind::Video, 20, LIMIT).await;
    assert_eq!(Viewer::builder(bench.whep("front")).try_join().await.err().map(|refusal| refusal.status), Some(404));
    feeds.iter().for_each(tokio::task::JoinHandle::abort);
    bench.peers.shutdown().await;
}

#[tokio::test]
async fn a_session_ends_when_the_sound_becomes_one_that_was_not_negotiated() {
    let bench = Bench::start();
    let producer = bench.camera("front");
    producer.set_audio(Some(AudioFormat { codec: AudioCodec::Pcmu, channels: 1 }));
    let viewer = Viewer::join(bench.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    producer.set_audio(Some(AudioFormat { codec: AudioCodec::Opus, channels: 2 }));
    let count = || async { bench.peers.sessions().len() };
    wait::until_value("no session", Duration::from_secs(3), count, |count| *count == 0).await;
    bench.peers.shutdown().await;
}

#[tokio::test]
async fn shutdown_ends_every_session_and_refuses_new_ones() {
    let bench = Bench::start();
    let feeding = feed(bench.camera("front"));
    let viewer = Viewer::join(bench.whep("front")).await;
    viewer.wait_packets(viewer::Kind::Video, 5, LIMIT).await;
    bench.peers.shutdown().await;
    assert!(bench.peers.sessions().is_empty());
    assert_eq!(Viewer::builder(bench.whep("front")).try_join().await.err().map(|refusal| refusal.status), Some(503));
    feeding.abort();
}
