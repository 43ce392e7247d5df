//! Sound as cameras send and describe it: heard, or left out with a sentence, and never at the cost of the picture.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::{Scene, camera, seen};
use crate::LIMIT;
use crate::support::camera::scripted::packets::{Line, Packet};
use crate::support::camera::scripted::{Builder, Sound, sdp};
use crate::support::gateway::Gateway;
use crate::support::viewer::{Kind, Viewer};
use crate::support::wait;

/// What is heard.
const TONE_HZ: f64 = 500.0;
/// From one call of the camera's hook to the next.
const STEP_MS: u64 = 20;
/// Samples of an AAC frame.
const AAC_FRAME: u64 = 1_024;

/// A camera whose sound is described so, and made of packets so.
fn sounds(section: &str, shape: impl Fn(&mut Line) -> Vec<Packet> + Send + Sync + 'static) -> Builder {
    let section = format!("m=audio 0 RTP/AVP 97\n{section}\na=control:trackID=1\n");
    camera().sound(Sound::Pcmu).sdp(&sdp::VIDEO.replace("{sound}", &section)).reports(|_| Vec::new()).shape_sound(
        move |line, _| {
            line.payload_type = 97;
            shape(line)
        },
    )
}

/// A sample of the tone, of so many a second.
fn sample(number: u64, hz: u64) -> i16 {
    (12_000.0 * (TAU * TONE_HZ * number as f64 / hz as f64).sin()) as i16
}

/// A camera that sends 20 ms of the tone in each packet, each sample as `coded`.
fn samples(section: &str, hz: u64, coded: fn(i16) -> Vec<u8>) -> Builder {
    sounds(section, move |line| {
        let first = line.frame * hz * STEP_MS / 1_000;
        line.timestamp = first as u32;
        let payload = (first..first + hz * STEP_MS / 1_000).flat_map(|number| coded(sample(number, hz))).collect();
        vec![line.packet(payload, false)]
    })
}

impl Scene {
    /// The viewer hears the tone more than anything else: samples that are read wrongly are noise. Where frames are late on a busy machine
    /// there are gaps in it.
    async fn hears_the_tone(&self) {
        let viewer = Viewer::builder(self.gateway.whep("front")).keep_payloads().join().await;
        viewer.wait_packets(Kind::Audio, 75, LIMIT).await;
        let (mime, payloads) = viewer.with(Kind::Audio, |log| (log.mime_type.clone(), log.payloads.clone()));
        assert_eq!(mime, "audio/opus");
        let mut decoder = opusic_c::Decoder::new(opusic_c::Channels::Mono, opusic_c::SampleRate::Hz48000).unwrap();
        let mut heard = Vec::new();
        for payload in &payloads {
            let mut pcm = [0.0_f32; 5_760];
            let count = decoder.decode_float_to_slice(payload, &mut pcm, false).unwrap();
            heard.extend(pcm[..count].iter().map(|sample| f64::from(*sample)));
        }
        let last = &heard[heard.len() - 24_000..];
        let power: f64 = last.iter().map(|sample| sample * sample).sum::<f64>() / last.len() as f64;
        let turn = |at: usize| TAU * TONE_HZ * at as f64 / 48_000.0;
        let part = |wave: fn(f64) -> f64| -> f64 {
            last.iter().enumerate().map(|(at, sample)| sample * wave(turn(at))).sum::<f64>() / last.len() as f64
        };
        let tone = 2.0 * (part(f64::sin).powi(2) + part(f64::cos).powi(2));
        assert!(power > 1e-3 && tone / power > 0.5, "{tone} of {power} is the tone");
    }

    /// The picture came without sound, and this says why.
    async fn is_told_about_sound(&self, code: &str, words: &str) {
        let told = || async {
            let camera = self.gateway.camera("front").await;
            (camera["audio_code"].as_str().map(str::to_owned), camera["audio_note"].to_string())
        };
        let what = format!("{code}: {words}");
        wait::until_value(&what, LIMIT, told, |(it, note)| it.as_deref() == Some(code) && note.contains(words)).await;
    }
}

