//! The configuration, which somebody never leaves alone.

use std::time::{Duration, Instant};

use super::cameras::{self, LOCKED, PASSWORD, USER};
use super::chance::Chance;
use super::gateway::Gateway;

/// For the gateway to notice the file: it looks each second.
const NOTICE: Duration = Duration::from_secs(20);

pub struct Configuration {
    pub http_port: u16,
    pub webrtc_port: u16,
    pub camera_ports: Vec<u16>,
    /// One more camera.
    guest: bool,
    /// Another setting of the last camera.
    changed: bool,
    /// The password of [`LOCKED`] is wrong.
    locked_out: bool,
    broken: bool,
}

/// What became of the files that were written.
#[derive(Clone, Copy, Default)]
pub struct Reloads {
    pub taken: u64,
    pub refused: u64,
    /// Neither was seen in time.
    pub missed: u64,
}

impl Configuration {
    pub fn new(http_port: u16, webrtc_port: u16, camera_ports: Vec<u16>) -> Self {
        Self { http_port, webrtc_port, camera_ports, guest: false, changed: false, locked_out: false, broken: false }
    }

    pub fn toml(&self) -> String {
        let mut toml = format!(
            "[http]\nlisten = \"127.0.0.1:{}\"\n\n[webrtc]\nlisten = \"127.0.0.1:{}\"\n",
            self.http_port, self.webrtc_port
        );
        for (camera, &port) in self.camera_ports.iter().enumerate() {
            toml += &cameras::toml(camera, port);
            if camera == LOCKED {
                let password = if self.locked_out { "wrong-one" } else { PASSWORD };
                toml += &format!("username = \"{USER}\"\npassword = \"{password}\"\n");
            }
            if self.changed && camera + 1 == self.camera_ports.len() {
                toml += "gop_cache_mib = 8\nlinger_seconds = 5\n";
            }
        }
        if self.guest {
            toml += &format!("\n[[camera]]\nname = \"guest\"\nurl = \"{}\"\n", cameras::url(self.camera_ports[0]));
        }
        if self.broken {
            toml += "\n[[camera]]\nname = \"without an end\nurl = 5\n";
        }
        toml
    }

    pub fn is_locked_out(&self, camera: usize) -> bool {
        self.locked_out && camera == LOCKED
    }

    /// Something else than before.
    fn change(&mut self, chance: &mut Chance) {
        self.broken = false;
        match chance.below(6) {
            0 | 1 => self.guest = !self.guest,
            2 => self.changed = !self.changed,
            // Not for long: it takes a minute at least to be tried again.
            3 => self.locked_out = !self.locked_out,
            4 => self.broken = true,
            _ => self.locked_out = false,
        }
    }

    /// Writes another file, and sees what becomes of it. Half of them are announced by SIGHUP; of the others the gateway has to
    /// find out.
    pub async fn reload(&mut self, gateway: &Gateway, chance: &mut Chance, reloads: &mut Reloads) {
        let before = read_at(gateway).await;
        self.change(chance);
        gateway.write_toml(&format!("{}\n# {}\n", self.toml(), chance.share()));
        if chance.happens(50) {
            gateway.hang_up();
        }
        let end = Instant::now() + NOTICE;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match (self.broken, read_at(gateway).await) {
                (true, Some((_, false))) => return reloads.refused += 1,
                (false, Some((at, true))) if before.is_none_or(|(then, _)| at > then) => return reloads.taken += 1,
                _ => {}
            }
        }
        let read = read_at(gateway).await;
        eprintln!("a reload was neither taken up nor refused: broken {}, read {read:?}", self.broken);
        reloads.missed += 1;
    }
}

/// When the configuration that runs was read, and whether the newest is it.
async fn read_at(gateway: &Gateway) -> Option<(f64, bool)> {
    let metrics = gateway.metrics().await?;
    let at = metrics.sum("camgate_config_last_reload_success_timestamp_seconds", "");
    Some((at, metrics.sum("camgate_config_last_reload_successful", "") > 0.0))
}
