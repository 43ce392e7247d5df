//! One RTSP connection: reads requests, answers them as the script says, and starts the media.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::Shared;
use super::clip::Clip;
use super::faults::{POLL, Wire};
use super::packets::Line;
use super::pump::{self, Pump};
use super::rtsp::{Reply, Request, number};
use super::transport::{Pair, Transport};

/// The first line of a request, and its headers.
type Head = (String, Vec<(String, String)>);

/// Answers until the client goes.
pub(super) fn serve(shared: &Arc<Shared>, wire: &Arc<Wire>, number: usize) {
    let mut reader = wire.reader();
    let Ok(local) = reader.local_addr() else { return };
    let Ok(peer) = reader.peer_addr() else { return };
    let clip = shared.clip.clone();
    let lines = [0, 1].map(|track| Line {
        ssrc: 0xca00_0000 + 2 * number as u32 + track,
        payload_type: if track == 0 { 96 } else { shared.script.sound.payload_type() },
        sequence: shared.script.first_sequence,
        timestamp: pump::first_timestamp(number),
        frame: 0,
        session: number,
    });
    let mut connection = Connection {
        shared,
        wire,
        clip,
        local,
        peer,
        number,
        lines,
        requests: 0,
        transports: [None, None],
        playing: Arc::default(),
        heard: Arc::new(Mutex::new(Instant::now())),
    };
    let mut bytes = Vec::new();
    while let Some(more) = wire.read(&mut reader) {
        bytes.extend(more);
        while let Some((length, request)) = next(&bytes) {
            bytes.drain(..length);
            if request.is_some_and(|request| !connection.answer(request)) {
                return connection.leave();
            }
        }
    }
    connection.leave();
}

/// The length of the first message of `bytes`, and what it is if it is a request.
fn next(bytes: &[u8]) -> Option<(usize, Option<Head>)> {
    if let [b'$', _, high, low, ..] = bytes {
        let length = 4 + usize::from(u16::from_be_bytes([*high, *low]));
        return (bytes.len() >= length).then_some((length, None));
    }
    if bytes.first() == Some(&b'$') {
        return None;
    }
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
    let split = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let headers: Vec<_> = rest.lines().filter_map(split).collect();
    let body = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body: usize = body.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let length = end + 4 + body;
    (bytes.len() >= length).then(|| (length, Some((line.to_owned(), headers))))
}

struct Connection<'a> {
    shared: &'a Arc<Shared>,
    wire: &'a Arc<Wire>,
    clip: Arc<Clip>,
    local: SocketAddr,
    peer: SocketAddr,
    number: usize,
    lines: [Line; 2],
    requests: usize,
    transports: [Option<Transport>; 2],
    /// Ends the pump that is running when it is set.
    playing: Arc<AtomicBool>,
    /// When the client asked something last.
    heard: Arc<Mutex<Instant>>,
}

