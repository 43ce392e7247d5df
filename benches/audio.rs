//! What one AAC camera's sound costs: CPU of transcoding it to Opus as a share of one core, beside `gst-launch-1.0`
//! doing the same work in the same run, and the delay that is added.
//!
//! `cargo bench --bench audio`; `BENCH_SECONDS` of sound (default 300) are transcoded `BENCH_ROUNDS` times (default 3),
//! taking turns; the cheapest round counts. The sound is a voice-like mixture, coded here with GStreamer's `avenc_aac`
//! (gstreamer1.0-libav). GStreamer's encoder gets our bitrate, complexity, frame size and application, and runs without
//! a clock, as fast as it can; its start is taken out by transcoding one second as well. CPU time is user and system
//! time of all its threads.

#![allow(clippy::print_stdout)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use camgate::media::{
    ClockRate, MediaTime,
    transcode::{Options, Source, Transcoder},
};

/// Rate, channels, AAC bits per second, as cameras send them; and the Opus bits per second that camgate chooses.
const STREAMS: [(u32, u8, u32, u32); 4] = [
    (8_000, 1, 24_000, 32_000),
    (16_000, 1, 32_000, 32_000),
    (44_100, 1, 64_000, 32_000),
    (48_000, 2, 128_000, 48_000),
];
/// What camgate's encoder uses, for GStreamer's.
const COMPLEXITY: u32 = 5;
/// Samples in an AAC access unit.
const UNIT: u32 = 1_024;
/// Of /proc/*/stat: USER_HZ, which Linux has fixed.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    let (seconds, rounds) = (setting("BENCH_SECONDS", 300).max(10), setting("BENCH_ROUNDS", 3));
    let folder = std::env::temp_dir().join(format!("camgate-audio-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for temporary files");
    println!("{seconds} s of sound, best of {rounds}; share of one core, of {}\n", processor());
    println!("| AAC | camgate | GStreamer, same work | ratio | GStreamer as it comes | added delay |");
    println!("|---|---|---|---|---|---|");
    for (hz, channels, aac_bps, opus_bps) in STREAMS {
        let [long, short] = [seconds, 1].map(|seconds| record(&folder, hz, channels, aac_bps, seconds));
        let (Some(long), Some(short)) = (long, short) else {
            println!("| {hz} Hz: no AAC encoder here (gstreamer1.0-tools, -plugins-base, gstreamer1.0-libav) |");
            continue;
        };
        let camera = Camera::read(&long);
        let same = format!("bitrate={opus_bps} complexity={COMPLEXITY} bitrate-type=constrained-vbr frame-size=20");
        let mut best = [f64::INFINITY; 3];
        for _ in 0..rounds {
            let gstreamer = |options: &str| {
                let [long, short] = [&long, &short].map(|file| gstreamer(file, options));
                long.saturating_sub(short)
            };
            let costs = [camera.transcode().0, gstreamer(&same), gstreamer(&format!("bitrate={opus_bps}"))];
            for (best, cost) in best.iter_mut().zip(costs) {
                *best = best.min(cost.as_secs_f64() * 100.0 / camera.seconds());
            }
        }
        let [ours, same, default] = best;
        let worst = camera.transcode().1;
        let (aac_kbps, ratio) = (aac_bps / 1_000, ours / same);
        print!("| {hz} Hz, {channels} ch, {aac_kbps} kbit/s | {ours:.2} % | {same:.2} % | {ratio:.2} ");
        println!("| {default:.2} % | {worst:.1} ms |");
    }
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

/// A camera's sound: every access unit, and what is needed to decode them.
struct Camera {
    source: Source,
    rate: ClockRate,
    units: Vec<Vec<u8>>,
}

impl Camera {
    /// Takes an ADTS file apart (ISO/IEC 14496-3 section 1.A.2).
    fn read(file: &Path) -> Self {
        let adts = fs::read(file).expect("GStreamer wrote it");
        let (rate_index, channels) = (adts[2] >> 2 & 15, (adts[2] & 1) << 2 | adts[3] >> 6);
        let config = Bytes::copy_from_slice(&[0x10 | rate_index >> 1, rate_index << 7 | channels << 3]);
        let hz = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000];
        let (mut units, mut rest) = (Vec::new(), &adts[..]);
        while let [0xff, flags, _, a, b, c, ..] = *rest {
            let length = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
            let header = if flags & 1 == 1 { 7 } else { 9 };
            units.push(rest[header..length].to_vec());
            rest = &rest[length..];
        }
        let rate = ClockRate::new(hz[usize::from(rate_index)]).expect("no rate is zero");
        Self { source: Source::Aac { config }, rate, units }
    }

    fn seconds(&self) -> f64 {
        self.units.len() as f64 * f64::from(UNIT) / f64::from(self.rate.hz())
    }

    /// CPU time, and by how many milliseconds more than AAC alone would a player has to wait before it starts, so that
    /// no Opus frame ever comes too late.
    fn transcode(&self) -> (Duration, f64) {
        let zero = Instant::now();
        let mut worst = 0.0_f64;
        let before = own_cpu();
        let mut transcoder = Transcoder::new(&self.source, Options::default()).expect("mono or stereo AAC-LC");
        let mut ticks = 0;
        for unit in &self.units {
            let time = MediaTime { ticks, rate: self.rate };
            transcoder.push(unit, time, zero + self.rate.duration(ticks), 0).expect("an intact unit");
            while let Some(frame) = transcoder.pull() {
                // The unit came when its last sample was taken: a unit's length after its first one.
                let first = ticks as f64 / f64::from(self.rate.hz());
                worst = worst.max((first - frame.time.ticks as f64 / f64::from(frame.time.rate.hz())) * 1_000.0);
            }
            ticks += i64::from(UNIT);
        }
        (own_cpu() - before, worst)
    }
}

