//! The cameras, all in one process, each with a thread that makes it misbehave every 10 to 60 s.

use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::chance::Chance;
use super::part;
use crate::support::camera::{Answer, Audio, Camera, Scheme, Transports};

pub const ARGUMENT: &str = "--soak-cameras";
/// Few, so that ten cameras take a small part of a core.
pub const FPS: u32 = 5;
/// The sizes that cameras change between.
const SIZES: [(u32, u32); 3] = [(320, 180), (256, 144), (384, 216)];

/// The camera that sends over UDP.
const UDP: usize = 3;
/// The camera with a password, and what it is.
pub const LOCKED: usize = 8;
pub const USER: &str = "soak";
pub const PASSWORD: &str = "right-one";

/// What a camera does, and when it is itself again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Misdeed {
    HangUp,
    Stall,
    Freeze,
    Refuse503,
    Refuse404,
    GoAway,
    ChangeSize,
}

impl Misdeed {
    pub const ALL: [Self; 7] =
        [Self::HangUp, Self::Stall, Self::Freeze, Self::Refuse503, Self::Refuse404, Self::GoAway, Self::ChangeSize];

    pub fn name(self) -> &'static str {
        match self {
            Self::HangUp => "hung up",
            Self::Stall => "sent nothing for 3 to 15 s",
            Self::Freeze => "did not answer for 3 to 15 s",
            Self::Refuse503 => "refused with 503 for 5 to 30 s",
            Self::Refuse404 => "refused with 404 for 5 to 30 s",
            Self::GoAway => "went away for 5 to 60 s",
            Self::ChangeSize => "changed the picture's size",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    Misbehaves {
        camera: usize,
        misdeed: Misdeed,
    },
    /// It serves again whoever asks.
    Serves {
        camera: usize,
    },
}

pub fn name(camera: usize) -> String {
    format!("camera-{camera}")
}

/// The `[[camera]]` entry without its end. Half of them are connected only while somebody looks.
pub fn toml(camera: usize, port: u16) -> String {
    let start = if camera.is_multiple_of(2) { "always" } else { "on-demand" };
    let transport = if camera == UDP { "transport = \"udp\"\n" } else { "" };
    let name = name(camera);
    format!("\n[[camera]]\nname = \"{name}\"\nurl = \"{}\"\nstart = \"{start}\"\n{transport}", url(port))
}

pub fn url(port: u16) -> String {
    format!("rtsp://127.0.0.1:{port}/cam")
}

/// The main function of the cameras' process: arguments are the seed and the ports.
pub fn run(arguments: &[String]) -> ! {
    part::end_with_parent();
    // A camera that is broken itself must not look like one that misbehaves.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{ARGUMENT}: {panic}");
        std::process::exit(101);
    }));
    let numbers: Vec<u64> = arguments.iter().map(|text| text.parse().expect("a number")).collect();
    let seed = numbers[0] + part::restarts();
    let (tell, told) = mpsc::channel();
    for (camera, &port) in numbers[1..].iter().enumerate() {
        let tell = tell.clone();
        std::thread::spawn(move || live(camera, port as u16, seed, &tell));
    }
    for news in told {
        println!("{}", serde_json::to_string::<News>(&news).expect("plain data"));
    }
    unreachable!("the cameras go on for ever")
}

fn live(index: usize, port: u16, seed: u64, tell: &mpsc::Sender<News>) {
    let mut chance = Chance::new(seed, index as u64);
    let audio = match index {
        1 => Audio::Pcmu,
        2 => Audio::Aac,
        _ => Audio::None,
    };
    let transports = if index == UDP { Transports::Udp } else { Transports::Tcp };
    let (width, height) = SIZES[0];
    let builder = Camera::builder().port(port).size(width, height).fps(FPS).gop(4 * FPS).bitrate_kbps(100);
    let builder = if index == LOCKED { builder.user(USER, PASSWORD, Scheme::DigestMd5) } else { builder };
    // All show a picture at the same instant: Chromium draws once for all of them, and takes less of the machine.
    let interval = 1_000 / u64::from(FPS);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    std::thread::sleep(Duration::from_millis(interval - now % interval));
    let mut camera = builder.noise_percent(2).audio(audio).transports(transports).start();
    let say = |news| tell.send(news).expect("the main thread listens");
    say(News::Serves { camera: index });
    loop {
        // Now and then long enough for everything to be well again, so that what does not come back is seen.
        let good = if chance.happens(15) { chance.seconds(100.0, 160.0) } else { chance.seconds(10.0, 60.0) };
        std::thread::sleep(good);
        let misdeed = Misdeed::ALL[chance.below(Misdeed::ALL.len())];
        say(News::Misbehaves { camera: index, misdeed });
        misbehave(&mut camera, misdeed, &mut chance);
        say(News::Serves { camera: index });
    }
}

fn misbehave(camera: &mut Camera, misdeed: Misdeed, chance: &mut Chance) {
    let mut pause = |from, to| std::thread::sleep(chance.seconds(from, to));
    match misdeed {
        Misdeed::HangUp => {
            camera.hang_up();
        }
        Misdeed::Stall => {
            camera.stall();
            pause(3.0, 15.0);
            camera.resume();
        }
        Misdeed::Freeze => {
            camera.freeze();
            pause(3.0, 15.0);
            camera.thaw();
        }
        Misdeed::Refuse503 | Misdeed::Refuse404 => {
            let answer = if misdeed == Misdeed::Refuse404 { Answer::NotFound } else { Answer::Unavailable };
            camera.answer(answer);
            camera.hang_up();
            pause(5.0, 30.0);
            camera.answer(Answer::Stream);
        }
        Misdeed::GoAway => {
            camera.stop();
            pause(5.0, 60.0);
            camera.start_again();
        }
        Misdeed::ChangeSize => {
            let (width, height) = SIZES[chance.below(SIZES.len())];
            camera.change_size(width, height);
        }
    }
}

/// Since when each camera has served whoever asks, as far as the bench was told, and what it did.
#[derive(Default)]
pub struct Conduct {
    serves_since: Vec<Option<Instant>>,
    pub misdeeds: Vec<(Misdeed, u64)>,
}

impl Conduct {
    pub fn new(cameras: usize) -> Self {
        Self { serves_since: vec![None; cameras], misdeeds: Misdeed::ALL.map(|misdeed| (misdeed, 0)).to_vec() }
    }

    pub fn note(&mut self, news: &News) {
        match news {
            News::Serves { camera } => self.serves_since[*camera] = Some(Instant::now()),
            News::Misbehaves { camera, misdeed } => {
                self.serves_since[*camera] = None;
                let count = self.misdeeds.iter_mut().find(|entry| entry.0 == *misdeed);
                count.expect("all are there").1 += 1;
            }
        }
    }

    pub fn count(&self) -> usize {
        self.serves_since.len()
    }

    /// All of them are starting again.
    pub fn forget(&mut self) {
        self.serves_since.fill(None);
    }

    pub fn has_served_for(&self, camera: usize, length: Duration) -> bool {
        self.serves_since[camera].is_some_and(|since| since.elapsed() > length)
    }
}
