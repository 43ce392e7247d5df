use std::{collections::VecDeque, sync::Mutex};

use super::*;
use crate::{
    hub::GopLimits,
    media::{ClockRate, MediaTime, VideoFormat},
    source::config::{Input, Start},
};

/// What a scripted connection does.
#[derive(Clone, Copy)]
enum Script {
    /// Fails after some seconds.
    Fails(u64),
    /// Goes live and stays until it is asked to leave.
    Stays,
    /// Goes live and hangs up after some seconds.
    HangsUp(u64),
}

#[derive(Clone, Default)]
struct Scripted {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Scripted {
    fn note(&self, what: &'static str) {
        self.log.lock().unwrap().push(what);
    }
}

impl Connector for Scripted {
    async fn open(&mut self, feed: &mut Feed<'_>, leave: &CancellationToken) -> Result<(), Error> {
        self.note("open");
        let script = self.scripts.lock().unwrap().pop_front().unwrap_or(Script::Stays);
        let seconds = match script {
            Script::Fails(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                return Err(Error::Refused { peer: "cam:554".into() });
            }
            Script::HangsUp(seconds) => seconds,
            Script::Stays => u64::MAX / 1_000_000_000,
        };
        feed.tracks(true, None);
        let set = |bytes: &'static [u8]| bytes.into();
        feed.set_video(VideoFormat { sps: set(&[0x67, 1, 2, 3]), pps: vec![set(&[0x68])], width: 16, height: 16 });
        let time = MediaTime { ticks: 0, rate: ClockRate::VIDEO };
        feed.video(time, now(), true, (&[0, 0, 0, 1, 0x65][..]).into());
        tokio::select! {
            () = leave.cancelled() => {
                self.note("teardown");
                Ok(())
            }
            () = tokio::time::sleep(Duration::from_secs(seconds)) => Err(Error::HungUp),
        }
    }
}

struct Running {
    camera: Arc<Camera>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Ended>,
    log: Arc<Mutex<Vec<&'static str>>>,
    settings: watch::Sender<Config>,
}

fn run(start: Start, scripts: &[Script]) -> Running {
    let limits = GopLimits { max_bytes: 1_000_000, max_age: Duration::from_secs(60) };
    let camera = Camera::new("front".parse().unwrap(), limits);
    let config = Config {
        name: camera.name().clone(),
        input: Input::Pipeline { name: "none".into(), file: "none".into(), with: Default::default(), content: 0 },
        start,
        audio: Audio::Auto,
        audio_bitrate_bps: None,
        events: false,
        linger: Duration::from_secs(10),
        gop: limits,
        clip: None,
        talk: None,
    };
    let connector = Scripted { scripts: Arc::new(Mutex::new(scripts.iter().copied().collect())), ..Default::default() };
    let (shutdown, settings) = (CancellationToken::new(), watch::Sender::new(config.clone()));
    let log = connector.log.clone();
    let task = {
        let (mut producer, shutdown) = (Producer::new(camera.clone()), shutdown.clone());
        let (config, mut settings) = (config.clone(), settings.subscribe());
        tokio::spawn(async move { drive(config, &mut settings, &mut producer, &shutdown, connector).await })
    };
    Running { camera, shutdown, task, log, settings }
}

impl Running {
    async fn after(&self, seconds: f64) -> &'static str {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        self.camera.status().state.name()
    }
}

#[tokio::test(start_paused = true)]
async fn on_demand_connects_with_the_first_viewer_and_leaves_after_the_last() {
    let running = run(Start::OnDemand, &[]);
    assert_eq!(running.after(60.0).await, "idle");
    let viewer = running.camera.view();
    assert_eq!(running.after(0.1).await, "live");
    assert_eq!(running.camera.join().gop.len(), 1);
    drop(viewer);
    assert_eq!(running.after(9.0).await, "live");
    let viewer = running.camera.view();
    assert_eq!(running.after(60.0).await, "live");
    drop(viewer);
    assert_eq!(running.after(10.1).await, "idle");
    assert_eq!(running.camera.join().gop.len(), 0);
    assert_eq!(*running.log.lock().unwrap(), ["open", "teardown"]);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_is_away_is_tried_again_until_it_is_back() {
    let running = run(Start::Always, &[Script::Fails(1), Script::Fails(1), Script::HangsUp(20)]);
    assert_eq!(running.after(1.1).await, "backing_off");
    let status = running.camera.status();
    assert!(status.reason.unwrap().sentence.starts_with("cam:554 refuses connections"));
    assert_eq!(running.after(1.0).await, "connecting");
    assert_eq!(running.after(1.0).await, "backing_off");
    assert_eq!(running.after(2.0).await, "live");
    assert!(running.camera.status().reason.is_none());
    assert_eq!(running.after(17.0).await, "live");
    assert_eq!(running.camera.counters.reconnects.total(), 2);
    assert_eq!(running.after(3.0).await, "live", "at once, since it was");
    assert_eq!(running.camera.counters.reconnects.total(), 3);
    assert_eq!(running.camera.join().gop.len(), 1, "nothing of the connection before");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_every_state_and_leaves_the_camera() {
    for (script, state) in
        [(Script::Stays, "live"), (Script::Fails(100), "connecting"), (Script::Fails(0), "backing_off")]
    {
        let running = run(Start::Always, &[script, Script::Fails(0), Script::Fails(0)]);
        assert_eq!(running.after(0.1).await, state);
        running.shutdown.cancel();
        timeout(Duration::from_secs(7), running.task).await.unwrap().unwrap();
        assert_eq!(running.camera.status().state.name(), "stopped");
        let torn_down = running.log.lock().unwrap().contains(&"teardown");
        assert_eq!(torn_down, state == "live");
    }
}

#[tokio::test(start_paused = true)]
async fn other_rules_leave_the_connection_alone_and_another_way_does_not() {
    let running = run(Start::OnDemand, &[]);
    assert_eq!(running.after(1.0).await, "idle");
    running.settings.send_modify(|config| config.start = Start::Always);
    assert_eq!(running.after(0.1).await, "live", "without a viewer");
    running.settings.send_modify(|config| config.linger = Duration::from_secs(20));
    assert_eq!(running.after(60.0).await, "live");
    running.settings.send_modify(|config| config.start = Start::OnDemand);
    assert_eq!(running.after(19.0).await, "live", "as if the last viewer had left now");
    assert_eq!(running.after(2.0).await, "idle");
    let _viewer = running.camera.view();
    assert_eq!(running.after(0.1).await, "live");
    running.settings.send_modify(|config| config.gop.max_bytes = 0);
    assert_eq!(running.after(1.0).await, "live");
    assert_eq!(*running.log.lock().unwrap(), ["open", "teardown", "open"]);
    running.settings.send_modify(|config| config.audio = Audio::Off);
    assert_eq!(timeout(Duration::from_secs(7), running.task).await.unwrap().unwrap(), Ended::Moved);
    assert_eq!(running.log.lock().unwrap().last(), Some(&"teardown"));
    assert_eq!(running.camera.status().state.name(), "idle", "whoever waits for it goes on waiting");
}