/// A file of AAC, or `None` where GStreamer cannot make it.
fn record(folder: &Path, hz: u32, channels: u8, bits: u32, seconds: u64) -> Option<PathBuf> {
    let file = folder.join(format!("{hz}-{channels}-{seconds}.aac"));
    let buffers = seconds * 50;
    let sound = |wave: &str| {
        let samples = hz / 50;
        format!("audiotestsrc {wave} samplesperbuffer={samples} num-buffers={buffers} ! audio/x-raw,rate={hz} ! mix.")
    };
    // Hum, something that comes and goes, and the noise of a street.
    let sounds = ["wave=saw freq=130 volume=0.15", "wave=ticks freq=700 volume=0.3", "wave=pink-noise volume=0.1"];
    let sounds: Vec<_> = sounds.into_iter().map(sound).collect();
    let pipeline = format!(
        "audiomixer name=mix ! audioconvert ! audio/x-raw,rate={hz},channels={channels} ! avenc_aac bitrate={bits} \
         ! aacparse ! audio/mpeg,stream-format=adts ! filesink location={} {}",
        file.display(),
        sounds.join(" "),
    );
    launch(&pipeline)?;
    Some(file)
}

/// CPU time of GStreamer transcoding `file`, start included.
fn gstreamer(file: &Path, options: &str) -> Duration {
    let before = children_cpu();
    let done = launch(&format!(
        "filesrc location={} ! aacparse ! avdec_aac ! audioconvert ! audioresample ! opusenc {options} \
         ! fakesink sync=false",
        file.display()
    ));
    assert!(done.is_some(), "gst-launch-1.0 made the file but cannot transcode it");
    children_cpu() - before
}

/// `None` where it fails.
fn launch(pipeline: &str) -> Option<()> {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(pipeline.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().ok().filter(|status| status.success()).map(|_| ())
}

/// CPU time of this thread: the first field of schedstat, in nanoseconds.
fn own_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with CONFIG_SCHED_INFO");
    Duration::from_nanos(text.split_whitespace().next().and_then(|field| field.parse().ok()).expect("a number"))
}

/// CPU time of all children that were waited for: cutime and cstime, fields 16 and 17 of stat (proc(5)).
fn children_cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    // Field 2 is a name in parentheses, which may hold anything.
    let (_, fields) = text.rsplit_once(')').expect("proc(5)");
    let ticks: u32 = fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"));
    line.and_then(|line| line.split_once(": ")).map_or_else(|| "an unknown processor".into(), |(_, name)| name.into())
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
