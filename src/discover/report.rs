//! What `camgate discover` prints: a table, and entries to paste.

use std::{collections::BTreeSet, fmt::Write as _};

use super::device::{Camera, Profile, Refusal};
use crate::{
    media::CameraName,
    probe::Entry,
    source::{
        Error,
        config::{Credentials, Transport},
    },
};

/// Of a name that is made of what a device calls itself.
const NAME_LENGTH: usize = 32;

/// The table, and the entries of the cameras whose streams are known. `login` is who logged in to them.
pub fn text(cameras: &[Camera], login: Option<&Credentials>) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut out, cameras, login);
    out
}

fn write(out: &mut String, cameras: &[Camera], login: Option<&Credentials>) -> std::fmt::Result {
    let mut taken = BTreeSet::new();
    let names: Vec<_> = cameras.iter().map(|camera| name_for(camera, &mut taken)).collect();
    writeln!(out, "{:<16}{:<24}{:<32}profiles", "address", "name", "model")?;
    for (camera, name) in cameras.iter().zip(&names) {
        let shown = camera.name.as_deref().unwrap_or("-");
        let model = camera.model.as_deref().unwrap_or("-");
        let profiles = camera.profiles.iter().map(short).collect::<Vec<_>>().join(", ");
        let line = format!("{:<16}{shown:<24}{model:<32}{profiles}", camera.address.to_string());
        writeln!(out, "{}", line.trim_end())?;
        for note in notes(camera, name) {
            writeln!(out, "{:<16}{note}", "")?;
        }
    }
    for (camera, name) in cameras.iter().zip(&names) {
        write_entries(out, camera, name, login)?;
    }
    Ok(())
}

fn notes(camera: &Camera, name: &CameraName) -> Vec<String> {
    let refusal = camera.refusal.as_ref().map(|refusal| match refusal {
        Refusal::Login { status } if camera.logged_in => {
            Error::BadCredentials { camera: name.clone(), status: *status }.to_string()
        }
        Refusal::Login { status } => format!(
            "the camera asks for a user name and a password ({status}): give --username, of a user whom ONVIF is allowed \
             in the camera"
        ),
        other => format!("it did not tell its streams: {other}"),
    });
    let streams = camera.profiles.iter().filter_map(|profile| {
        let why = profile.stream.as_ref().err()?;
        Some(format!("profile {} has no stream: {why}", profile.name))
    });
    let none = !camera.profiles.is_empty() && !camera.profiles.iter().any(Profile::is_h264);
    let none =
        none.then(|| "none of its profiles is H.264, which browsers need: set one to H.264 in the camera".to_owned());
    let clock = (camera.ahead_s != 0).then(|| {
        let apart = std::time::Duration::from_secs(camera.ahead_s.unsigned_abs());
        let way = if camera.ahead_s > 0 { "ahead" } else { "behind" };
        format!("its clock is {} {way}: set its time (NTP)", humantime::format_duration(apart))
    });
    refusal.into_iter().chain(streams).chain(none).chain(clock).collect()
}

fn short(profile: &Profile) -> String {
    let size = profile.size.map(|(width, height)| format!(" {width}x{height}")).unwrap_or_default();
    let codec = if profile.codec.is_empty() { "?" } else { &profile.codec };
    format!("{codec}{size}")
}

