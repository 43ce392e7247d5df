//! Finds the best H.264 encoder that works on this machine, by letting each encode a picture.
//!
//! An encoder that is installed need not work: V4L2 and VA-API plugins list what the driver promises. What was found
//! stays for the life of the process; that none was found does not, as one may be installed meanwhile.

use std::{
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use gstreamer as gst;
use tracing::{info, warn};

use super::{
    element::{Words, package},
    encoder::{ELEMENTS, Element, Settings},
    exit::Content,
    pipeline::Pipeline,
};
use crate::source::Error;

/// For one encoder to show a picture. Hardware needs up to a second to wake up; a driver that hangs is left alone.
const LIMIT: Duration = Duration::from_secs(3);
/// Pictures that an encoder gets: hardware gives its first one only when it has a few.
const PICTURES: u32 = 12;
/// Size that every encoder takes.
const SIZE: (u32, u32) = (640, 480);

/// The encoder of this machine.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The GStreamer element.
    pub name: &'static str,
    /// What does the work: "hardware, VA-API", "software".
    pub worker: &'static str,
    /// Why it is this one: what it is, and why no better one was taken.
    pub reason: String,
    element: Element,
}

static FOUND: Mutex<Option<Encoder>> = Mutex::new(None);

/// The best H.264 encoder of this machine. Tries them at the first call, which blocks for up to some seconds where
/// hardware does not do what it promises.
///
/// # Errors
/// No encoder works; says why each does not, and what to install.
pub fn encoder() -> Result<Encoder, Error> {
    let mut found = FOUND.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(encoder) = &*found {
        return Ok(encoder.clone());
    }
    let encoder = choose(attempt).map_err(|reason| Error::NoEncoder { reason })?;
    info!(encoder = encoder.name, worker = encoder.worker, reason = encoder.reason, "chose the H.264 encoder");
    Ok(found.insert(encoder).clone())
}

/// The element that takes the place of `{encoder}`.
pub(super) fn element(forced: Option<Element>) -> Result<Element, Error> {
    forced.map_or_else(|| encoder().map(|encoder| encoder.element), Ok)
}

/// The element that `{encoder}` probably becomes, without trying: the best that is installed.
pub(super) fn likely(forced: Option<Element>) -> Element {
    let installed = || ELEMENTS.into_iter().find(|element| gst::ElementFactory::find(element.name()).is_some());
    forced.or_else(installed).unwrap_or(Element::X264)
}

/// The first that works.
fn choose(attempt: impl Fn(Element) -> Result<(), String>) -> Result<Encoder, String> {
    let mut passed_over = Vec::new();
    for element in ELEMENTS {
        match attempt(element) {
            Ok(()) => {
                let remark = element.remark();
                let parts = [remark].into_iter().filter(|remark| !remark.is_empty()).chain(passed_over);
                let reason = parts.collect::<Vec<_>>().join("; ");
                let reason = if reason.is_empty() { "the best there is".into() } else { reason };
                return Ok(Encoder { name: element.name(), worker: element.worker(), reason, element });
            }
            Err(reason) => passed_over.push(format!("{}: {reason}", element.name())),
        }
    }
    Err(passed_over.join("; "))
}

/// Whether it encodes a picture in time.
fn attempt(element: Element) -> Result<(), String> {
    gst::init().map_err(|error| error.to_string())?;
    if gst::ElementFactory::find(element.name()).is_none() {
        return Err(match element {
            Element::V4l2 => "this machine has none".into(),
            Element::Va | Element::VaLowPower => "this machine has none, or no driver for it".into(),
            Element::X264 | Element::OpenH264 => {
                format!("not installed ({})", package(element.name()).unwrap_or_default())
            }
        });
    }
    let (report, result) = mpsc::channel();
    // A thread of its own, because a driver may never come back.
    let started = thread::Builder::new().name("encoder-test".into()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = report.send(encode(element));
    });
    started.map_err(|error| error.to_string())?;
    result.recv_timeout(LIMIT).unwrap_or_else(|_| {
        warn!(encoder = element.name(), "does not answer");
        Err(format!("gave no picture within {} s", LIMIT.as_secs()))
    })
}

fn encode(element: Element) -> Result<(), String> {
    let settings = Settings::new(None, None, Some(SIZE.0), Some(SIZE.1), None);
    let description = format!(
        "videotestsrc num-buffers={PICTURES} ! video/x-raw,width={},height={},framerate={}/1 ! {} ! appsink name=video",
        SIZE.0,
        SIZE.1,
        settings.fps,
        element.launch(&settings)
    );
    let words = Words::new("encoder test", &[].into());
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let (pipeline, mut output) = Pipeline::start(&description, None, &words).map_err(|error| told(&error))?;
    let shown = runtime.block_on(async {
        tokio::select! {
            biased;
            unit = output.units.recv() => match unit.map(|unit| unit.content) {
                Some(Content::Picture { keyframe: true, format: Some(_) }) => Ok(()),
                _ => Err("its first picture is no keyframe".into()),
            },
            ended = &mut output.end => Err(match ended {
                Ok(error @ (Error::Element { .. } | Error::Pipeline { .. })) => told(&error),
                _ => "gave no picture".into(),
            }),
        }
    });
    drop(pipeline);
    shown
}

/// The reason without the name of the pipeline, which is not the user's.
fn told(error: &Error) -> String {
    match error {
        Error::Element { reason, .. } | Error::Pipeline { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_works_is_taken_and_the_others_are_explained() {
        let found = choose(|element| match element {
            Element::OpenH264 => Ok(()),
            other => Err(format!("no {}", other.worker())),
        });
        let found = found.unwrap();
        assert_eq!((found.name, found.worker), ("openh264enc", "software"));
        for part in ["v4l2h264enc: no hardware, V4L2", "vah264enc: no ", "vah264lpenc: no ", "x264enc: no software"] {
            assert!(found.reason.contains(part), "{}", found.reason);
        }
        assert_eq!(choose(|_| Ok(())).unwrap().reason, "the best there is");
        assert!(choose(|_| Err("broken".into())).unwrap_err().ends_with("openh264enc: broken"));
    }

    #[test]
    fn software_encoders_are_tried_for_real() {
        for element in [Element::X264, Element::OpenH264] {
            assert_eq!(attempt(element), Ok(()), "{element}");
        }
    }

    #[test]
    fn this_machine_has_an_encoder() {
        let first = encoder().unwrap();
        assert!(Element::by_name(first.name).is_some() && !first.reason.is_empty(), "{first:?}");
        assert_eq!(encoder().unwrap().reason, first.reason);
        assert_eq!(element(Some(Element::OpenH264)).unwrap(), Element::OpenH264);
    }
}
