//! Pipelines whose device or encoder cannot be used.

use std::{fs, os::unix::fs::symlink, process::Command};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::ioctl_tiocexcl,
};

use crate::{cause::Cause, places::gateway, support::gateway::Builder};

/// A gateway whose camera is a webcam.
fn webcam(device: &str) -> Builder {
    piped("v4l2-encode", &format!("[camera.with]\ndevice = \"{device}\"\n"))
}

fn piped(pipeline: &str, with: &str) -> Builder {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
    let camera = format!("[[camera]]\nname = \"front\"\npipeline = \"{pipeline}\"\n{with}");
    gateway(&format!("{camera}[pipelines]\npath = [\"{folder}\"]\n"))
}

/// Runs it without capabilities of root.
fn without(builder: Builder, capabilities: &str) -> Builder {
    builder.under(vec!["setpriv".into(), format!("--bounding-set={capabilities}")])
}

pub(crate) const DEVICE_MISSING: Cause = Cause {
    name: "device missing",
    code: "device-missing",
    sentence: "pipeline v4l2-encode: v4l2src: there is no /dev/video77: plug it in, or set another device in the camera's \
               with (ls /dev/v4l/by-id tells which)",
    provoked: "device = \"/dev/video77\", which is not there",
    test: "device_missing",
};

#[tokio::test]
async fn device_missing() {
    DEVICE_MISSING.is_told(&webcam("/dev/video77").spawn().await).await;
}

pub(crate) const DEVICE_BUSY: Cause = Cause {
    name: "device busy",
    code: "device-busy",
    sentence: "pipeline v4l2-encode: v4l2src: another program uses …: close the other program (fuser -v … tells which)",
    provoked: "a double: a terminal that the test holds for itself (TIOCEXCL), so that the kernel says EBUSY; with a webcam in the \
               guest of `scripts/devices`",
    test: "device_busy",
};

#[tokio::test]
async fn device_busy() {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let held = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    ioctl_tiocexcl(&held).unwrap();
    let gateway = without(webcam(&name), "-sys_admin").spawn().await;
    DEVICE_BUSY.is_told(&gateway).await;
    drop(held);
}

pub(crate) const DEVICE_DENIED: Cause = Cause {
    name: "no permission on the device",
    code: "device-denied",
    sentence: "pipeline v4l2-encode: v4l2src: no permission on …: add the user to group video (sudo usermod -aG video USER, where \
               USER runs camgate) and start camgate again",
    provoked: "a device file of another user with mode 600, for a gateway without root's capabilities; with a webcam in the guest \
               of `scripts/devices`",
    test: "device_denied",
};

/// A device file, until it is dropped.
struct DeviceFile(String);

impl DeviceFile {
    fn of_another_user() -> Self {
        let file = Self(format!("/dev/camgate-why-{}", std::process::id()));
        let script = format!("mknod -m 600 {0} c 81 77 && chown 65534 {0}", file.0);
        assert!(Command::new("sh").args(["-ec", &script]).status().unwrap().success(), "this test takes root");
        file
    }
}

impl Drop for DeviceFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn device_denied() {
    let device = DeviceFile::of_another_user();
    let gateway = without(webcam(&device.0), "-dac_override,-dac_read_search").spawn().await;
    DEVICE_DENIED.is_told(&gateway).await;
}

pub(crate) const NO_ENCODER: Cause = Cause {
    name: "encoder missing",
    code: "no-encoder",
    sentence: "no H.264 encoder works on this machine (…): install one with: apt install gstreamer1.0-plugins-ugly",
    provoked: "GStreamer is shown all of its plugins but those that encode H.264; pipeline v4l2-encode",
    test: "encoder_missing",
};

/// GStreamer's plugins without those that encode H.264.
struct Plugins(tempfile::TempDir);

impl Plugins {
    fn without_encoders() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("pkg-config").args(["--variable=pluginsdir", "gstreamer-1.0"]).output().unwrap();
        let installed = String::from_utf8(output.stdout).unwrap();
        let encoders = ["x264", "openh264", "va", "vaapi", "libav", "qsv", "nvcodec"];
        for plugin in fs::read_dir(installed.trim()).expect("GStreamer's plugins").flatten() {
            let name = plugin.file_name().into_string().unwrap();
            if name.ends_with(".so") && !encoders.iter().any(|encoder| name == format!("libgst{encoder}.so")) {
                symlink(plugin.path(), folder.path().join(name)).unwrap();
            }
        }
        Self(folder)
    }

    fn shown_to(&self, builder: Builder) -> Builder {
        let path = self.0.path().to_str().unwrap();
        builder.env("GST_PLUGIN_SYSTEM_PATH_1_0", path).env("GST_REGISTRY_1_0", &format!("{path}/registry"))
    }
}

#[tokio::test]
async fn encoder_missing() {
    let plugins = Plugins::without_encoders();
    NO_ENCODER.is_told(&plugins.shown_to(webcam("/dev/video0")).spawn().await).await;
}

pub(crate) const ELEMENT_MISSING: Cause = Cause {
    name: "a pipeline's own encoder, or another element, missing",
    code: "element-missing",
    sentence: "pipeline test-pattern: there is no GStreamer element x264enc: install it with: apt install gstreamer1.0-plugins-ugly",
    provoked: "the same, with the pipeline test-pattern",
    test: "element_missing",
};

#[tokio::test]
async fn element_missing() {
    let plugins = Plugins::without_encoders();
    ELEMENT_MISSING.is_told(&plugins.shown_to(piped("test-pattern", "")).spawn().await).await;
}
