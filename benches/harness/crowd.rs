//! Many cheap viewers, in a process of their own so that their CPU time is not the gateway's.
//!
//! The benchmark starts itself again with [`ARGUMENT`]; lines on standard input say what to do, each is answered by one
//! line. A viewer is a sans-I/O `rtc` client that does ICE and DTLS like any other, and after that only counts the media:
//! it is not decrypted, because a crowd of browsers would run on other machines.

mod member;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufReadExt;

use member::Tally;

/// Tells the benchmark's executable to be the crowd.
pub const ARGUMENT: &str = "--crowd";
/// For one viewer to join and see its first packet.
const JOIN_LIMIT: Duration = Duration::from_secs(20);
/// Viewers that join at the same time.
const AT_ONCE: usize = 4;

/// A picture as it came over the network: protected RTP packets, and the bytes of all of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Frame {
    pub packets: usize,
    pub bytes: usize,
}

/// What came to all viewers since the last [`Crowd::mark`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub received: u64,
    /// Gaps in the sequence numbers.
    pub lost: u64,
    /// Viewers that received nothing.
    pub starved: usize,
    /// The pictures that the first viewer received.
    pub frames: Vec<Frame>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Join { whep: String, count: usize },
    Listen { count: usize },
    Mark,
    Report,
    Leave,
}

/// The crowd as the benchmark sees it. Dropping it ends the process.
pub struct Crowd {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    pub fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    fn ask<T: for<'de> Deserialize<'de>>(&mut self, order: &Order) -> T {
        let line = serde_json::to_string(order).expect("plain data");
        writeln!(self.input, "{line}").expect("the crowd listens");
        let mut reply = String::new();
        self.output.read_line(&mut reply).expect("the crowd answers");
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {order:?} was answered {reply:?}"))
    }

    /// Adds viewers of `whep` and waits until each has received a packet.
    pub fn join(&mut self, whep: &str, count: usize) {
        self.ask(&Order::Join { whep: whep.to_owned(), count })
    }

    /// Opens sockets that only count what comes.
    pub fn listen(&mut self, count: usize) -> Vec<SocketAddr> {
        self.ask(&Order::Listen { count })
    }

    /// Begins a new count.
    pub fn mark(&mut self) {
        self.ask(&Order::Mark)
    }

    pub fn report(&mut self) -> Report {
        self.ask(&Order::Report)
    }

    /// All viewers DELETE their sessions.
    pub fn leave(&mut self) {
        self.ask(&Order::Leave)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this process was started to be the crowd.
pub fn is_wanted() -> bool {
    std::env::args().any(|argument| argument == ARGUMENT)
}

/// The crowd's main function: obeys until standard input ends.
pub async fn run() {
    let http = reqwest::Client::builder().no_proxy().timeout(JOIN_LIMIT).build().expect("an HTTP client");
    let mut tallies: Vec<Arc<Mutex<Tally>>> = Vec::new();
    let mut resources = Vec::new();
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match serde_json::from_str(&line).expect("an order") {
            Order::Join { whep, count } => {
                for start in (0..count).step_by(AT_ONCE) {
                    let mut fresh = Vec::new();
                    for _ in start..count.min(start + AT_ONCE) {
                        let (tally, resource) = member::join(&http, &whep).await;
                        fresh.push(tally);
                        resources.push(resource);
                    }
                    all_served(&fresh).await;
                    tallies.extend(fresh);
                }
                serde_json::to_string(&())
            }
            Order::Listen { count } => {
                let mut addresses = Vec::new();
                for _ in 0..count {
                    let (tally, address) = member::listen().await;
                    tallies.push(tally);
                    addresses.push(address);
                }
                serde_json::to_string(&addresses)
            }
            Order::Mark => {
                tallies.iter().for_each(|tally| tally.lock().unwrap().mark());
                serde_json::to_string(&())
            }
            Order::Report => serde_json::to_string(&report(&tallies)),
            Order::Leave => {
                for resource in resources.drain(..) {
                    let response: reqwest::Response = http.delete(resource).send().await.expect("DELETE");
                    assert!(response.status().is_success(), "DELETE: {}", response.status());
                }
                serde_json::to_string(&())
            }
        };
        println!("{}", reply.expect("plain data"));
    }
}

async fn all_served(tallies: &[Arc<Mutex<Tally>>]) {
    let end = Instant::now() + JOIN_LIMIT;
    while tallies.iter().any(|tally| tally.lock().unwrap().received == 0) {
        assert!(Instant::now() < end, "a viewer received no packet within {JOIN_LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn report(tallies: &[Arc<Mutex<Tally>>]) -> Report {
    let mut report = Report::default();
    for (index, tally) in tallies.iter().enumerate() {
        let tally = tally.lock().unwrap();
        report.received += tally.received;
        report.lost += tally.lost;
        report.starved += usize::from(tally.received == 0);
        if index == 0 {
            report.frames.clone_from(&tally.frames);
        }
    }
    report
}
