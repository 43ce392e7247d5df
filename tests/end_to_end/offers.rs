//! Every recorded offer is posted to a gateway, and its answer held against the rules of offer and answer.
//!
//! `tests/offers/*.sdp` are offers as real clients sent them; the `.toml` beside each tells where it comes from and what
//! the answers are, one word for each m= line: the payload types that are sent, `inactive`, `rejected` or `webrtc-datachannel`; or the status
//! and words of a refusal. The rules are checked on the text, by other code than the gateway's.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::{
    LIMIT,
    support::{
        browser::Browser,
        camera::{Audio, Camera, Profile},
        gateway::Gateway,
    },
};

/// What stands beside an offer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// Which client in which version, what it was told to do, what was replaced.
    source: String,
    /// By camera: `baseline` (with Opus), `high` (with PCMU), `silent` (Baseline).
    #[serde(default)]
    answers: BTreeMap<String, Vec<String>>,
    refusal: Option<Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    status: u16,
    words: String,
}

/// One m= section and its lines without `a=`.
struct Section<'a> {
    kind: &'a str,
    port: u16,
    protocol: &'a str,
    formats: Vec<&'a str>,
    lines: Vec<&'a str>,
}

impl<'a> Section<'a> {
    fn read(text: &'a str) -> Self {
        let mut lines = text.lines();
        let name: Vec<_> = lines.next().expect("an m= line").split(' ').collect();
        let lines = lines.filter_map(|line| line.strip_prefix("a=")).collect();
        Section { kind: name[0], port: name[1].parse().unwrap(), protocol: name[2], formats: name[3..].to_vec(), lines }
    }

    fn has(&self, line: &str) -> bool {
        self.lines.contains(&line)
    }

    fn all(&self, key: &str) -> Vec<&'a str> {
        let value = |line: &&'a str| line.split_once(':').filter(|(found, _)| *found == key).map(|(_, value)| value);
        self.lines.iter().filter_map(value).collect()
    }

    fn one(&self, key: &str) -> &'a str {
        let all = self.all(key);
        assert_eq!(all.len(), 1, "a={key} in m={}: {all:?}", self.kind);
        all[0]
    }

    /// `a=<key>:<format> <value>` of all formats, in lower case.
    fn about(&self, key: &str) -> Vec<(String, String)> {
        let pairs = self.all(key).into_iter().filter_map(|value| value.split_once(' '));
        pairs.map(|(format, value)| (format.to_owned(), value.to_ascii_lowercase())).collect()
    }
}

/// The lines above the first m= line as a section of their own, and the sections.
fn read(sdp: &str) -> (Section<'_>, Vec<Section<'_>>) {
    let mut parts = sdp.split("\r\nm=");
    let head = parts.next().expect("a session part");
    let lines = head.lines().filter_map(|line| line.strip_prefix("a=")).collect();
    let session = Section { kind: "session", port: 0, protocol: "", formats: Vec::new(), lines };
    (session, parts.map(Section::read).collect())
}

fn bundle<'a>(session: &Section<'a>) -> Option<Vec<&'a str>> {
    let groups = session.all("group");
    let mids = groups.iter().find_map(|group| group.strip_prefix("BUNDLE "))?;
    Some(mids.split_ascii_whitespace().collect())
}

/// RFC 8866: the lines every description begins with, ended by CR LF.
fn is_well_formed(answer: &str) {
    let lines: Vec<_> = answer.split("\r\n").collect();
    assert!(answer.ends_with("\r\n") && lines.iter().all(|line| !line.contains('\n')), "CR LF at the end of each line");
    let begins: Vec<_> = lines.iter().take(4).map(|line| &line[..2]).collect();
    assert_eq!(begins, ["v=", "o=", "s=", "t="]);
}

