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

/// What runs a program without capabilities of root.
const WITHOUT_ADMIN: [&str; 2] = ["setpriv", "--bounding-set=-sys_admin"];
const WITHOUT_OVERRIDE: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];

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
    let gateway = webcam("/dev/video77").spawn().await;
    DEVICE_MISSING.is_told(&gateway).await;
    DEVICE_MISSING.is_probed(&gateway, &[]).await;
}

pub(crate) const DEVICE_BUSY: Cause = Cause {
    name: "device busy",
    code: "device-busy",
    sentence: "pipeline v4l2-encode: v4l2src: another program uses …: close the other program (fuser -v … tells which)",
    provoked: "a double: a terminal that the test holds for itself (TIOCEXCL), so that the kernel says EBUSY",
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
    let gateway = webcam(&name).under(WITHOUT_ADMIN.map(String::from).into()).spawn().await;
    DEVICE_BUSY.is_told(&gateway).await;
    DEVICE_BUSY.is_probed(&gateway, &WITHOUT_ADMIN).await;
    drop(held);
}

pub(crate) const DEVICE_DENIED: Cause = Cause {
    name: "no permission on the device",
    code: "device-denied",
    sentence: "pipeline v4l2-encode: v4l2src: no permission on …: add the user to group video (sudo usermod -aG video USER, where \
               USER runs camgate) and start camgate again",
    provoked: "a device file of another user with mode 600, for a gateway without root's capabilities; a webcam's in the \
               guest of `scripts/devices`",
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
    let gateway = webcam(&device.0).under(WITHOUT_OVERRIDE.map(String::from).into()).spawn().await;
    DEVICE_DENIED.is_told(&gateway).await;
    DEVICE_DENIED.is_probed(&gateway, &WITHOUT_OVERRIDE).await;
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

    /// What runs a program with no others.
    fn alone(&self) -> [String; 3] {
        let path = self.0.path().to_str().unwrap();
        ["env".into(), format!("GST_PLUGIN_SYSTEM_PATH_1_0={path}"), format!("GST_REGISTRY_1_0={path}/registry")]
    }

    /// A gateway with no others, and the probe, say this.
    async fn lead_to(&self, cause: &Cause, builder: Builder) {
        let gateway = builder.under(self.alone().into()).spawn().await;
        cause.is_told(&gateway).await;
        cause.is_probed(&gateway, &self.alone().each_ref().map(String::as_str)).await;
    }
}

#[tokio::test]
async fn encoder_missing() {
    Plugins::without_encoders().lead_to(&NO_ENCODER, webcam("/dev/video0")).await;
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
    Plugins::without_encoders().lead_to(&ELEMENT_MISSING, piped("test-pattern", "")).await;
}
