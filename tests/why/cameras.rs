//! Cameras that do not play.

use crate::{
    cause::Cause,
    places::gateway,
    support::camera::{Audio, Camera, Scheme, Video},
};

pub(crate) const REFUSES: Cause = Cause {
    name: "camera off, its address answers",
    code: "camera-refuses-connections",
    sentence: "… refuses connections: check the port in url, and that RTSP is switched on in the camera",
    provoked: "the RTSP server is stopped",
    test: "camera_off",
};

#[tokio::test]
async fn camera_off() {
    let mut camera = Camera::builder().start();
    camera.stop();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    REFUSES.is_told(&gateway).await;
    REFUSES.is_probed(&gateway, &[]).await;
}

pub(crate) const WRONG_PATH: Cause = Cause {
    name: "wrong path",
    code: "no-such-stream",
    sentence: "the camera has no stream of that name (404): check the path in url",
    provoked: "url ends in a path that the RTSP server does not have",
    test: "wrong_path",
};

#[tokio::test]
async fn wrong_path() {
    let camera = Camera::builder().start();
    let entry = camera.toml("front").replace("/cam\"", "/stream7\"");
    let gateway = gateway(&entry).spawn().await;
    WRONG_PATH.is_told(&gateway).await;
    WRONG_PATH.is_probed(&gateway, &[]).await;
}

pub(crate) const WRONG_PASSWORD: Cause = Cause {
    name: "wrong password",
    code: "wrong-password",
    sentence: "the camera refused the user name or password (401): check username and password of camera front",
    provoked: "the RTSP server asks for another password (Digest)",
    test: "wrong_password",
};

#[tokio::test]
async fn wrong_password() {
    let camera = Camera::builder().user("viewer", "open sesame", Scheme::DigestMd5).start();
    let entry = camera.toml("front").replace("open sesame", "open barley");
    let gateway = gateway(&entry).spawn().await;
    WRONG_PASSWORD.is_told(&gateway).await;
    WRONG_PASSWORD.is_probed(&gateway, &[]).await;
}

pub(crate) const NO_PASSWORD: Cause = Cause {
    name: "no password",
    code: "password-needed",
    sentence: "the camera asks for a user name and a password (401): set username and password of camera front",
    provoked: "the RTSP server asks for a password, and the configuration has none",
    test: "no_password",
};

#[tokio::test]
async fn no_password() {
    let camera = Camera::builder().user("viewer", "open sesame", Scheme::Basic).start();
    let entry = format!("[[camera]]\nname = \"front\"\nurl = \"{}\"\n", camera.url());
    let gateway = gateway(&entry).spawn().await;
    NO_PASSWORD.is_told(&gateway).await;
    NO_PASSWORD.is_probed(&gateway, &[]).await;
}

pub(crate) const UNKNOWN_LOGIN: Cause = Cause {
    name: "camera offers only a login that camgate does not know",
    code: "unknown-login",
    sentence: "the camera asks for a login in a way that camgate does not know (…): allow Basic or Digest (MD5 or SHA-256) \
               for RTSP in the camera's settings",
    provoked: "the RTSP server asks for a Digest of SHA3-256; one that asks for SHA-256 alone plays",
    test: "unknown_login",
};

#[tokio::test]
async fn unknown_login() {
    let camera = Camera::builder().user("viewer", "open sesame", Scheme::DigestUnknown).start();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    UNKNOWN_LOGIN.is_told(&gateway).await;
    UNKNOWN_LOGIN.is_probed(&gateway, &[]).await;
}

pub(crate) const FULL: Cause = Cause {
    name: "camera allows one connection only",
    code: "camera-full",
    sentence: "the camera takes no further connection (… was answered …), so that another program probably holds it: close \
               that (an app, a recorder, another gateway), or restart the camera",
    provoked: "the RTSP server has room for one session, and another gateway has it",
    test: "one_connection_only",
};

#[tokio::test]
async fn one_connection_only() {
    let camera = Camera::builder().max_sessions(1).start();
    let entry = camera.toml("front");
    let other = gateway(&format!("{entry}start = \"always\"\n")).spawn().await;
    other.wait_camera("front", "live", crate::LIMIT).await;
    let gateway = gateway(&entry).spawn().await;
    FULL.is_told(&gateway).await;
    FULL.is_probed(&gateway, &[]).await;
}

pub(crate) const SILENT: Cause = Cause {
    name: "camera answers but sends nothing",
    code: "no-media",
    sentence: "… sends no picture and no sound: none came within … s: restart the camera, or try another stream of it in url",
    provoked: "the RTSP server agrees to everything and sends no packet",
    test: "sends_nothing",
};

#[tokio::test]
async fn sends_nothing() {
    let camera = Camera::builder().sends_nothing().start();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    SILENT.is_told(&gateway).await;
    SILENT.is_probed(&gateway, &[]).await;
}

pub(crate) const H265: Cause = Cause {
    name: "H.265 only",
    code: "unsupported-codec",
    sentence: "the camera sends its video as H.265, which is not supported: set the camera to H.264",
    provoked: "the RTSP server offers H.265 (x265)",
    test: "h265_only",
};

#[tokio::test]
async fn h265_only() {
    let camera = Camera::builder().video(Video::H265).audio(Audio::Pcmu).start();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    H265.is_told(&gateway).await;
    H265.is_probed(&gateway, &[]).await;
}

pub(crate) const MJPEG: Cause = Cause {
    name: "MJPEG only",
    code: "unsupported-codec",
    sentence: "the camera sends its video as MJPEG, which is not supported: set the camera to H.264",
    provoked: "the RTSP server offers JPEG",
    test: "mjpeg_only",
};

#[tokio::test]
async fn mjpeg_only() {
    let camera = Camera::builder().video(Video::Mjpeg).start();
    let gateway = gateway(&camera.toml("front")).spawn().await;
    MJPEG.is_told(&gateway).await;
    MJPEG.is_probed(&gateway, &[]).await;
}

pub(crate) const NOBODY_PUBLISHES: Cause = Cause {
    name: "nobody publishes to a camera with source = \"whip\"",
    code: "nobody-publishes",
    sentence: "nobody publishes to this camera: open /publish/front of the gateway in a browser, or point OBS at /whip/front",
    provoked: "source = \"whip\", and nobody does",
    test: "nobody_publishes",
};

#[tokio::test]
async fn nobody_publishes() {
    let gateway = gateway("[[camera]]\nname = \"front\"\nsource = \"whip\"\n").spawn().await;
    NOBODY_PUBLISHES.is_told(&gateway).await;
}