/// `PCM`, which is L16 with the low byte first.
#[tokio::test]
async fn hikvision_sends_pcm_with_the_low_byte_first() {
    let camera = samples("a=rtpmap:97 PCM/8000", 8_000, |sample| sample.to_le_bytes().to_vec());
    seen(camera).await.hears_the_tone().await;
}

/// L16 as the RFC has it, of 16 kHz and of 44.1 kHz.
#[tokio::test]
async fn a_camera_sends_l16() {
    for hz in [16_000, 44_100] {
        let section = format!("a=rtpmap:97 L16/{hz}");
        seen(samples(&section, hz, |sample| sample.to_be_bytes().to_vec())).await.hears_the_tone().await;
    }
}

/// G.711 of 16 kHz, which browsers do not play.
#[tokio::test]
async fn dahua_sends_g711_at_16_khz() {
    seen(samples("a=rtpmap:97 PCMU/16000", 16_000, mu_law)).await.hears_the_tone().await;
    seen(samples("a=rtpmap:97 PCMA/16000", 16_000, a_law)).await.hears_the_tone().await;
}

/// The byte whose sample is the nearest, of those that ITU-T G.711 lists.
fn mu_law(sample: i16) -> Vec<u8> {
    let size = (i32::from(sample).abs().min(32_635)) + 0x84;
    let exponent = 7 - (size.leading_zeros() as i32 - 17).clamp(0, 7);
    let mantissa = size >> (exponent + 3) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    vec![!(sign | exponent << 4 | mantissa) as u8]
}

fn a_law(sample: i16) -> Vec<u8> {
    let size = i32::from(sample).abs().min(32_635);
    let exponent = if size < 0x100 { 0 } else { 7 - (size.leading_zeros() as i32 - 17).clamp(0, 7) };
    let mantissa = if exponent == 0 { size >> 4 } else { size >> (exponent + 3) & 0x0f };
    let sign = if sample < 0 { 0 } else { 0x80 };
    vec![((sign | exponent << 4 | mantissa) ^ 0x55) as u8]
}

/// Codecs that nothing here decodes, by names that are the RFC's and by others.
#[tokio::test]
async fn dahua_sends_sound_that_nothing_plays() {
    for (rtpmap, name) in
        [("G726-32/8000", "G726-32"), ("G723/8000", "G723"), ("G723.1/8000", "G723.1"), ("MPA/90000", "MPA")]
    {
        let camera = sounds(&format!("a=rtpmap:97 {rtpmap}"), |line| vec![line.packet(vec![0x55; 40], false)]);
        seen(camera).await.is_told_about_sound("sound-unsupported", &format!("browsers do not play {name}")).await;
    }
}

/// AAC frames of the tone, and how they are described.
struct Aac {
    config: String,
    frames: Vec<Vec<u8>>,
}

/// Of 16 kHz, with one channel and with two.
static AAC: LazyLock<[Aac; 2]> = LazyLock::new(|| [1, 2].map(aac));

