//! What is wrong with a device, and what to do about it.
//!
//! GStreamer says the same of every device that does not open, in the language of the machine; so the system is asked
//! once more, and GStreamer's words are only what is left when it has nothing to say.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Does not wait for a device that somebody else has: Linux, all architectures but the MIPS, PA-RISC and Alpha of old.
const O_NONBLOCK: i32 = 0o4_000;
/// "No such device" and "No such device or address" of Linux: the file is there, what it stands for is not.
const GONE: [i32; 2] = [19, 6];

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its file may not be opened.
    Denied,
    /// It is not there.
    Gone,
    /// Somebody else has it.
    Busy,
}

impl Trouble {
    /// Asks the system, and then GStreamer's words.
    pub(super) fn of(device: &str, words: &str) -> Option<Self> {
        let asked = device.starts_with("/dev/").then(|| {
            OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(device).err().as_ref().and_then(Self::from_io)
        });
        match asked.flatten().or_else(|| Self::from_words(words)) {
            // ALSA says of a card that it may not open that there is none.
            Some(Self::Gone) if !device.starts_with('/') && cards_are_locked(Path::new("/dev/snd")) => {
                Some(Self::Denied)
            }
            trouble => trouble,
        }
    }

    fn from_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Some(Self::Denied),
            io::ErrorKind::NotFound => Some(Self::Gone),
            io::ErrorKind::ResourceBusy => Some(Self::Busy),
            _ => error.raw_os_error().is_some_and(|code| GONE.contains(&code)).then_some(Self::Gone),
        }
    }

    fn from_words(words: &str) -> Option<Self> {
        [
            ("ermission denied", Self::Denied),
            ("o such device", Self::Gone),
            ("o such file or directory", Self::Gone),
            ("has been disconnected", Self::Gone),
            ("resource busy", Self::Busy),
            ("is busy", Self::Busy),
            ("being used by another", Self::Busy),
        ]
        .into_iter()
        .find_map(|(part, trouble)| words.contains(part).then_some(trouble))
    }

    /// Names it for programs.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Denied => "device-denied",
            Self::Gone => "device-missing",
            Self::Busy => "device-busy",
        }
    }

    /// What to say about it: the reason, and what to do. `element` is the kind of element that uses the device.
    pub(super) fn words(self, element: &str, device: &str) -> (String, String) {
        let is_sound = element.starts_with("alsa");
        match self {
            Self::Denied => {
                let group = if is_sound { "audio" } else { "video" };
                let hint = format!(
                    ": add the user to group {group} (sudo usermod -aG {group} USER, where USER runs camgate) and \
                     start camgate again"
                );
                (format!("no permission on {device}"), hint)
            }
            Self::Gone => {
                let (key, list) = match element {
                    "alsasink" => ("talk_with", "aplay -L"),
                    _ if is_sound => ("with", "arecord -L"),
                    _ => ("with", "ls /dev/v4l/by-id"),
                };
                let hint = format!(": plug it in, or set another device in the camera's {key} ({list} tells which)");
                (format!("there is no {device}"), hint)
            }
            Self::Busy => {
                let files = if is_sound { "/dev/snd/*" } else { device };
                let hint = format!(": close the other program (fuser -v {files} tells which)");
                (format!("another program uses {device}"), hint)
            }
        }
    }
}

/// Whether there are sound cards and none of them may be opened.
fn cards_are_locked(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let controls = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("controlC"));
    let mut opened = controls.map(|control| OpenOptions::new().read(true).open(control.path())).peekable();
    let is_denied = |result: io::Result<_>| result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    opened.peek().is_some() && opened.all(is_denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_what_is_wrong() {
        for (error, trouble) in [
            (io::Error::from(io::ErrorKind::PermissionDenied), Some(Trouble::Denied)),
            (io::Error::from_raw_os_error(13), Some(Trouble::Denied)),
            (io::Error::from_raw_os_error(2), Some(Trouble::Gone)),
            (io::Error::from_raw_os_error(19), Some(Trouble::Gone)),
            (io::Error::from_raw_os_error(6), Some(Trouble::Gone)),
            (io::Error::from_raw_os_error(16), Some(Trouble::Busy)),
            (io::Error::from_raw_os_error(5), None),
        ] {
            assert_eq!(Trouble::from_io(&error), trouble, "{error}");
        }
        assert_eq!(Trouble::of("/dev/no-such-camera", "Zugriff verweigert"), Some(Trouble::Gone));
        assert_eq!(Trouble::of("/dev/null", "Zugriff verweigert"), None);
    }

    #[test]
    fn gstreamer_s_words_are_understood() {
        for (words, trouble) in [
            ("Could not open device.\nsystem error: Permission denied", Trouble::Denied),
            ("Recording open error on device 'hw:7': No such device", Trouble::Gone),
            ("Recording open error on device 'hw:7': No such file or directory", Trouble::Gone),
            ("Error recording from audio device. The device has been disconnected.", Trouble::Gone),
            ("Call to S_FMT failed for YUYV @ 1280x720: Device or resource busy", Trouble::Busy),
            ("Could not open audio device. Device is being used by another application.", Trouble::Busy),
        ] {
            assert_eq!(Trouble::of("hw:7", words), Some(trouble), "{words}");
        }
    }

    /// Seen in the guest of scripts/devices. Root may open everything, so only the other answers can be shown here.
    #[test]
    fn cards_that_may_be_opened_or_are_not_there_are_not_locked() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!cards_are_locked(&folder.path().join("nowhere")));
        assert!(!cards_are_locked(folder.path()));
        fs::write(folder.path().join("controlC0"), "").unwrap();
        assert!(!cards_are_locked(folder.path()));
    }

    #[test]
    fn the_words_say_what_to_do() {
        let (reason, hint) = Trouble::Denied.words("v4l2src", "/dev/video0");
        assert_eq!(reason, "no permission on /dev/video0");
        assert!(hint.starts_with(": add the user to group video"), "{hint}");
        assert!(Trouble::Denied.words("alsasrc", "hw:1").1.contains("group audio"));
        assert!(Trouble::Gone.words("alsasrc", "hw:1").1.contains("with (arecord -L"));
        assert!(Trouble::Gone.words("alsasink", "hw:1").1.contains("talk_with (aplay -L"));
        assert!(Trouble::Busy.words("v4l2src", "/dev/video0").1.contains("fuser -v /dev/video0"));
    }
}
