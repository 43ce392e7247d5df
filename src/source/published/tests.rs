use tokio::sync::oneshot;

use super::*;
use crate::{
    hub::{GopLimits, Producer, Publication, Takeover, Tracks},
    media::NtpTime,
    source::feed::Feed,
};

/// From x264enc: 322x182.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x15, 0xda, 0x05, 0x46, 0x78, 0x89, 0xb0, 0x16, 0xa0, 0xc0, 0xc0, 0xd4, 0xa0, 0x00, 0x00, 0x03,
    0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xd1, 0xe2, 0xc5, 0xd4,
];

/// From the same: 1920x1080, High.
const HIGH: &[u8] = &[
    0x67, 0x64, 0x00, 0x28, 0xac, 0xb2, 0x00, 0xf0, 0x04, 0x4f, 0xcb, 0x80, 0xb5, 0x01, 0x01, 0x01, 0x40, 0x00, 0x00,
    0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc6, 0x0c, 0x92,
];

struct Scene {
    camera: Arc<Camera>,
    publication: Option<Publication>,
    timestamp: u32,
}

impl Scene {
    fn new(tracks: Tracks) -> Self {
        let limits = GopLimits { max_bytes: 1 << 20, max_age: Duration::from_secs(60) };
        let camera = Camera::new("phone".parse().expect("a name"), limits);
        camera.intake().open(Some(Takeover::Refused));
        let publication = camera.intake().publish(tracks, None, now()).expect("nobody else");
        Self { camera, publication: Some(publication), timestamp: 0 }
    }

    fn send(&mut self, kind: Kind, lost: u32, payload: &[u8]) {
        let (timestamp, received) = (self.timestamp, now());
        let packet = Packet { kind, timestamp, marker: true, lost, received, payload: payload.to_vec().into() };
        self.publication.as_ref().expect("it is there").push(Item::Packet(packet));
    }

    fn picture(&mut self, kind: u8, lost: u32) {
        self.timestamp += 3_000;
        self.send(Kind::Video, lost, &[0x60 | kind, 0x88, 1, 2]);
    }

    fn keyframe(&mut self) {
        self.keyframe_of(SPS);
    }

    fn keyframe_of(&mut self, sps: &[u8]) {
        let parts = [sps, &[0x68, 0xce, 0x3c, 0x80], &[0x65, 0x88, 1]];
        let aggregate = parts.iter().flat_map(|nal| [&(nal.len() as u16).to_be_bytes()[..], nal].concat());
        let payload: Vec<u8> = [0x78].into_iter().chain(aggregate).collect();
        self.timestamp += 3_000;
        self.send(Kind::Video, 0, &payload);
    }

    /// Runs a source beside `script`, and gives how it ended.
    async fn play(mut self, script: impl AsyncFnOnce(&mut Self)) -> Result<(), Error> {
        let mut producer = Producer::new(self.camera.clone());
        let (live, _went_live) = oneshot::channel();
        let mut feed = Feed::new(&mut producer, live, false);
        let (leave, mut input) = (CancellationToken::new(), Input::new(self.camera.clone()));
        let scripted = async {
            script(&mut self).await;
            std::future::pending::<()>().await
        };
        tokio::select! {
            // What comes before somebody reads is not kept.
            biased;
            ended = input.open(&mut feed, &leave) => ended,
            () = scripted => unreachable!("it never ends"),
        }
    }
}

const BOTH: Tracks = Tracks { video: true, audio: true };