/// What an answer must be whatever the codecs: RFC 3264 section 6, 8843 section 7.3, 9429 section 5.3.1, WHEP section 4.
fn answers(offer: &str, answer: &str) {
    is_well_formed(answer);
    let ((asked, offered), (session, sections)) = (read(offer), read(answer));
    assert_eq!(sections.len(), offered.len(), "one section for each");
    let alive: Vec<_> = sections.iter().filter(|section| section.port != 0).collect();
    let mids: Vec<_> = alive.iter().map(|section| section.one("mid")).collect();
    assert_eq!(bundle(&session), bundle(&asked).map(|_| mids.clone()), "the group of what is alive");
    if let Some(group) = bundle(&asked) {
        assert!(mids.iter().all(|mid| group.contains(mid)), "nothing joins a group that it was not offered in");
    } else {
        assert_eq!(alive.len(), 1, "one transport carries one section without a group");
    }
    let options = asked.all("ice-options").into_iter().chain(offered.iter().flat_map(|media| media.all("ice-options")));
    let options: Vec<_> = options.flat_map(|value| value.split([' ', ','])).collect();
    let ours: Vec<_> = session.all("ice-options").into_iter().flat_map(|value| value.split(' ')).collect();
    assert!(ours.iter().all(|option| options.contains(option)), "{ours:?} of {options:?}");
    assert_eq!(ours.contains(&"trickle"), options.contains(&"trickle"));
    for (section, offered) in sections.iter().zip(&offered) {
        assert_eq!((section.kind, section.protocol), (offered.kind, offered.protocol));
        assert_eq!(section.one("mid"), offered.one("mid"));
        assert!(!section.formats.is_empty(), "an m= line has formats, also when refused");
        assert!(section.formats.iter().all(|format| offered.formats.contains(format)), "{:?}", section.formats);
        assert!(!section.lines.iter().any(|line| line.starts_with("bundle-only")), "is for offers");
    }
    shares_a_transport(&session, &alive);
    for (section, offered) in sections.iter().zip(&offered).filter(|(section, _)| section.port != 0) {
        match section.kind {
            "application" => describes_a_channel(section, offered),
            _ => describes_media(section, offered, bundle(&asked).is_some()),
        }
    }
    let media: Vec<_> = alive.into_iter().filter(|section| section.kind != "application").collect();
    belongs_together(&media);
}

/// One transport: the same credentials everywhere, candidates of component 1 in the first section only.
fn shares_a_transport(session: &Section<'_>, alive: &[&Section<'_>]) {
    let fingerprints = session.all("fingerprint");
    assert!(fingerprints.len() == 1 && fingerprints[0].starts_with("sha-256 "), "{fingerprints:?}");
    for (index, section) in alive.iter().enumerate() {
        assert_eq!(section.one("ice-ufrag"), alive[0].one("ice-ufrag"));
        assert_eq!(section.one("ice-pwd"), alive[0].one("ice-pwd"));
        assert!(section.one("ice-ufrag").len() >= 4 && section.one("ice-pwd").len() >= 22, "RFC 8839 section 5.4");
        assert_eq!(section.one("setup"), "passive");
        let candidates = section.all("candidate");
        assert_eq!(!candidates.is_empty(), index == 0, "{candidates:?}");
        assert!(candidates.iter().all(|candidate| candidate.split(' ').nth(1) == Some("1")), "{candidates:?}");
        assert_eq!(section.has("end-of-candidates"), index == 0);
    }
}

/// RFC 8841 section 5 and 6: a port and a bound for messages of each side's own, and nothing of RTP's.
fn describes_a_channel(section: &Section<'_>, offered: &Section<'_>) {
    assert_eq!(section.formats, offered.formats);
    assert!(section.one("sctp-port").parse().is_ok_and(|port: u16| port > 0));
    assert!(section.one("max-message-size").parse().is_ok_and(|size: u32| size >= 4_096));
    assert!(!section.lines.iter().any(|line| line.starts_with("rtcp")), "{:?}", section.lines);
}

/// Payload types mean what they mean in the offer, and nothing is used that was not offered.
fn describes_media(section: &Section<'_>, offered: &Section<'_>, is_bundled: bool) {
    assert!(section.has("rtcp-mux") || !offered.has("rtcp-mux"));
    assert_eq!(section.has("rtcp-mux-only"), is_bundled, "WHEP section 4.4");
    for key in ["rtpmap", "fmtp"] {
        for (format, value) in section.about(key) {
            let there = offered.about(key).into_iter().find(|(theirs, _)| *theirs == format);
            assert!(section.formats.contains(&&*format));
            assert!(there.is_none_or(|(_, theirs)| theirs == value), "a={key}:{format} {value}");
        }
    }
    let feedback = offered.all("rtcp-fb");
    for line in section.all("rtcp-fb") {
        let (_, kind) = line.split_once(' ').expect("a payload type and a kind");
        assert!(feedback.contains(&line) || feedback.contains(&&*format!("* {kind}")), "a=rtcp-fb:{line}");
    }
    extends(section, offered);
}

