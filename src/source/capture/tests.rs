//! The shipped pipelines, run for real: the same graphs, with a test source in the place of the device.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod camera;
mod devices;
mod files;
mod rtsp;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    element::Words,
    encoder::Element,
    exit::Content,
    launch::{self, Launch},
    pipeline::{Output, Pipeline},
    probe,
};
use crate::{
    media::{AudioFormat, VideoFormat},
    source::Error,
};

/// Longest wait for what a test waits for, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(20);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipelines")
}

fn with(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A shipped pipeline with each `swaps.0` replaced by `swaps.1`.
fn shipped(name: &str, swaps: &[(&str, &str)], values: &[(&str, &str)]) -> Launch {
    let mut text = std::fs::read_to_string(folder().join(format!("{name}.launch"))).unwrap();
    for (device, stand_in) in swaps {
        assert_eq!(text.matches(device).count(), 1, "{device} in {name}");
        text = text.replace(device, stand_in);
    }
    read(&text, values)
}

fn read(text: &str, values: &[(&str, &str)]) -> Launch {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    launch::read(file.path(), &with(values), launch::Flow::In).unwrap()
}

fn words() -> Words {
    Words::new("test", &with(&[("password", "hunter2")]))
}

fn element(launch: &Launch) -> Option<Element> {
    launch.encoder.map(|encoding| probe::element(encoding.forced).unwrap())
}

/// A pipeline that runs, and what came out of it so far.
struct Run {
    pipeline: Pipeline,
    output: Output,
    /// Running times in nanoseconds, and whether it was a keyframe.
    pictures: Vec<(i64, bool)>,
    sounds: Vec<(i64, usize)>,
    video: Option<VideoFormat>,
    audio: Option<AudioFormat>,
}

impl Run {
    fn start(launch: &Launch) -> Self {
        let (pipeline, output) = Pipeline::start(&launch.description(element(launch)), launch.pin, &words()).unwrap();
        Self { pipeline, output, pictures: Vec::new(), sounds: Vec::new(), video: None, audio: None }
    }

    /// Takes units until so many more came of each kind.
    async fn take(&mut self, pictures: usize, sounds: usize) -> Result<(), Error> {
        let (pictures, sounds) = (self.pictures.len() + pictures, self.sounds.len() + sounds);
        let until = Instant::now() + LIMIT;
        while self.pictures.len() < pictures || self.sounds.len() < sounds {
            let next = async {
                tokio::select! {
                    biased;
                    unit = self.output.units.recv() => Ok(unit.unwrap()),
                    ended = &mut self.output.end => Err(ended.unwrap()),
                }
            };
            let unit = timeout_at(until, next).await.unwrap_or_else(|_| {
                panic!("{} of {pictures} pictures and {} of {sounds} sounds", self.pictures.len(), self.sounds.len())
            })?;
            match unit.content {
                Content::Picture { keyframe, format } => {
                    self.video = format.or_else(|| self.video.take());
                    self.pictures.push((unit.running, keyframe));
                }
                Content::Sound { format } => {
                    self.audio = Some(format);
                    self.sounds.push((unit.running, unit.data.len()));
                }
            }
        }
        Ok(())
    }

    /// How it fails.
    async fn failure(&mut self) -> String {
        let error = loop {
            if let Err(error) = self.take(1, 0).await {
                break error;
            }
        };
        error.to_string()
    }

    /// Size of the picture, and that it is Constrained Baseline, starts with a keyframe and never steps back.
    fn check_pictures(&self, width: u32, height: u32) {
        let video = self.video.as_ref().unwrap();
        assert_eq!((video.width, video.height), (width, height));
        assert!(self.pictures[0].1, "the first picture is no keyframe");
        assert!(self.pictures.windows(2).all(|pair| pair[1].0 > pair[0].0), "{:?}", self.pictures);
    }

    /// A viewer's request gives a keyframe long before the next one is due.
    async fn check_keyframe_on_request(&mut self) {
        self.pipeline.request_keyframe();
        let before = self.pictures.len();
        self.take(8, 0).await.unwrap();
        let keyframes = self.pictures[before..].iter().filter(|(_, keyframe)| *keyframe).count();
        assert_eq!(keyframes, 1, "{:?}", &self.pictures[before..]);
    }
}

#[test]
fn every_shipped_pipeline_has_its_comments_and_is_sound() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# ") && text.contains("#   gstreamer1.0-"), "{name}");
        assert!(text.contains("Placeholders"), "{name}");
        let comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        let values: &[_] = match name.as_str() {
            "rtspsrc" => &[("url", "rtsps://cam/x")],
            "file" | "file-h264" => &[("file", "/srv/my demo.mp4")],
            _ => &[],
        };
        let flow = if name == "alsa-speaker" { launch::Flow::Out } else { launch::Flow::In };
        launch::read(&file, &with(values), flow).unwrap();
        // What the file does not know is refused, and the refusal lists what it knows: all of that is explained.
        let refusal = launch::check(&file, &with(&[("no_such", "1")])).unwrap_err().to_string();
        let known = refusal.split_once("it has: ").unwrap().1.to_owned();
        for placeholder in known.split(", ") {
            let explained = comments
                .iter()
                .any(|line| line.trim_start_matches(['#', ' ']).split([',', ' ']).any(|word| word == placeholder));
            assert!(explained, "{name} does not explain {placeholder}");
        }
        names.push(name);
    }
    names.sort();
    let shipped = [
        "alsa",
        "alsa-speaker",
        "file",
        "file-h264",
        "libcamera",
        "rtspsrc",
        "test-pattern",
        "v4l2-alsa",
        "v4l2-encode",
        "v4l2-h264",
    ];
    assert_eq!(names, shipped);
}

#[test]
fn a_rehearsal_names_what_is_missing() {
    let rehearse = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        super::rehearse("desk", file.path(), &BTreeMap::new()).map_err(|error| error.to_string())
    };
    rehearse("videotestsrc ! {encoder} ! appsink name=video").unwrap();
    rehearse("v4l2src device=/dev/no-such-camera ! h264parse ! appsink name=video").unwrap();
    assert_eq!(
        rehearse("nosuchsrc ! appsink name=video").unwrap_err(),
        "pipeline desk: there is no GStreamer element nosuchsrc: install the package that has it"
    );
    assert!(rehearse("videotestsrc ! ! appsink name=video").unwrap_err().contains("pipeline desk: "));
    let refused = rehearse("videotestsrc teapot=1 ! appsink name=video").unwrap_err();
    assert!(refused.contains("teapot"), "{refused}");
    assert!(rehearse("videotestsrc ! fakesink name=video").unwrap_err().contains("no element \"appsink"));
}
