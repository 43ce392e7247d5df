//! One `[[camera]]`: what it says, as the settings of a source.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use ::config::{Value, ValueKind};
use serde::Deserialize;

use super::check::{self, Checked, quote};
use super::defaults;
use super::fault::Problem;
use super::key_path::KeyPath;
use super::keys::{self, NAME_WORDS, PIPELINE_WORDS};
use super::network::seconds;
use super::pipelines::Pipelines;
use super::report::Report;
use super::secret_file;
use crate::source;
use crate::source::config::{
    Audio, CameraName, ClipLimits, Credentials, GopLimits, Input, Loudspeaker, Pipeline, Secret, Start, Takeover, Talk,
    Transport, parse_url,
};

/// `[[camera]]` as serde reads it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraSection {
    name: Option<String>,
    url: Option<String>,
    pipeline: Option<String>,
    source: Option<Elsewhere>,
    takeover: Option<bool>,
    with: Option<BTreeMap<String, String>>,
    username: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    transport: Option<Transport>,
    audio: Option<Audio>,
    events: Option<bool>,
    audio_bitrate_kbps: Option<u32>,
    start: Option<Start>,
    linger_seconds: Option<f64>,
    gop_cache_mib: Option<u64>,
    gop_cache_seconds: Option<f64>,
    clip_seconds: Option<f64>,
    clip_mib: Option<u64>,
    talk: Option<TalkTo>,
    talk_pipeline: Option<String>,
    talk_with: Option<BTreeMap<String, String>>,
    talk_limit_seconds: Option<f64>,
}

/// What `source` says of a camera that is not asked for its picture.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Elsewhere {
    Whip,
}

/// What `talk` says of how somebody is heard there.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TalkTo {
    Off,
    Onvif,
    Pipeline,
}

/// Reads the camera at `path`. `None` only with a fault in the report.
pub(super) fn camera(
    path: &KeyPath,
    value: Value,
    pipelines: &Pipelines,
    report: &mut Report<'_>,
) -> Option<source::Config> {
    let is_table = matches!(value.kind, ValueKind::Table(_));
    let checked = check::section::<CameraSection>(&keys::CAMERA, path, Some(value), report);
    if !is_table {
        return None;
    }
    let name = name(&checked, path, report);
    let input = input(&checked, path, pipelines, report);
    let talk = talk(&checked, path, input.as_ref(), pipelines, report);
    let values = checked.values;
    let start = match input {
        // Whoever publishes decides when; to wait for them costs nothing.
        Some(Input::Whip { .. }) => Start::Always,
        _ => values.start.unwrap_or(defaults::START),
    };
    let bytes = |mib: u64| usize::try_from(mib << 20).unwrap_or(usize::MAX);
    let clip = ClipLimits {
        length: seconds(values.clip_seconds, defaults::CLIP),
        max_bytes: bytes(values.clip_mib.unwrap_or(defaults::CLIP_MIB)),
    };
    Some(source::Config {
        name: name?,
        input: input?,
        audio: values.audio.unwrap_or(defaults::AUDIO),
        events: values.events.unwrap_or(defaults::EVENTS),
        audio_bitrate_bps: values.audio_bitrate_kbps.map(|kbps| kbps * 1_000),
        start,
        linger: seconds(values.linger_seconds, defaults::LINGER),
        gop: GopLimits {
            max_bytes: bytes(values.gop_cache_mib.unwrap_or(defaults::GOP_CACHE_MIB)),
            max_age: seconds(values.gop_cache_seconds, defaults::GOP_CACHE_AGE),
        },
        clip: Some(clip).filter(|clip| !clip.length.is_zero()),
        talk,
    })
}

fn name(camera: &Checked<CameraSection>, path: &KeyPath, report: &mut Report<'_>) -> Option<CameraName> {
    let path = path.key("name");
    let Some(name) = &camera.values.name else {
        if !camera.refused.contains("name") {
            report.value(&path, "no name", NAME_WORDS);
        }
        return None;
    };
    name.parse().map_err(|why| report.value(&path, format!("{} ({why})", quote(name)), NAME_WORDS)).ok()
}

