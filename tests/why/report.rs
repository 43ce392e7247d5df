//! docs/why.md, made of the rows beside the tests.

use std::{collections::BTreeSet, env, fs, path::Path};

use crate::{cameras::*, cause::Cause, devices::*, networks::*, pictures::*, viewers::*};

/// In the order of the document.
const CAUSES: &[&Cause] = &[
    &UNREACHABLE,
    &REFUSES,
    &WRONG_PATH,
    &WRONG_PASSWORD,
    &NO_PASSWORD,
    &UNKNOWN_LOGIN,
    &FULL,
    &SILENT,
    &H265,
    &B_FRAMES,
    &MJPEG,
    &UNDECODABLE_SOUND,
    &LONG_GOP,
    &TOO_LARGE,
    &RARE_PROFILE,
    &DEVICE_MISSING,
    &DEVICE_BUSY,
    &DEVICE_DENIED,
    &NO_ENCODER,
    &ELEMENT_MISSING,
    &BLOCKED,
    &CONTAINER,
    &NO_ROUTE_BACK,
    &ONE_WAY,
    &GATEWAY_FULL,
    &NO_SUCH_CAMERA,
    &NOT_ALLOWED,
    &CAMERA_REMOVED,
    &SOUND_CHANGED,
    &NOBODY_PUBLISHES,
];

const TESTS: &[&str] = &[
    include_str!("cameras.rs"),
    include_str!("devices.rs"),
    include_str!("networks.rs"),
    include_str!("pictures.rs"),
    include_str!("viewers.rs"),
];

const HEAD: &str = "# Why is there no picture?

Each row was provoked as it says, and told alike by whoever may be asked. Of a camera that does not play: the page (a screen reader says it, too),
`/api/v1/cameras` (`reason` and `code`), the log (a line with `camera`, `code` and `reason`), HTTP (`detail` and `code` of the problem
document that answers an offer), `camgate play` and `camgate probe`. Of a viewer who is refused or cut off: the page, HTTP (the answer to the offer, or to a
GET of the session's address), the log (with `session`, where there was one) and `camgate play`. Of a picture or a sound that
comes and is not whole: the page, `video_note` and `video_code` or `audio_note` and `audio_code`, the log, and of pictures `camgate probe`. What to do
stands behind the last colon. `…` is what differs from case to case. Codes are for programs: they stay as they are when a sentence is put better.
Made by `tests/why`: every row is a test, and passes.

| cause | `code` | sentence | how it was provoked | test |
|---|---|---|---|---|
";

const FOOT: &str = "
## Other codes

Not provoked by `tests/why`; many are by other tests.

| `code` | |
|---|---|
| `name-not-found` | the host in the camera's url has no address |
| `camera-does-not-answer` | a connection, and no answer to a request |
| `no-descriptors` | camgate has no file descriptor left for a connection to the camera |
| `camera-hung-up`, `camera-error`, `camera-not-understood` | the camera closed the connection, answered with another status, or said something that makes no sense |
| `media-stopped`, `no-keyframe`, `no-parameter-sets` | pictures came and stopped; pictures came, and none to begin with within 30 s (10 s of who publishes); those to begin with came, and not how they are coded |
| `wrong-transport` | the camera does not send over TCP, or over UDP |
| `publisher-gone`, `publisher-silent`, `publisher-unreadable` | whoever published to a camera with source = \"whip\" has left, sends nothing any more, or sends what no picture comes of |
| `no-video` | no H.264, and no sound that browsers play |
| `pipeline-unreadable`, `pipeline-unusable`, `pipeline-failed`, `pipeline-hangs`, `pipeline-ended`, `no-gstreamer` | a pipeline's file, its text, one of its elements, its start, its end; a build without GStreamer |
| `sound-unsupported`, `sound-refused`, `sound-reduced` | sound that is left out, or not whole, while the picture plays |
| `not-connected-yet`, `waiting-for-keyframe`, `network-too-slow` | of a session that is there, in `/api/v1/sessions` |
| `no-address`, `viewer-in-container`, `foreign-packets`, `path-not-chosen`, `no-handshake`, `handshake-unfinished`, `never-connected` | a session that never connected |
| `viewer-left`, `deleted`, `barred`, `viewer-silent`, `too-many-channels`, `shutdown` | a session that is over; `barred`: the login or link by which it was opened is, or does not open the camera any more; `too-many-channels`: it opened data channels without end |
| `publisher-left`, `taken-over`, `not-published`, `already-published` | of who publishes: they left; another took their place; the camera has a source of its own; another one is there |
| `no-backchannel`, `backchannel-codec`, `backchannel-taken`, `talk-off`, `already-talking`, `talk-interrupted`, `talked-long`, `talker-left`, `talker-silent` | of who talks at a camera ([talk.md](talk.md)): it has no loudspeaker, none for a codec that is made here, one that somebody has; nobody may, somebody does; it stopped taking sound, the time is over, they left, they are not heard |
| `camera-viewers-full`, `user-full`, `address-full`, `address-connecting`, `too-many-connecting` | other limits of `[webrtc]` |
| `internal-error` | a fault of camgate: please report it |

Problem documents about other things have the last word of their `type` for a `code`.
";

fn report() -> String {
    let table = CAUSES.iter().fold(HEAD.to_owned(), |text, cause| {
        let Cause { name, code, sentence, provoked, test } = cause;
        text + &format!("| {name} | `{code}` | {sentence} | {provoked} | `{test}` |\n")
    });
    table + FOOT
}

/// What stands between these two in a text, wherever it does and is one word.
fn words<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    let behind = text.split(before).skip(1);
    let found = behind.filter_map(|rest| rest.split_once(after)).map(|(word, _)| word);
    found.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')).collect()
}

