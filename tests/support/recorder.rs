//! Keeps everything that a gateway answers over HTTP, to tests and browsers alike: stands in front of it and passes on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// More than any test is answered; what is beyond is passed on and not kept.
const MOST: usize = 64 << 20;

/// A port before that of a gateway. It closes with this value; connections live as long as their ends.
pub struct Recorder {
    address: SocketAddr,
    answered: Arc<Mutex<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Opens a port of this machine.
    pub fn before(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (answered, stop) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicBool>::default());
        let (kept, stopped) = (answered.clone(), stop.clone());
        let accepting = thread::spawn(move || {
            for client in listener.incoming().take_while(|_| !stopped.load(Ordering::Relaxed)).flatten() {
                let kept = kept.clone();
                thread::spawn(move || drop(connect(client, gateway, &kept)));
            }
        });
        Self { address, answered, stop, accepting: Some(accepting) }
    }

    /// Where to ask instead of the gateway.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that was answered so far.
    pub fn answered(&self) -> String {
        String::from_utf8_lossy(&self.answered.lock().unwrap()).into_owned()
    }
}

impl Recorder {
    /// Closes the port, which another gateway may have then.
    pub fn close(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
        let _ = accepting.join();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

/// Passes on what a client and the gateway say, until both have ended.
fn connect(client: TcpStream, gateway: SocketAddr, answered: &Mutex<Vec<u8>>) -> io::Result<()> {
    let gateway = TcpStream::connect(gateway)?;
    for end in [&client, &gateway] {
        end.set_nodelay(true)?;
    }
    let (mut from_client, mut to_gateway) = (client.try_clone()?, gateway.try_clone()?);
    let asking = thread::spawn(move || {
        let asked = io::copy(&mut from_client, &mut to_gateway);
        let _ = to_gateway.shutdown(Shutdown::Write);
        // The gateway may have hung up in the middle of a request; its answer is on the way all the same.
        drop(asked);
    });
    let answering = pass_on(&gateway, &client, answered);
    // Whoever hangs up on one side hangs up on the other.
    let _ = (client.shutdown(Shutdown::Write), gateway.shutdown(Shutdown::Read));
    if answering.is_err() {
        let _ = (client.shutdown(Shutdown::Both), gateway.shutdown(Shutdown::Both));
    }
    let _ = asking.join();
    answering
}

fn pass_on(mut gateway: &TcpStream, mut client: &TcpStream, answered: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = gateway.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut kept = answered.lock().unwrap();
        if kept.len() < MOST {
            kept.extend_from_slice(&buffer[..length]);
        }
        drop(kept);
        client.write_all(&buffer[..length])?;
    }
}