/// The largest H.264 as the entry, the others commented out.
fn write_entries(
    out: &mut String,
    camera: &Camera,
    name: &CameraName,
    login: Option<&Credentials>,
) -> std::fmt::Result {
    let pixels = |profile: &Profile| profile.size.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    let with_url = camera.profiles.iter().filter_map(|profile| Some((profile, profile.stream.as_ref().ok()?)));
    let mut streams: Vec<_> = with_url.collect();
    // The camera's own order, its main stream first, decides between equals.
    streams.sort_by_key(|(profile, _)| (!profile.is_h264(), std::cmp::Reverse(pixels(profile))));
    let username = login.filter(|_| camera.logged_in).map(|login| login.username.as_str());
    for (at, (profile, url)) in streams.into_iter().enumerate() {
        let main = at == 0 && profile.is_h264();
        let other = url.host_str().map(|host| host.trim_matches(['[', ']'])) != Some(&*camera.address.to_string());
        let elsewhere = if other { ", at another address than the camera's: check it" } else { "" };
        writeln!(out, "\n# {}: {}{elsewhere}", profile.name, short(profile))?;
        let entry = Entry { name, url, username, transport: Transport::Tcp }.toml();
        for line in entry.lines() {
            writeln!(out, "{}{line}", if main { "" } else { "#" })?;
        }
    }
    Ok(())
}

/// What the device calls itself, as a name of ours that no other has.
fn name_for(camera: &Camera, taken: &mut BTreeSet<String>) -> CameraName {
    let called = camera.name.as_deref().or(camera.model.as_deref()).unwrap_or_default().to_ascii_lowercase();
    let letters = called.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    let slug = letters.collect::<String>();
    let parts: Vec<_> = slug.split('-').filter(|part| !part.is_empty()).collect();
    let slug: String = parts.join("-").chars().take(NAME_LENGTH).collect();
    let base = if slug.is_empty() { "camera".to_owned() } else { slug };
    let numbered = (2u32..).map(|number| format!("{base}-{number}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
    let name = free.unwrap_or(base);
    name.parse().unwrap_or_else(|_| unreachable!("made of what names may have"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::config::Secret;

    fn profile(name: &str, codec: &str, size: (u32, u32), url: &str) -> Profile {
        Profile { name: name.into(), codec: codec.into(), size: Some(size), stream: Ok(url.parse().unwrap()) }
    }

    fn camera(name: &str, profiles: Vec<Profile>) -> Camera {
        Camera {
            address: [192, 0, 2, 7].into(),
            name: Some(name.into()),
            model: Some("Maker X-1".into()),
            profiles,
            refusal: None,
            logged_in: true,
            ahead_s: 0,
        }
    }

    #[test]
    fn the_largest_h264_is_the_entry_and_the_rest_is_commented() {
        let login = Credentials { username: "viewer".into(), password: Secret::new("hunter2") };
        let profiles = vec![
            profile("hevc", "H265", (3_840, 2_160), "rtsp://192.0.2.7/0"),
            profile("small", "H264", (640, 360), "rtsp://192.0.2.7/2"),
            profile("main", "H264", (1_920, 1_080), "rtsp://192.0.2.9/1"),
        ];
        let cameras = [camera("Front Door", profiles.clone()), camera("front  door", profiles)];
        let shown = text(&cameras, Some(&login));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("H265 3840x2160, H264 640x360, H264 1920x1080"), "{shown}");
        let entries: toml::Table = shown[shown.find("\n#").unwrap()..].parse().unwrap();
        let found: Vec<_> =
            entries["camera"].as_array().unwrap().iter().map(|entry| (&entry["name"], &entry["url"])).collect();
        let url = toml::Value::from("rtsp://192.0.2.9/1");
        assert_eq!(found, [(&"front-door".into(), &url), (&"front-door-2".into(), &url)]);
        assert!(shown.contains("another address than the camera's") && shown.contains("#url = \"rtsp://192.0.2.7/2\""));
    }

    #[test]
    fn whoever_does_not_tell_its_streams_is_listed_with_the_reason() {
        let refused = Camera { refusal: Some(Refusal::Login { status: 400 }), ..camera("a", Vec::new()) };
        let asks = Camera { logged_in: false, name: None, model: None, ..refused.clone() };
        let shown = text(&[refused, asks], None);
        assert!(shown.contains("refused the user name or password (400): check username and password of camera a"));
        assert!(shown.contains("give --username"), "{shown}");
        assert!(!shown.contains("[[camera]]"), "{shown}");
    }
}
