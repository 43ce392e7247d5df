//! What cameras send.

use std::{sync::Arc, time::Instant};

use super::page::{Family, Page};
use crate::{
    hub::{Camera, CameraState},
    media::h264,
    stats::CameraCounters,
};

type Read = fn(&CameraCounters) -> u64;

const COUNTERS: [(&str, &str, Read); 25] = [
    ("camera_units_total", "Pictures and frames of sound received", |c| c.units.total()),
    ("camera_bytes_total", "Coded bytes received", |c| c.bytes.total()),
    ("camera_unusable_units_total", "Pictures and frames of sound that could not be packed", |c| c.unusable.total()),
    ("camera_dropped_units_total", "Pictures and frames of sound that found a queue full", |c| c.dropped.total()),
    ("camera_gop_cache_overflows_total", "Times a GOP outgrew the cache", |c| c.cache_overflows.total()),
    ("camera_clip_overflows_total", "Times a GOP outgrew the memory for clips", |c| c.footage_overflows.total()),
    ("camera_snapshots_total", "Pictures decoded for snapshots", |c| c.snapshots.total()),
    ("camera_failed_snapshots_total", "Pictures that could not be decoded", |c| c.snapshot_failures.total()),
    ("camera_refused_snapshots_total", "Snapshots that would have waited too long", |c| c.snapshots_refused.total()),
    ("camera_lost_packets_total", "RTP packets of the camera that did not arrive", |c| c.lost_packets.total()),
    ("camera_reconnects_total", "Connections made again", |c| c.reconnects.total()),
    ("camera_publisher_nacks_total", "Packets that its publisher was asked for again", |c| c.published.nacks.total()),
    ("camera_publisher_repaired_packets_total", "Packets that were missed and came after all", |c| {
        c.published.repaired.total()
    }),
    ("camera_publisher_plis_total", "Keyframes that its publisher was asked for", |c| c.published.plis.total()),
    ("camera_publisher_flooded_packets_total", "Packets of its publisher that were one too many", |c| {
        c.published.flooded.total()
    }),
    ("camera_events_total", "Events that it told", |c| c.events.total()),
    ("camera_talks_total", "Times that somebody talked to the people before it", |c| c.talk.begun.total()),
    ("camera_failed_talks_total", "Times that it could not be talked to", |c| c.talk.failures.total()),
    ("camera_talk_late_packets_total", "Packets of such sound that came too late to be heard", |c| c.talk.late.total()),
    ("camera_channel_messages_total", "Messages of its viewers by data channel", |c| c.channel.messages.total()),
    ("camera_channel_refused_messages_total", "Of these, those that were refused", |c| c.channel.refused.total()),
    ("camera_channel_lost_messages_total", "Of these, those that found a queue full", |c| c.channel.lost.total()),
    ("camera_channel_unsent_messages_total", "Messages for viewers that could not be sent", |c| {
        c.channel.unsent.total()
    }),
    ("camera_channel_files_total", "Files that viewers were sent by data channel", |c| c.channel.files.total()),
    ("camera_channel_foreign_total", "Data channels of viewers with another label, which were closed", |c| {
        c.channel.foreign.total()
    }),
];

pub(super) fn tell(cameras: &[Arc<Camera>], page: &mut Page) {
    for (name, help, read) in COUNTERS {
        let mut family = Family::counter(name, help);
        for camera in cameras {
            family.add(&[("camera", camera.name().as_str())], read(&camera.counters) as f64);
        }
        page.family(family);
    }
    let mut state = Family::gauge("camera_state", "1 for the state that the camera is in, 0 for the others");
    let mut info = Family::gauge("camera_info", "What the camera sends, in labels; always 1");
    let mut viewers = Family::gauge("camera_viewers", "Viewers now, those that wait for the camera included");
    let mut fps = Family::gauge("camera_frames_per_second", "Pictures per second over the last 5 s");
    let mut bitrate = Family::gauge("camera_bytes_per_second", "Video and audio over the last 5 s");
    let mut gop = Family::gauge("camera_gop_seconds", "Between the last two keyframes");
    let mut age = Family::gauge("camera_last_frame_age_seconds", "Since the newest picture or frame of sound");
    let mut lag = Family::gauge("camera_sound_lag_seconds", "By how much sound leaves later than its picture");
    let mut clip_bytes = Family::gauge("camera_clip_bytes", "Memory of what is kept for clips");
    let mut clip_length = Family::gauge("camera_clip_seconds", "How much is kept for clips");
    let mut b_frames = Family::gauge("camera_bframes", "Whether it sends B-frames, which browsers cannot show");
    let now = Instant::now();
    for camera in cameras {
        let label = ("camera", camera.name().as_str());
        let (current, snapshot) = (camera.status().state.name(), camera.snapshot(now));
        for name in CameraState::NAMES {
            state.add(&[label, ("state", name)], f64::from(u8::from(name == current)));
        }
        viewers.add(&[label], *camera.viewers().borrow() as f64);
        fps.add(&[label], snapshot.fps);
        bitrate.add(&[label], snapshot.bitrate_bps / 8.0);
        if let Some(length) = snapshot.gop {
            gop.add(&[label], length.as_secs_f64());
        }
        for (track, newest) in [("video", snapshot.newest_picture), ("audio", snapshot.newest_sound)] {
            if let Some(newest) = newest {
                age.add(&[label, ("track", track)], now.saturating_duration_since(newest).as_secs_f64());
            }
        }
        if let Some(seconds) = snapshot.sound_lag {
            lag.add(&[label], seconds);
        }
        if let Some(footage) = camera.footage() {
            clip_bytes.add(&[label], footage.bytes as f64);
            clip_length.add(&[label], footage.length.as_secs_f64());
        }
        let formats = &snapshot.formats;
        b_frames.add(&[label], f64::from(u8::from(formats.b_frames)));
        if let Some(video) = &formats.video {
            let (width, height) = (video.width.to_string(), video.height.to_string());
            let audio = formats.audio.as_ref().map_or("", |audio| audio.codec.encoding_name());
            let profile = h264::Profile::of(video.profile_level_id()).name();
            let labels = [
                label,
                ("codec", "H264"),
                ("profile", profile),
                ("width", &width),
                ("height", &height),
                ("audio_codec", audio),
            ];
            info.add(&labels, 1.0);
        }
    }
    for family in [state, info, viewers, fps, bitrate, gop, age, lag, clip_bytes, clip_length, b_frames] {
        page.family(family);
    }
}