impl Connection<'_> {
    /// Whether the connection goes on.
    fn answer(&mut self, (line, headers): Head) -> bool {
        let mut words = line.split(' ').map(str::to_owned);
        let (method, uri) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let ssrcs = [self.lines[0].ssrc, self.lines[1].ssrc];
        let request = Request { method, uri, headers, connection: self.number, number: self.requests, ssrcs };
        self.requests += 1;
        self.shared.seen.lock().unwrap().push(request.clone());
        *self.heard.lock().unwrap() = Instant::now();
        let refusal = self.shared.login.as_ref().and_then(|login| login.refusal(&request));
        let refused = refusal.is_some();
        let mut reply = match refusal {
            Some(challenge) => Reply::new(401, "Unauthorized").with("WWW-Authenticate", &challenge),
            None => self.reply(&request),
        };
        for (method, change) in &self.shared.script.replies {
            if *method == request.method {
                reply = change(&request, reply);
            }
        }
        while self.shared.faults.stalled.load(Ordering::SeqCst) && !self.wire.is_closed() {
            std::thread::sleep(POLL);
        }
        if !reply.silent && !self.shared.faults.deaf.load(Ordering::SeqCst) {
            let bytes = reply.bytes(|text| self.fill(text, &request));
            if self.wire.send(&bytes).is_err() {
                return false;
            }
        }
        if !refused {
            self.act(&request, &reply);
        }
        !reply.close
    }

    /// A good answer.
    fn reply(&mut self, request: &Request) -> Reply {
        let ok = Reply::new(200, "OK");
        match &*request.method {
            "OPTIONS" => ok.with("Public", "OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, GET_PARAMETER"),
            "DESCRIBE" => {
                ok.with("Content-Type", "application/sdp").with("Content-Base", "{url}/").body(&self.shared.script.sdp)
            }
            "SETUP" => {
                let track = self.track(&request.uri);
                let ssrc = self.lines[track].ssrc;
                let transport = match request.transport("client_port") {
                    Some(port) => {
                        let client = SocketAddr::new(self.peer.ip(), port);
                        let pair = Pair::open(client, self.shared.script.sends_from);
                        let (client, server) = ((port, port + 1), (pair.port(), pair.port() + 1));
                        self.transports[track] = Some(Transport::Udp(pair));
                        format!(
                            "RTP/AVP;unicast;client_port={}-{};server_port={}-{};ssrc={ssrc:08X}",
                            client.0, client.1, server.0, server.1
                        )
                    }
                    None => {
                        let rtp = request.transport("interleaved").unwrap_or(0);
                        format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{};ssrc={ssrc:08X}", rtp + 1)
                    }
                };
                ok.with("Transport", &transport).with("Session", "{session};timeout=60")
            }
            "PLAY" => {
                let mut info = "url={url}/trackID=0;seq={seq0};rtptime={time0}".to_owned();
                if self.transports[1].is_some() {
                    info += ",url={url}/trackID=1;seq={seq1};rtptime={time1}";
                }
                ok.with("Session", "{session}").with("Range", "npt=0-").with("RTP-Info", &info)
            }
            "GET_PARAMETER" | "SET_PARAMETER" | "TEARDOWN" | "PAUSE" => ok.with("Session", "{session}"),
            _ => Reply::new(501, "Not Implemented"),
        }
    }

    /// Does what it was asked, once that is answered.
    fn act(&mut self, request: &Request, reply: &Reply) {
        let granted = reply.status == 200 || reply.raw.is_some() || reply.silent;
        match &*request.method {
            "SETUP" if granted && request.transport("client_port").is_none() => {
                let asked = request.transport("interleaved").unwrap_or(0);
                let rtp = number(reply.header("Transport"), "interleaved").unwrap_or(asked) as u8;
                let wire = self.wire.clone();
                let transport = Transport::Tcp { wire, rtp, rtcp: rtp.wrapping_add(1) };
                self.transports[self.track(&request.uri)] = Some(transport);
            }
            "PLAY" if granted => self.play(),
            "TEARDOWN" | "PAUSE" => self.leave(),
            _ => {}
        }
    }

    fn play(&mut self) {
        self.leave();
        self.playing = Arc::default();
        let [video, sound] = &mut self.transports;
        let [video_line, sound_line] = self.lines.clone();
        let pump = Pump {
            shared: self.shared.clone(),
            wire: self.wire.clone(),
            stop: self.playing.clone(),
            heard: self.heard.clone(),
            video: video.take().map(|transport| (transport, video_line)),
            sound: sound.take().map(|transport| (transport, sound_line)),
        };
        std::thread::spawn(move || pump.run());
    }

    fn leave(&mut self) {
        self.playing.store(true, Ordering::SeqCst);
    }

    fn track(&self, uri: &str) -> usize {
        let is_sound = uri.trim_end_matches('/').ends_with('1') || uri.contains("audio");
        usize::from(is_sound && self.shared.script.sound.is_some())
    }

    fn fill(&self, text: &str, request: &Request) -> String {
        let script = &self.shared.script;
        let url = format!("rtsp://{}{}", self.local, script.mount);
        let times = [0, 1].map(|track: usize| match &script.timestamps {
            Some(tell) if track == 0 => tell(0, std::time::Duration::ZERO),
            _ => self.lines[track].timestamp,
        });
        let mut text = text.replace("{sound}", script.sound.sdp());
        let values = [
            ("{url}", url),
            ("{cseq}", request.header("CSeq").to_owned()),
            ("{session}", format!("{:08}", 10_000 + self.number)),
            ("{ssrc0}", format!("{:08x}", self.lines[0].ssrc)),
            ("{ssrc1}", format!("{:08x}", self.lines[1].ssrc)),
            ("{seq0}", self.lines[0].sequence.to_string()),
            ("{seq1}", self.lines[1].sequence.to_string()),
            ("{time0}", times[0].to_string()),
            ("{time1}", times[1].to_string()),
            ("{sprop}", self.clip.sprop()),
            ("{profile}", self.clip.profile()),
        ];
        for (name, value) in values {
            text = text.replace(name, &value);
        }
        text
    }
}
