//! The file that a person can show to others: everything that helps to mend what a camera and this program disagree about,
//! and nothing that tells whose camera it is (docs/probe.md).

use std::fmt::Write as _;

use super::{
    redact::Redactor,
    report::Report,
    watch::{Row, Watch},
};

/// The file's text. Nothing but numbers and our own words is in it that has not passed `redactor`.
pub(super) fn text(report: &Report, watch: Option<&Watch>, redactor: &Redactor) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut out, report, watch, redactor);
    out
}

fn write(out: &mut String, report: &Report, watch: Option<&Watch>, redactor: &Redactor) -> std::fmt::Result {
    writeln!(out, "camgate {} probe report, format {}", env!("CARGO_PKG_VERSION"), report.format)?;
    writeln!(out, "outcome: {:?}", report.outcome)?;
    let line = |text: &str| redactor.line(text);
    writeln!(out, "reason: {}", line(report.reason.as_deref().unwrap_or("none")))?;
    writeln!(out, "server: {}", line(report.server.as_deref().unwrap_or("not said")))?;
    let kinds = report.authentication.as_ref().map_or_else(String::new, |kinds| kinds.join(", "));
    writeln!(out, "authentication: {}", line(&kinds))?;
    let status = report.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    writeln!(out, "status of DESCRIBE without credentials: {status}")?;
    writeln!(out, "transport: {}", report.transport.unwrap_or("pipeline"))?;
    writeln!(out, "steps: {}", serde_json::to_string(&report.steps).unwrap_or_default())?;
    for note in &report.notes {
        writeln!(out, "note: {}", line(note))?;
    }
    writeln!(out, "\n[tracks]")?;
    for track in &report.tracks {
        writeln!(out, "{}", line(&serde_json::to_string(track).unwrap_or_default()))?;
    }
    let Some(watch) = watch else { return Ok(()) };
    writeln!(out, "\n[sdp]\n{}", redactor.sdp(&watch.sdp))?;
    writeln!(out, "\n[h264 habits]\n{}", serde_json::to_string(&watch.habits).unwrap_or_default())?;
    let gops = watch.gop.lengths.iter().map(|(frames, seconds)| format!("{frames} frames {seconds:.3} s"));
    writeln!(out, "\n[gops]\n{}", gops.collect::<Vec<_>>().join("\n"))?;
    writeln!(out, "\n[rtp]\ntrack ms_since_play sequence ticks marker lost_before bytes first_byte")?;
    for Row { stream, ms, sequence, ticks, marker, lost, bytes, first } in &watch.rows {
        let marker = u8::from(*marker);
        writeln!(out, "{stream} {ms:.3} {sequence} {ticks} {marker} {lost} {bytes} {first:02x}")?;
    }
    Ok(())
}