/// RFC 8285 sections 4.2, 5 and 6: an answer uses an offered id for what it was offered for, in the one-byte form, and turns
/// its direction round. Transport-wide numbers and the feedback on them are of no use without each other.
fn extends(section: &Section<'_>, offered: &Section<'_>) {
    let turned: Vec<_> = offered
        .about("extmap")
        .into_iter()
        .map(|(id, uri)| (id.replace("/recvonly", "/sendonly"), uri))
        .filter(|(id, _)| id.trim_end_matches("/sendonly").parse().is_ok_and(|id| (1..=14).contains(&id)))
        .collect();
    let used = section.about("extmap");
    assert!(used.iter().all(|extension| turned.contains(extension)), "{used:?}");
    let has = |extensions: &[(String, String)], name: &str| extensions.iter().any(|(_, uri)| uri.contains(name));
    let formats: Vec<_> = section.formats.iter().map(|format| format!("{format} transport-cc")).collect();
    let has_feedback = |section: &Section<'_>| {
        let feedback = section.all("rtcp-fb");
        feedback.contains(&"* transport-cc") || formats.iter().any(|format| feedback.contains(&&**format))
    };
    let both = has(&turned, "transport-wide-cc") && has_feedback(offered) && section.has("sendonly");
    assert_eq!((has(&used, "transport-wide-cc"), has_feedback(section)), (both, both), "{used:?}");
    for name in ["playout-delay", "abs-capture-time"] {
        assert_eq!(has(&used, name), has(&turned, name) && section.has("sendonly"), "{used:?}");
    }
}

/// One stream: the same id in every `a=msid`, one CNAME, and SSRCs that are used once.
fn belongs_together(alive: &[&Section<'_>]) {
    let sent: Vec<_> = alive.iter().filter(|section| section.has("sendonly")).collect();
    assert!(!sent.is_empty());
    assert!(alive.iter().all(|section| section.has("sendonly") != section.has("inactive")));
    let streams: Vec<_> = sent.iter().map(|section| section.one("msid").split(' ').next().unwrap()).collect();
    assert!(streams.iter().all(|stream| *stream == streams[0]), "{streams:?}");
    let mut seen = Vec::new();
    for section in sent {
        let named = section.about("ssrc").into_iter().filter(|(_, value)| value.starts_with("cname:"));
        let (sources, names): (Vec<_>, Vec<_>) = named.unzip();
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
        let rtx = section.about("rtpmap").iter().any(|(_, codec)| codec.starts_with("rtx/"));
        assert_eq!(sources.len(), 1 + usize::from(rtx), "{sources:?}");
        let groups = section.all("ssrc-group");
        assert_eq!(groups, if rtx { vec![format!("FID {}", sources.join(" "))] } else { Vec::new() });
        seen.extend(sources);
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "an SSRC twice");
}

/// One word for each section.
fn summary(answer: &str) -> Vec<String> {
    let word = |section: &Section<'_>| match section {
        section if section.port == 0 => "rejected".to_owned(),
        section if section.has("inactive") => "inactive".to_owned(),
        section => section.formats.join(" "),
    };
    read(answer).1.iter().map(word).collect()
}

async fn is_answered(gateway: &Gateway, camera: &str, offer: &str) -> String {
    let response = gateway.post_offer(camera, offer.to_owned()).await;
    let status = response.status().as_u16();
    let resource = response.headers().get("location").map(|location| location.to_str().unwrap().to_owned());
    let answer = response.text().await.unwrap();
    assert_eq!(status, 201, "{answer}");
    let deleted = gateway.http().delete(gateway.url(&resource.expect("a Location"))).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    answer
}