fn input(
    camera: &Checked<CameraSection>,
    path: &KeyPath,
    pipelines: &Pipelines,
    report: &mut Report<'_>,
) -> Option<Input> {
    let has = |key: &&str| camera.refused.contains(*key) || camera.has(key);
    let given: Vec<_> = ["url", "pipeline", "source"].into_iter().filter(has).collect();
    match given[..] {
        ["url"] => return rtsp(camera, path, report),
        ["pipeline"] => return pipeline(camera, path, pipelines, report),
        ["source"] => return published(camera, path, report),
        [first, second, ..] => report.add(&path.key(second), Problem::TwoInputs { first, second }),
        _ => report.add(path, Problem::NoInput),
    }
    None
}

/// The keys that a camera with `input` has not, because they belong to `needs`.
fn misplaced(
    camera: &Checked<CameraSection>,
    path: &KeyPath,
    keys: &[&'static str],
    (input, needs): (&'static str, &'static str),
    report: &mut Report<'_>,
) {
    for key in keys.iter().filter(|key| camera.has(key)) {
        report.add(&path.key(key), Problem::Misplaced { input, needs });
    }
}

/// What only a camera with an RTSP address has.
const OF_RTSP: [&str; 5] = ["username", "password", "password_file", "transport", "events"];

fn published(camera: &Checked<CameraSection>, path: &KeyPath, report: &mut Report<'_>) -> Option<Input> {
    let input = "source";
    misplaced(camera, path, &OF_RTSP, (input, "url"), report);
    misplaced(camera, path, &["with"], (input, "pipeline"), report);
    misplaced(camera, path, &["start", "linger_seconds", "audio_bitrate_kbps"], (input, "url or pipeline"), report);
    camera.values.source.map(|Elsewhere::Whip| Input::Whip {
        takeover: if camera.values.takeover == Some(true) { Takeover::Allowed } else { Takeover::Refused },
    })
}

fn rtsp(camera: &Checked<CameraSection>, path: &KeyPath, report: &mut Report<'_>) -> Option<Input> {
    misplaced(camera, path, &["with"], ("url", "pipeline"), report);
    misplaced(camera, path, &["takeover"], ("url", "source"), report);
    let credentials = credentials(camera, path, report);
    let url = camera.values.url.as_ref()?;
    let url = parse_url(url).map_err(|bad| report.add(&path.key("url"), Problem::Url(bad))).ok()?;
    Some(Input::Rtsp { url, credentials, transport: camera.values.transport.unwrap_or(defaults::TRANSPORT) })
}

fn pipeline(
    camera: &Checked<CameraSection>,
    path: &KeyPath,
    pipelines: &Pipelines,
    report: &mut Report<'_>,
) -> Option<Input> {
    misplaced(camera, path, &OF_RTSP, ("pipeline", "url"), report);
    misplaced(camera, path, &["takeover"], ("pipeline", "source"), report);
    let name = camera.values.pipeline.clone()?;
    let with = camera.values.with.clone().unwrap_or_default();
    let Pipeline { name, file, with, content } = found(name, with, &path.key("pipeline"), pipelines, report)?;
    Some(Input::Pipeline { name, file, with, content })
}

/// The pipeline of that name.
fn found(
    name: String,
    with: BTreeMap<String, String>,
    path: &KeyPath,
    pipelines: &Pipelines,
    report: &mut Report<'_>,
) -> Option<Pipeline> {
    let file = pipelines.find(&name).map_err(|problem| report.add(path, problem)).ok()?;
    report.note_file(&file);
    let mut content = DefaultHasher::new();
    // One that cannot be read is refused by whoever looks what is in it.
    std::fs::read(&file).unwrap_or_default().hash(&mut content);
    Some(Pipeline { name, file, with, content: content.finish() })
}

/// How the people before the camera are talked to; `None` where they are not, and with a fault in the report.
fn talk(
    camera: &Checked<CameraSection>,
    path: &KeyPath,
    input: Option<&Input>,
    pipelines: &Pipelines,
    report: &mut Report<'_>,
) -> Option<Talk> {
    let values = &camera.values;
    let wanted = values.talk.unwrap_or(TalkTo::Off);
    // What is switched off for now may say all the same what it would be.
    let is_off = values.talk == Some(TalkTo::Off);
    if wanted != TalkTo::Pipeline && !is_off && !camera.refused.contains("talk") {
        misplaced(camera, path, &["talk_pipeline", "talk_with"], ("talk", "talk = \"pipeline\""), report);
    }
    let to = match wanted {
        TalkTo::Off => return None,
        TalkTo::Onvif => {
            if input.is_some_and(|input| !matches!(input, Input::Rtsp { .. })) {
                report.add(&path.key("talk"), Problem::Misplaced { input: "talk = \"onvif\"", needs: "url" });
            }
            Loudspeaker::Onvif
        }
        TalkTo::Pipeline => {
            let Some(name) = values.talk_pipeline.clone() else {
                if !camera.refused.contains("talk_pipeline") {
                    report.value(&path.key("talk"), "\"pipeline\" without talk_pipeline", PIPELINE_WORDS);
                }
                return None;
            };
            let with = values.talk_with.clone().unwrap_or_default();
            Loudspeaker::Pipeline(found(name, with, &path.key("talk_pipeline"), pipelines, report)?)
        }
    };
    Some(Talk { to, limit: seconds(values.talk_limit_seconds, defaults::TALK_LIMIT) })
}

fn credentials(camera: &Checked<CameraSection>, path: &KeyPath, report: &mut Report<'_>) -> Option<Credentials> {
    let refused = |key| camera.refused.contains(key);
    let password = match (&camera.values.password, &camera.values.password_file) {
        (Some(_), Some(_)) => {
            report.add(&path.key("password_file"), Problem::TwoPasswords);
            return None;
        }
        (Some(password), None) => Some(password.clone()),
        (None, Some(file)) => {
            let file = secret_file::find(report.document().folder(), file);
            report.note_file(&file);
            let fault =
                |reason| report.add(&path.key("password_file"), Problem::PasswordFile { file: file.clone(), reason });
            Some(secret_file::read(&file).map_err(fault).ok()?)
        }
        (None, None) => None,
    };
    match (&camera.values.username, password) {
        (Some(username), Some(password)) => return Some(Credentials { username: username.clone(), password }),
        (Some(_), None) if !refused("password") && !refused("password_file") => {
            let missing = "password or password_file";
            report.add(&path.key("username"), Problem::Unpaired { given: "username", missing });
        }
        (None, Some(_)) if !refused("username") => {
            let key = if camera.has("password") { "password" } else { "password_file" };
            report.add(&path.key(key), Problem::Unpaired { given: key, missing: "username" });
        }
        _ => {}
    }
    None
}

impl Checked<CameraSection> {
    /// Whether the key is there and passed its check.
    fn has(&self, key: &str) -> bool {
        let values = &self.values;
        match key {
            "url" => values.url.is_some(),
            "pipeline" => values.pipeline.is_some(),
            "with" => values.with.is_some(),
            "username" => values.username.is_some(),
            "password" => values.password.is_some(),
            "password_file" => values.password_file.is_some(),
            "transport" => values.transport.is_some(),
            "source" => values.source.is_some(),
            "takeover" => values.takeover.is_some(),
            "start" => values.start.is_some(),
            "linger_seconds" => values.linger_seconds.is_some(),
            "audio_bitrate_kbps" => values.audio_bitrate_kbps.is_some(),
            "events" => values.events.is_some(),
            "talk_pipeline" => values.talk_pipeline.is_some(),
            "talk_with" => values.talk_with.is_some(),
            _ => false,
        }
    }
}
