//! Requests as they came, answers before they are sent.

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub uri: String,
    pub headers: Vec<(String, String)>,
    /// Which connection of the camera it came on, from 0.
    pub connection: usize,
    /// Which request of that connection it is, from 0.
    pub number: usize,
    /// Track 0 and 1 of the session.
    pub ssrcs: [u32; 2],
}

impl Request {
    /// A header, whatever the case of its name; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The number behind `key=` in its Transport.
    pub fn transport(&self, key: &str) -> Option<u16> {
        number(self.header("Transport"), key)
    }
}

/// The number behind `key=` in a Transport header.
pub fn number(transport: &str, key: &str) -> Option<u16> {
    let value = transport.split(';').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('='))?;
    value.split('-').next()?.parse().ok()
}

/// What the camera answers; placeholders are filled in when it is sent.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Sent before it.
    pub before: Vec<u8>,
    /// Sent behind it.
    pub after: Vec<u8>,
    /// Sent instead of all that.
    pub raw: Option<String>,
    /// The connection is closed instead of an answer, or behind it.
    pub close: bool,
    pub silent: bool,
}

impl Reply {
    pub fn new(status: u16, reason: &str) -> Self {
        let headers = vec![("CSeq".into(), "{cseq}".into())];
        Self {
            status,
            reason: reason.into(),
            headers,
            body: String::new(),
            before: Vec::new(),
            after: Vec::new(),
            raw: None,
            close: false,
            silent: false,
        }
    }

    /// No answer at all.
    pub fn none() -> Self {
        Self { silent: true, ..Self::new(0, "") }
    }

    /// This text, placeholders and `\n` aside.
    pub fn raw(text: &str) -> Self {
        Self { raw: Some(text.into()), ..Self::new(0, "") }
    }

    /// Puts a header in the place of those with its name, or adds it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        match self.headers.iter_mut().find(|(it, _)| it.eq_ignore_ascii_case(name)) {
            Some((_, place)) => *place = value.into(),
            None => self.headers.push((name.into(), value.into())),
        }
        self
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(it, _)| !it.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// Puts bytes before the answer, such as [`interleaved`](super::packets::interleaved) data.
    pub fn preceded_by(mut self, bytes: &[u8]) -> Self {
        self.before.extend(bytes);
        self
    }

    /// Puts bytes behind the answer.
    pub fn followed_by(mut self, bytes: &[u8]) -> Self {
        self.after.extend(bytes);
        self
    }

    /// Closes the connection behind the answer.
    pub fn and_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// As it is sent, with `fill` for the placeholders.
    pub(super) fn bytes(&self, fill: impl Fn(&str) -> String) -> Vec<u8> {
        let body = fill(&self.body).replace('\n', "\r\n");
        let text = self.raw.clone().unwrap_or_else(|| {
            let mut text = format!("RTSP/1.0 {} {}\n", self.status, self.reason);
            for (name, value) in &self.headers {
                text += &format!("{name}: {value}\n");
            }
            if !body.is_empty() && self.header("Content-Length").is_empty() {
                text += &format!("Content-Length: {}\n", body.len());
            }
            text + "\n"
        });
        let head = fill(&text).replace('\n', "\r\n");
        [&self.before[..], head.as_bytes(), body.as_bytes(), &self.after[..]].concat()
    }
}