#[tokio::test]
async fn recorded_offers_of_every_client_are_answered() {
    let baseline = Camera::builder().audio(Audio::Opus).start();
    let high = Camera::builder().profile(Profile::High).audio(Audio::Pcmu).start();
    let silent = Camera::builder().start();
    let mut config = String::new();
    for (name, camera) in [("baseline", &baseline), ("high", &high), ("silent", &silent)] {
        config += &format!("{}\nstart = \"always\"\n", camera.toml(name));
    }
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    for name in ["baseline", "high", "silent"] {
        gateway.wait_camera(name, "live", LIMIT).await;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offers");
    let mut files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sdp"));
    files.sort();
    assert!(files.len() >= 20, "the offers are there");
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let offer = std::fs::read_to_string(&file).unwrap();
        let expectation =
            std::fs::read_to_string(file.with_extension("toml")).expect("an expectation beside the offer");
        let expectation: Expectation = toml::from_str(&expectation).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!expectation.source.is_empty(), "{name} tells where it comes from");
        assert_ne!(expectation.answers.is_empty(), expectation.refusal.is_none(), "{name} expects something");
        println!("{name}");
        for (camera, expected) in &expectation.answers {
            let answer = is_answered(&gateway, camera, &offer).await;
            println!("{name} for {camera}:\n{answer}");
            assert_eq!(&summary(&answer), expected, "{name} for {camera}:\n{answer}");
            answers(&offer, &answer);
        }
        if let Some(refusal) = &expectation.refusal {
            let response = gateway.post_offer("baseline", offer.clone()).await;
            let (status, body) = (response.status().as_u16(), response.text().await.unwrap());
            assert_eq!(status, refusal.status, "{name}: {body}");
            assert!(body.contains(&refusal.words), "{name}: {body}");
        }
    }
    // GStreamer without BUNDLE.
    gateway.wait_log("without sound: the offer wants it on a transport of its own", LIMIT).await;
}

/// However a page asks, in Chromium: what it is sent is decoded, and where there is no sound the picture is there all the
/// same.
#[tokio::test]
async fn chromium_plays_what_it_asks_for_in_any_form() {
    const PLAY: &str = "
        const pc = new RTCPeerConnection({ bundlePolicy: arguments[1] });
        const video = document.createElement('video');
        video.muted = true;
        video.srcObject = new MediaStream();
        document.body.replaceChildren(video);
        pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
        for (const part of arguments[2]) {
          if (part === 'data') pc.createDataChannel('control');
          else pc.addTransceiver(part, { direction: 'recvonly' });
        }
        await pc.setLocalDescription();
        const response = await fetch(arguments[0], {
          method: 'POST', headers: { 'content-type': 'application/sdp' }, body: pc.localDescription.sdp,
        });
        await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
        video.play();
        return true;";
    let sounding = Camera::builder().profile(Profile::High).audio(Audio::Opus).start();
    let silent = Camera::builder().start();
    let config = format!("{}\n{}", sounding.toml("sounding"), silent.toml("silent"));
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(config).spawn().await;
    let browser = Browser::start().await;
    for (camera, policy, parts) in [
        ("sounding", "balanced", vec!["video"]),
        ("sounding", "max-bundle", vec!["video", "audio"]),
        ("sounding", "balanced", vec!["data", "video", "video", "audio"]),
        ("silent", "balanced", vec!["audio", "video", "data"]),
        ("silent", "max-bundle", vec!["audio", "video"]),
        ("silent", "max-compat", vec!["audio", "video"]),
    ] {
        browser.open(&gateway.url("/healthz")).await;
        let script = PLAY
            .replace("arguments[0]", &format!("'{}'", gateway.whep(camera)))
            .replace("arguments[1]", &format!("'{policy}'"))
            .replace("arguments[2]", &format!("{parts:?}"));
        println!("{parts:?} of {camera}, {policy}");
        browser.run(&script).await;
        let stats = browser.wait_decoded(10, LIMIT).await;
        assert_eq!(stats.frame_width, 320);
        assert_eq!(browser.audio_stats().await.is_some(), camera == "sounding" && parts.contains(&"audio"));
    }
}
