//! Takes out of a text whatever tells whose camera it is about, before somebody shows it to others.

use std::net::{IpAddr, Ipv6Addr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::masked::masked;
use crate::source::visit::Host;

/// What is replaced also within a word must be this long: what is left of the word would tell a shorter one.
const WITHIN: usize = 8;
/// Parts of a path that are shorter are everybody's.
const SHORTEST_PART: usize = 4;

/// Knows what must not be told.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    /// A text and what stands in its place, longest first.
    known: Vec<(String, &'static str)>,
}

impl Redactor {
    pub(super) fn of(host: &Host) -> Self {
        let mut redactor = Self::default();
        if let Some(credentials) = &host.credentials {
            redactor.add(credentials.password.expose(), "<password>");
            redactor.add(&credentials.username, "<user>");
        }
        let path = &host.url[url::Position::BeforePath..];
        masked(path).1.into_iter().for_each(|secret| redactor.add(secret, "<password>"));
        // What else is in it may be a secret that has no such name.
        let parts = path.split(['/', '?', '&', ';', '=', '#']).filter(|part| part.len() >= SHORTEST_PART);
        parts.for_each(|part| redactor.add(part, "<path>"));
        redactor.add(host.url.host_str().unwrap_or_default().trim_matches(['[', ']']), "<host>");
        if let Some(port) = host.url.port() {
            redactor.add(&format!(":{port}"), ":<port>");
        }
        redactor
    }

    /// Replaces `text`, also as a URL would have it.
    pub(super) fn add(&mut self, text: &str, label: &'static str) {
        if !text.is_empty() {
            self.known.push((text.to_owned(), label));
            self.known.push((utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(), label));
            self.known.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
            self.known.dedup();
        }
    }

    /// One line, without URLs beyond their scheme, addresses, and what is known; nor what would move a terminal's cursor.
    pub(super) fn line(&self, line: &str) -> String {
        let line = line.replace(char::is_control, " ");
        let known = self.known.iter().fold(line, |line, (text, label)| replaced(&line, text, label));
        without_addresses(&without_urls(&known))
    }

    /// An SDP (RFC 8866), line by line. What people write there goes altogether.
    pub(super) fn sdp(&self, sdp: &[u8]) -> String {
        let text = String::from_utf8_lossy(sdp);
        let line = |line: &str| match line.get(..2) {
            Some(kind @ ("o=" | "i=" | "u=" | "e=" | "p=" | "k=")) => format!("{kind}<left out>"),
            // Their words are the standard's: one that is missing there would tell a password.
            Some("m=" | "v=" | "t=") => line.replace(char::is_control, " "),
            Some("a=") if line.starts_with("a=rtpmap:") => line.replace(char::is_control, " "),
            _ => self.line(line),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// `text` in place of `label` wherever it stands, in whatever case; but for a long one, as a whole word only.
fn replaced(line: &str, text: &str, label: &str) -> String {
    let (low, wanted) = (line.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut out = String::new();
    let mut done = 0;
    for (at, _) in low.match_indices(&wanted) {
        let (before, after) = (line[..at].chars().next_back(), line[at + text.len()..].chars().next());
        let within = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        if text.len() < WITHIN && (within(before) || within(after)) {
            continue;
        }
        out.push_str(&line[done..at]);
        out.push_str(label);
        done = at + text.len();
    }
    out.push_str(&line[done..]);
    out
}

fn without_urls(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.find("://") {
        Some(at) => format!("{}://<url>", &word[..at]),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn without_addresses(line: &str) -> String {
    let belongs = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(belongs) {
        let end = rest[start..].find(|c| !belongs(c)).map_or(rest.len(), |length| start + length);
        out.push_str(&rest[..start]);
        out.push_str(&address(&rest[start..end]));
        rest = &rest[end..];
    }
    out + rest
}

fn address(word: &str) -> String {
    let (bare, end) = match word.strip_suffix(['.', ':']) {
        Some(bare) => (bare, &word[bare.len()..]),
        None => (word, ""),
    };
    let (bare, port) = match bare.rsplit_once(':') {
        Some((host, port)) if host.contains('.') => (host, format!(":{port}")),
        _ => (bare, String::new()),
    };
    let is_mac = bare.split(':').count() == 6 && bare.split(':').all(|part| part.len() == 2);
    let is_address =
        bare.parse::<IpAddr>().is_ok() && bare.parse::<Ipv6Addr>().map_or(true, |ip| ip.segments()[0] != 0);
    if is_mac || is_address { format!("<address>{port}{end}") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add("hun/ter2", "<password>");
        redactor.add("joe", "<user>");
        redactor.add("Cam.lan", "<host>");
        redactor
    }

    #[test]
    fn what_is_known_goes_wherever_it_stands() {
        let shown = redactor().line("login Joe:hun/ter2 or hun%2Fter2 at cam.lan:554, joess stay\u{1b}[2J");
        assert_eq!(shown, "login <user>:<password> or <password> at <host>:554, joess stay [2J");
    }

    #[test]
    fn addresses_and_urls_go_and_times_stay() {
        let cases = [
            ("c=IN IP4 192.168.1.20/127", "c=IN IP4 <address>/127"),
            ("from 10.0.0.1:554, then.", "from <address>:554, then."),
            ("fe80::1%eth0 and 2001:db8::7", "<address>%eth0 and <address>"),
            ("it is aa:bb:cc:dd:ee:ff.", "it is <address>."),
            ("a=control:rtsp://10.0.0.1/live/key=hunter/trackID=1", "a=control:rtsp://<url>"),
            ("at 12:34:56 in 1.2 s: a=fmtp:96 1.0", "at 12:34:56 in 1.2 s: a=fmtp:96 1.0"),
        ];
        for (line, expected) in cases {
            assert_eq!(redactor().line(line), expected, "{line}");
        }
    }

    #[test]
    fn a_password_in_the_path_or_that_is_a_common_word_is_not_told() {
        let host = Host {
            name: "front".parse().unwrap(),
            url: crate::source::config::parse_url("rtsp://cam/user=admin_password=hunter2_channel=1").unwrap(),
            credentials: None,
            transport: crate::source::config::Transport::Tcp,
            audio: crate::source::config::Audio::Auto,
        };
        let mut redactor = Redactor::of(&host);
        redactor.add("video", "<password>");
        let shown = redactor.sdp(b"m=video 0 RTP/AVP 96\r\na=control:user=admin_password=hunter2_channel=1/track1\r\n");
        assert!(shown.starts_with("m=video 0 RTP/AVP 96\n") && !shown.contains("hunter2"), "{shown}");
        assert!(!redactor.line("at hunter2/").contains("hunter2"));
    }

    #[test]
    fn an_sdp_keeps_what_a_decoder_needs() {
        let sdp = b"v=0\r\no=joe 123 1 IN IP4 10.0.0.1\r\ns=Media Server\r\ni=Garden\r\nm=video 0 RTP/AVP 96\r\n\
            a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH+kCgMnI,aM48gA==\r\n";
        let shown = redactor().sdp(sdp);
        assert!(shown.contains("sprop-parameter-sets=Z0LAH+kCgMnI,aM48gA==") && shown.contains("s=Media Server"));
        assert!(shown.contains("o=<left out>") && !shown.contains("Garden") && !shown.contains("10.0.0.1"), "{shown}");
    }
}