async fn ms(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn pictures_and_sound_are_published_and_keyframes_asked_for() {
    let scene = Scene::new(BOTH);
    let camera = scene.camera.clone();
    let ended = scene
        .play(async |scene| {
            ms(10).await;
            assert!(scene.publication.as_ref().is_some_and(Publication::take_keyframe_request), "to begin with");
            scene.keyframe();
            scene.send(Kind::Audio, 0, &[1, 2, 3]);
            ms(10).await;
            let formats = scene.camera.formats().clone();
            assert_eq!(formats.video.map(|video| (video.width, video.height)), Some((322, 182)));
            assert_eq!(formats.audio.map(|audio| audio.codec), Some(AudioCodec::Opus));
            assert_eq!(scene.camera.counters.units.total(), 2);
            let asked = |scene: &Scene| scene.publication.as_ref().is_some_and(Publication::take_keyframe_request);
            for _ in 0..30 {
                scene.picture(1, 0);
                ms(100).await;
            }
            assert!(!asked(scene), "the last is young");
            scene.camera.request_keyframe();
            ms(10).await;
            assert!(asked(scene), "a viewer wants one");
            scene.camera.request_keyframe();
            ms(400).await;
            assert!(!asked(scene), "one serves all");
            ms(200).await;
            assert!(asked(scene));
            scene.keyframe();
            for _ in 0..45 {
                scene.picture(1, 0);
                ms(100).await;
            }
            assert!(asked(scene), "the last is old");
            scene.publication = None;
        })
        .await;
    assert!(matches!(ended, Err(Error::PublisherGone { .. })), "{ended:?}");
    assert_eq!(camera.counters.units.total(), 2 + 30 + 1 + 45);
}

/// From Baseline to High, as an encoder does that is set anew.
#[tokio::test(start_paused = true)]
async fn a_publisher_changes_its_profile() {
    let scene = Scene::new(BOTH);
    let profile = |scene: &Scene| scene.camera.formats().video.as_ref().map(|video| video.profile_level_id()[0]);
    let ended = scene.play(async |scene| {
        scene.keyframe();
        ms(33).await;
        assert_eq!(profile(scene), Some(66));
        scene.keyframe_of(HIGH);
        ms(33).await;
        assert_eq!(profile(scene), Some(100));
        assert_eq!(scene.camera.counters.units.total(), 2);
        scene.publication = None;
    });
    assert_eq!(ended.await.expect_err("it has gone").code(), "publisher-gone");
}

#[tokio::test(start_paused = true)]
async fn behind_a_loss_pictures_wait_for_a_keyframe_and_not_for_ever() {
    let scene = Scene::new(BOTH);
    scene
        .play(async |scene| {
            scene.keyframe();
            ms(600).await;
            let units = |scene: &Scene| scene.camera.counters.units.total();
            let _ = scene.publication.as_ref().is_some_and(Publication::take_keyframe_request);
            scene.picture(1, 2);
            scene.picture(1, 0);
            ms(10).await;
            assert_eq!((units(scene), scene.camera.counters.lost_packets.total()), (1, 2));
            assert!(scene.publication.as_ref().is_some_and(Publication::take_keyframe_request));
            scene.keyframe();
            scene.picture(1, 0);
            ms(10).await;
            assert_eq!(units(scene), 3);
            scene.picture(1, 1);
            ms(1_100).await;
            scene.picture(1, 0);
            ms(10).await;
            assert_eq!(units(scene), 4, "a publisher that makes none goes on as it is");
            scene.publication = None;
        })
        .await
        .expect_err("it has gone");
}

#[tokio::test(start_paused = true)]
async fn each_way_to_send_nothing_has_its_sentence() {
    let never = Scene::new(BOTH).play(async |_| {}).await.expect_err("nothing comes");
    assert_eq!((never.code(), never.kind()), ("publisher-silent", crate::source::FailureKind::Absent));
    let silent = Scene::new(BOTH).play(async |scene| {
        scene.keyframe();
        loop {
            scene.send(Kind::Audio, 0, &[1]);
            ms(20).await;
        }
    });
    let began = now();
    assert_eq!(silent.await.expect_err("no picture comes").code(), "publisher-silent");
    assert_eq!(now().duration_since(began).as_secs(), MEDIA_LIMIT.as_secs());
    let without = Scene::new(BOTH).play(async |scene| {
        loop {
            scene.picture(1, 0);
            ms(33).await;
        }
    });
    assert_eq!(without.await.expect_err("no keyframe comes").code(), "no-keyframe");
    // VP8 under the number of H.264.
    let other = Scene::new(BOTH).play(async |scene| {
        scene.keyframe();
        loop {
            scene.timestamp += 3_000;
            scene.send(Kind::Video, 0, &[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a]);
            scene.send(Kind::Audio, 0, &[1]);
            ms(33).await;
        }
    });
    let began = now();
    assert_eq!(other.await.expect_err("no picture comes of it").code(), "publisher-unreadable");
    assert!(now().duration_since(began) < MEDIA_LIMIT + Duration::from_millis(100));
    let mut nobody = Scene::new(BOTH);
    nobody.publication = None;
    assert_eq!(nobody.play(async |_| {}).await.expect_err("nobody is there").code(), "nobody-publishes");
}

#[tokio::test(start_paused = true)]
async fn sound_alone_is_enough() {
    let scene = Scene::new(Tracks { video: false, audio: true });
    let camera = scene.camera.clone();
    let script = scene.play(async |scene| {
        let clock = NtpTime(1 << 40);
        let report = Item::Report { kind: Kind::Audio, timestamp: 0, clock, received: now() };
        scene.publication.as_ref().expect("it is there").push(report);
        for _ in 0..600 {
            scene.timestamp = scene.timestamp.wrapping_add(960);
            scene.send(Kind::Audio, 0, &[1, 2]);
            scene.send(Kind::Audio, 0, &[]);
            ms(20).await;
        }
        scene.publication = None;
    });
    assert_eq!(script.await.expect_err("it has gone").code(), "publisher-gone");
    assert_eq!(camera.counters.units.total(), 600);
}

#[test]
fn times_go_on_across_the_wrap() {
    let mut times = Unwrapped::default();
    let ticks: Vec<_> = [u32::MAX - 10, 5, 2, 100].into_iter().map(|timestamp| times.of(timestamp)).collect();
    let start = i64::from(u32::MAX) - 10;
    assert_eq!(ticks, [start, start + 16, start + 13, start + 111]);
}