#[test]
fn each_code_is_listed() {
    let arms = [
        include_str!("../../src/source/error/code.rs"),
        include_str!("../../src/source/capture/trouble.rs"),
        include_str!("../../src/peer/limits.rs"),
    ];
    let reasons = [
        include_str!("../../src/source.rs"),
        include_str!("../../src/hub/formats.rs"),
        include_str!("../../src/http/waiting.rs"),
        include_str!("../../src/peer/diagnosis.rs"),
        include_str!("../../src/peer/session/end.rs"),
        include_str!("../../src/source/rtsp.rs"),
        include_str!("../../src/source/rtsp/receive.rs"),
    ];
    let mut codes: BTreeSet<_> = arms.iter().flat_map(|text| words(text, "=> \"", "\"")).collect();
    codes.extend(reasons.iter().flat_map(|text| words(text, "Reason::new(\"", "\"")));
    codes.extend(
        words(include_str!("../../src/source/capture/element.rs"), "\"", "\"")
            .iter()
            .filter(|word| ["pipeline-", "element-", "device-"].iter().any(|begin| word.starts_with(begin))),
    );
    let ends = include_str!("../../src/peer/session/end.rs").split("fn reason").nth(1).unwrap_or_default();
    codes.extend(words(ends.split("Reason::new").next().unwrap_or_default(), "(\"", "\""));
    assert!(codes.len() > 40, "{codes:?}");
    let report = report();
    let missing: Vec<_> = codes.iter().filter(|code| !report.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_report_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/why.md");
    let report = report();
    if env::var_os("WRITE_REPORT").is_some() {
        fs::write(&path, &report).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == report, "stale: run WRITE_REPORT=1 scripts/cargo test --test why report");
}

#[test]
fn each_row_is_a_test_and_each_test_a_row() {
    let rows: BTreeSet<_> = CAUSES.iter().map(|cause| cause.test).collect();
    let mut tests = BTreeSet::new();
    for source in TESTS {
        let lines: Vec<_> = source.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[tokio::test]" || pair[0] == "#[test]") {
            let name = pair[1].trim_start_matches("async ").trim_start_matches("fn ");
            tests.insert(name.split('(').next().unwrap_or_default());
        }
    }
    assert_eq!(rows, tests);
    let defined: usize = TESTS.iter().map(|source| source.matches(": Cause = Cause {").count()).sum();
    assert_eq!(CAUSES.len(), defined, "a cause is not in the document");
}
