//! camgate: a camera gateway. It takes live H.264 video and sound from cameras and lets browsers, OBS and players watch
//! over WebRTC, negotiated by WHEP.
//!
//! # The journey of a picture
//!
//! ```text
//! source  ->  media  ->  rtp  ->  hub  ->  peer  ->  the viewer's browser
//! camera      coded      packed   fan-out  webrtc-rs
//!             access     once     + GOP    sessions
//!             unit                cache
//! ```
//!
//! A [`source`] keeps one camera alive and yields [`media::AccessUnit`]s. The [`hub`] packs each into RTP payloads once
//! ([`rtp`]), keeps the units since the last keyframe, and hands every unit to the workers whose viewers watch that
//! camera. [`peer`] puts it on each viewer's own timeline, protects it and sends it in trains through one UDP port.
//! [`http`] opens and ends sessions and serves the pages; [`app`] wires everything; [`config`] describes everything.
//! What travels backwards (a viewer wants a keyframe, a camera has no viewer left) goes through handles that
//! [`hub::Camera`] owns.
//!
//! # Glossary
//!
//! - **Camera**: a named source of one video and at most one audio track; what `/whep/{camera}` names.
//! - **Track**: one of the two. RTSP calls it a stream, SDP a media section.
//! - **Access unit**: the coded data of one picture, or one frame of sound.
//! - **Unit**: an access unit packed into RTP payloads, shared by all viewers.
//! - **Keyframe**: an access unit that decoding can start at (H.264: with an IDR picture). **GOP**: it and all up to the next.
//! - **Session**: one viewer's WebRTC connection. **Worker**: a thread that drives many sessions.
//! - **Train**: datagrams that leave in one system call.
//!
//! # Who may import whom
//!
//! Left may import right, nothing else; `tests/layering.rs` holds it.
//!
//! ```text
//! main   -> app, config, discover, log, panics, play, probe, shutdown, source, systemd
//! app    -> everything below it
//! config -> the Config types of source, peer, http, log
//! http   -> peer, hub, log, media, panics, places, stats
//! peer   -> rtp, hub, media, panics, places, stats
//! source -> hub (supervisor, feed, published and talk only), media, panics, stats, xml
//! hub    -> rtp, media, stats
//! rtp    -> media
//! play   -> media
//! probe  -> source, hub, media
//! discover -> probe, source, media, xml
//! systemd -> panics
//! log -> stats
//! media, panics, xml -> nothing of ours
//! ```

pub mod app;
pub mod config;
pub mod discover;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
pub mod hub;
pub mod log;
pub mod media;
pub mod panics;
pub mod peer;
pub mod places;
pub mod play;
pub mod probe;
pub mod rtp;
pub mod shutdown;
pub mod source;
pub mod stats;
pub mod systemd;
mod xml;
