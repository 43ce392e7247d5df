//! Between a camera and the gateway: passes RTSP over TCP on, and notes when each picture was passed on whole.
#![allow(unreachable_pub)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::harness::floor::since_1970;

/// A picture's RTP timestamp, and when its last packet was handed to the kernel, in nanoseconds since 1970.
pub type Passed = (u32, u64);

/// The channel of the first track's RTP where a client takes the channels in order (RFC 2326 section 10.12).
const RTP_CHANNEL: u8 = 0;

pub struct Relay {
    port: u16,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Relay {
    /// Its threads end with the process.
    pub fn start(camera_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let noted = passed.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let camera = TcpStream::connect((Ipv4Addr::LOCALHOST, camera_port)).expect("the camera listens");
                client.set_nodelay(true).expect("TCP");
                let (mut requests, mut to_camera) =
                    (client.try_clone().expect("TCP"), camera.try_clone().expect("TCP"));
                std::thread::spawn(move || std::io::copy(&mut requests, &mut to_camera));
                let noted = noted.clone();
                std::thread::spawn(move || pass(camera, client, &noted));
            }
        });
        Self { port, passed }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }

    /// The pictures passed on since the last call.
    pub fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.passed.lock().expect("nobody panics with it"))
    }
}

/// Until one side hangs up.
fn pass(mut camera: TcpStream, mut client: TcpStream, passed: &Mutex<Vec<Passed>>) {
    let mut buffer = vec![0; 1 << 16];
    let mut stream = Interleaved::default();
    while let Ok(length @ 1..) = camera.read(&mut buffer) {
        stream.pending.extend_from_slice(&buffer[..length]);
        let ended = stream.ended_pictures();
        let now = since_1970();
        passed.lock().expect("nobody panics with it").extend(ended.into_iter().map(|timestamp| (timestamp, now)));
        if client.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// RTSP with RTP in it (RFC 2326 section 10.12).
#[derive(Default)]
struct Interleaved {
    pending: Vec<u8>,
}

impl Interleaved {
    /// Timestamps of the pictures whose last packet is complete by now.
    fn ended_pictures(&mut self) -> Vec<u32> {
        let mut ended = Vec::new();
        while let Some(length) = self.message_length() {
            let message: Vec<u8> = self.pending.drain(..length).collect();
            if let [b'$', RTP_CHANNEL, _, _, _, marker, _, _, a, b, c, d, ..] = *message
                && marker & 0x80 != 0
            {
                ended.push(u32::from_be_bytes([a, b, c, d]));
            }
        }
        ended
    }

    /// Of the first message: `None` while it is incomplete.
    fn message_length(&self) -> Option<usize> {
        let length = match *self.pending {
            [b'$', _, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
            [b'$', ..] | [] => return None,
            _ => {
                let head = self.pending.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
                let text = String::from_utf8_lossy(&self.pending[..head]).to_ascii_lowercase();
                let body = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                head + body.unwrap_or(0)
            }
        };
        (self.pending.len() >= length).then_some(length)
    }
}
