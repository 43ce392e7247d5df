//! ICE servers out of `Link` headers (WHEP section 4.6, RFC 8288 section 3):
//! `<turn:t.example.org>; rel="ice-server"; username="u"; credential="p"`.

use std::fmt;

/// A STUN or TURN server that the WHEP server names.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct IceServer {
    pub(super) url: String,
    pub(super) username: String,
    pub(super) credential: String,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceServer({}, ***)", self.url)
    }
}

/// The `rel="ice-server"` links of one header's value; what cannot be read is passed over.
pub(super) fn ice_servers(header: &str) -> Vec<IceServer> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((_, link)) = rest.split_once('<') {
        let Some((url, after)) = link.split_once('>') else { break };
        let (parameters, behind) = parameters(after);
        rest = behind;
        let value = |name: &str| {
            let named = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        if value("rel").split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("ice-server")) {
            found.push(IceServer { url: url.to_owned(), username: value("username"), credential: value("credential") });
        }
    }
    found
}

/// The `; name=value` pairs up to the comma that ends this link, and what is behind that.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(parameter) = rest.strip_prefix(';') {
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim().to_owned();
        let (value, behind) = match parameter[end..].strip_prefix('=') {
            Some(value) => value_of(value.trim_start()),
            None => (String::new(), &parameter[end..]),
        };
        found.push((name, value));
        rest = behind.trim_start();
    }
    (found, rest)
}

/// A token or a quoted-string (RFC 9110 section 5.6.4), and what is behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, username: &str, credential: &str) -> IceServer {
        IceServer { url: url.to_owned(), username: username.to_owned(), credential: credential.to_owned() }
    }

    #[test]
    fn every_way_of_writing_links_is_read() {
        let header = r#"<stun:a.example>; rel="ice-server", <turn:b.example?transport=udp>;rel=ice-server; username="u,;"; credential="p\"q"; credential-type="password""#;
        let expected = [server("stun:a.example", "", ""), server("turn:b.example?transport=udp", "u,;", "p\"q")];
        assert_eq!(ice_servers(header), expected);
    }

    #[test]
    fn other_links_and_broken_ones_are_passed_over() {
        assert_eq!(ice_servers(r#"</sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events""#), []);
        for broken in ["", "<", "<stun:x", "<stun:x>; rel=\"ice-server", "stun:x; rel=ice-server", "<>;;;=,=;\"\\"] {
            assert!(ice_servers(broken).len() <= 1, "{broken}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        assert!(!format!("{:?}", server("turn:t", "alice", "secret")).contains("secret"));
    }
}