fn aac(channels: u32) -> Aac {
    gst::init().unwrap();
    let launch = format!(
        "audiotestsrc num-buffers=400 samplesperbuffer=1024 freq={TONE_HZ} volume=0.4 \
         ! audio/x-raw,rate=16000,channels={channels} ! audioconvert ! avenc_aac bitrate=48000 ! aacparse \
         ! audio/mpeg,stream-format=raw ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&launch).expect("avenc_aac").downcast::<gst::Pipeline>().unwrap();
    let output = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut config, mut frames) = (String::new(), Vec::new());
    while let Ok(sample) = output.pull_sample() {
        let caps = sample.caps().unwrap().structure(0).unwrap().to_owned();
        let data = caps.get::<gst::Buffer>("codec_data").unwrap();
        config = data.map_readable().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        frames.push(sample.buffer().unwrap().map_readable().unwrap().to_vec());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    Aac { config, frames }
}

/// A camera that sends these frames, so many in a packet (RFC 3640 section 3.3.6).
fn sends_aac(section: &str, channels: usize, in_packet: u64) -> Builder {
    const HZ: u64 = 16_000;
    sounds(section, move |line| {
        let packets = |calls: u64| calls * STEP_MS * HZ / 1_000 / AAC_FRAME / in_packet;
        let number = packets(line.frame);
        if line.frame > 0 && number == packets(line.frame - 1) {
            return Vec::new();
        }
        line.timestamp = (number * in_packet * AAC_FRAME) as u32;
        let all = &AAC[channels - 1].frames;
        let frames = (0..in_packet).map(|at| &all[((number * in_packet + at) % all.len() as u64) as usize]);
        let mut payload = ((in_packet * 16) as u16).to_be_bytes().to_vec();
        payload.extend(frames.clone().flat_map(|frame| ((frame.len() as u16) << 3).to_be_bytes()));
        payload.extend(frames.flatten());
        vec![line.packet(payload, true)]
    })
}

const FMTP: &str =
    "a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3";

fn good(channels: usize) -> String {
    format!("a=rtpmap:97 MPEG4-GENERIC/16000/{channels}\n{FMTP};config={}", AAC[channels - 1].config)
}

/// Several frames in a packet.
#[tokio::test]
async fn a_camera_sends_several_aac_frames_in_a_packet() {
    for in_packet in [1, 3] {
        seen(sends_aac(&good(1), 1, in_packet)).await.hears_the_tone().await;
    }
}

/// AAC beside pictures that the RTSP library takes nothing of, so that the session is taken without it.
#[tokio::test]
async fn aac_is_heard_beside_pictures_that_are_taken_otherwise() {
    let camera = sends_aac(&good(1), 1, 3).shape(|line, unit| line.marked(unit)).start();
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(camera.toml("front")).spawn().await;
    let viewer = Viewer::builder(gateway.whep("front")).keep_payloads().join().await;
    viewer.wait_keyframes(2, LIMIT).await;
    let scene = Scene { camera, gateway, viewer };
    scene.hears_the_tone().await;
    assert_eq!(scene.camera.plays_total(), 2, "the first session shows that it does not work");
}

/// AAC whose description leaves out, or gets wrong, what a decoder has to know.
#[tokio::test]
async fn a_camera_does_not_describe_its_aac() {
    let good = good(1);
    let config = format!(";config={}", AAC[0].config);
    for (what, section) in [
        ("no config", good.replace(&config, "")),
        ("a config that is no hexadecimal number", good.replace(&config, ";config=AudioSpecificConfig")),
        ("a config that is cut off", good.replace(&config, ";config=14")),
        ("a config of another rate", good.replace(&config, ";config=1190")),
        ("no mode", good.replace("mode=AAC-hbr;", "")),
        ("no fmtp", "a=rtpmap:97 MPEG4-GENERIC/16000/1".to_owned()),
        ("one channel in rtpmap and two in config", good.replace(&config, &format!(";config={}", AAC[1].config))),
    ] {
        println!("{what}");
        let scene = seen(sends_aac(&section, 1, 1)).await;
        scene.is_told_about_sound("sound-unsupported", "does not say, or says wrongly, how its AAC is coded").await;
    }
}

/// AAC that is packed as LATM (RFC 6416).
#[tokio::test]
async fn a_camera_sends_aac_in_latm() {
    let section =
        "a=rtpmap:97 MP4A-LATM/16000/1\na=fmtp:97 profile-level-id=15;object=2;cpresent=0;config=400028103FC0";
    let scene = seen(sends_aac(section, 1, 1)).await;
    scene.is_told_about_sound("sound-unsupported", "browsers do not play AAC in LATM").await;
}

/// AAC that is described as one channel and has two.
#[tokio::test]
async fn a_camera_says_mono_and_sends_stereo() {
    seen(sends_aac(&good(1), 2, 1)).await.hears_the_tone().await;
}
