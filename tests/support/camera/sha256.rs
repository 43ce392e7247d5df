//! Digest authentication with SHA-256 (RFC 7616), which gst-rtsp-server 1.22 does not have.
//!
//! A relay in front of an RTSP server without a password: it answers requests that do not prove the
//! password with a challenge, and passes the others and everything that comes back. It parses only
//! what the client sends: requests, and interleaved RTCP once the client plays.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer::glib;

use super::auth::{Credentials, REALM};

/// Longest header or body a client of the tests sends.
const REQUEST_LIMIT: usize = 64 * 1024;

pub struct Gate {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// Listens on 127.0.0.1:`port` (0 = any) for the server at `backend`.
    pub fn start(port: u16, backend: u16, credentials: &Credentials) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("camera cannot listen on port {port}: {error}"));
        let port = listener.local_addr().expect("a bound port").port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, credentials) = (stop.clone(), credentials.clone());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", backend))) {
                    relay(client, server, credentials.clone());
                }
            }
        });
        Self { port, stop, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes accept().
        let address = ([127, 0, 0, 1], self.port).into();
        let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Two threads per connection; both end when either side closes.
fn relay(client: TcpStream, server: TcpStream, credentials: Credentials) {
    let (Ok(mut from_server), Ok(mut to_client)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let _ = pass_requests(client, &server, &credentials);
        let _ = server.shutdown(Shutdown::Both);
    });
}

/// Passes requests and interleaved frames until the client closes.
fn pass_requests(client: TcpStream, mut server: &TcpStream, credentials: &Credentials) -> io::Result<()> {
    let mut to_client = client.try_clone()?;
    let mut input = BufReader::new(client);
    while let Some(&first) = input.fill_buf()?.first() {
        if first == b'$' {
            let mut frame = vec![0; 4];
            input.read_exact(&mut frame)?;
            let length = u16::from_be_bytes([frame[2], frame[3]]);
            frame.resize(4 + usize::from(length), 0);
            input.read_exact(&mut frame[4..])?;
            server.write_all(&frame)?;
            continue;
        }
        let request = Request::read(&mut input)?;
        if request.proves(credentials) {
            server.write_all(&request.without_authorization())?;
        } else {
            to_client.write_all(request.challenge(credentials).as_bytes())?;
        }
    }
    Ok(())
}

struct Request {
    /// The request line and the headers, without line ends.
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut request = Self { lines: Vec::new(), body: Vec::new() };
        let mut head = input.take(REQUEST_LIMIT as u64);
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => request.lines.push(line.to_owned()),
            }
        }
        let length = request.header("content-length").and_then(|n| n.parse().ok());
        request.body = vec![0; length.unwrap_or(0).min(REQUEST_LIMIT)];
        input.read_exact(&mut request.body)?;
        Ok(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn proves(&self, credentials: &Credentials) -> bool {
        // OPTIONS is free, as with gst-rtsp-server.
        self.lines[0].starts_with("OPTIONS ") || self.try_proves(credentials).unwrap_or(false)
    }

    fn try_proves(&self, Credentials { user, password, .. }: &Credentials) -> Option<bool> {
        let digest = self.header("authorization")?.strip_prefix("Digest ")?;
        let field = |name: &str| {
            digest.split(',').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key.trim() == name).then(|| value.trim().trim_matches('"'))
            })
        };
        let method = self.lines[0].split(' ').next()?;
        let secret = sha256(&format!("{user}:{REALM}:{password}"));
        let request = sha256(&format!("{method}:{}", field("uri")?));
        let tail = match field("qop") {
            Some(qop) => format!("{}:{}:{qop}:", field("nc")?, field("cnonce")?),
            None => String::new(),
        };
        let expected = sha256(&format!("{secret}:{}:{tail}{request}", field("nonce")?));
        Some(field("username")? == user && field("algorithm")? == "SHA-256" && field("response")? == expected)
    }

    fn without_authorization(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            if !line.to_ascii_lowercase().starts_with("authorization:") {
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn challenge(&self, credentials: &Credentials) -> String {
        static CHALLENGES: AtomicU32 = AtomicU32::new(0);
        let number = CHALLENGES.fetch_add(1, Ordering::Relaxed);
        let nonce = sha256(&format!("camera nonce {number}"));
        let algorithm = credentials.scheme.gate_algorithm().unwrap_or_default();
        let sequence = self.header("cseq").unwrap_or("0");
        format!(
            "RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\nWWW-Authenticate: Digest \
             realm=\"{REALM}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\"\r\n\r\n"
        )
    }
}

fn sha256(text: &str) -> String {
    glib::compute_checksum_for_string(glib::ChecksumType::Sha256, text).expect("SHA-256 is always there").into()
}
