//! The `[[camera]]` entry to paste into a config.toml.

use toml::Value;
use url::Url;

use super::masked::masked;
use crate::{media::CameraName, source::config::Transport};

/// Behind a URL that has a password in its path or query.
const HINT: &str = "   # write the password in place of ***; others can read it there, also on the network";

/// What an entry says. A password is not among it.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The camera's name.
    pub name: &'a CameraName,
    /// Without credentials.
    pub url: &'a Url,
    /// Of the camera, where it wants one.
    pub username: Option<&'a str>,
    /// How RTP is to travel.
    pub transport: Transport,
}

impl Entry<'_> {
    /// The entry as TOML, with line ends. Where there is a user, it names a file for the password that is not there yet.
    pub fn toml(&self) -> String {
        let text = |text: &str| Value::String(text.to_owned()).to_string();
        let (url, secrets) = masked(self.url.as_str());
        let mut lines = vec![
            "[[camera]]".to_owned(),
            format!("name = {}", text(self.name.as_str())),
            format!("url = {}{}", text(&url), if secrets.is_empty() { "" } else { HINT }),
        ];
        if let Some(username) = self.username {
            lines.push(format!("username = {}", text(username)));
            let file = format!("{}.password", self.name);
            lines.push(format!("password_file = {}   # put nothing but the password into it", text(&file)));
        }
        if self.transport == Transport::Udp {
            lines.push("transport = \"udp\"".to_owned());
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::config::parse_url;

    #[test]
    fn whatever_a_user_is_called_it_is_toml() {
        let name = "front".parse().unwrap();
        let url = parse_url("rtsp://cam/live?a=\"b\"").unwrap();
        let entry = Entry { name: &name, url: &url, username: Some("a\"b\\c\n\u{1b}"), transport: Transport::Udp };
        let parsed: toml::Table = entry.toml().parse().unwrap();
        let camera = &parsed["camera"][0];
        assert_eq!(camera["username"].as_str(), Some("a\"b\\c\n\u{1b}"));
        assert_eq!(camera["url"].as_str(), Some(url.as_str()));
        assert_eq!(camera["transport"].as_str(), Some("udp"));
        assert!(camera.get("password").is_none());
        let url = parse_url("rtsp://cam/user=admin_password=hunter2_channel=1").unwrap();
        let shown = Entry { url: &url, ..entry }.toml();
        assert!(!shown.contains("hunter2") && shown.contains("password=***_channel=1"), "{shown}");
    }
}
