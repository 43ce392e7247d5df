//! Many cheap viewers, in a process of their own so that their CPU time is not the gateway's.
//!
//! The benchmark starts itself again with [`ARGUMENT`]; lines on standard input say what to do, each is answered by one
//! line. A viewer is a sans-I/O `rtc` client that does ICE and DTLS like any other, and after that only counts the media:
//! it is not decrypted, because a crowd of browsers would run on other machines.

mod feedback;
mod member;
mod overflow;
mod tally;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufReadExt;

use tally::Tally;
pub use tally::{Arrival, Frame};

/// Tells the benchmark's executable to be the crowd.
pub const ARGUMENT: &str = "--crowd";
/// Tells the crowd to give way.
const MEEK: &str = "--meek";
/// How much nicer it is then.
const NICER: i32 = 10;
/// For one viewer to join and see its first packet.
const JOIN_LIMIT: Duration = Duration::from_secs(20);
/// Viewers that join at the same time.
const AT_ONCE: usize = 4;

/// How SRTP protects the media: the one profile that a viewer offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// AEAD_AES_128_GCM (RFC 7714).
    Gcm,
    /// AES128_CM_HMAC_SHA1_80 (RFC 5764).
    Cm,
}

/// What a viewer offers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Offer {
    pub protection: Protection,
    /// The header extensions and the feedback of a browser.
    pub extensions: bool,
}

impl Offer {
    /// The cheapest to serve.
    pub const PLAIN: Self = Self { protection: Protection::Gcm, extensions: false };
    pub const BROWSER: Self = Self { extensions: true, ..Self::PLAIN };
}

/// What came to all viewers since the last [`Crowd::mark`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub received: u64,
    /// Gaps in the sequence numbers.
    pub lost: u64,
    /// Datagrams that came and that the crowd was too slow to read: it lost them, and not the sender.
    pub overflowed: u64,
    /// What viewers with [`Offer::extensions`] sent back.
    pub feedbacks: u64,
    /// Viewers that received nothing.
    pub starved: usize,
    /// The pictures that the first viewer received.
    pub frames: Vec<Frame>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Join { wheps: Vec<String>, count: usize, offer: Offer },
    Listen { count: usize },
    Mark,
    Report,
    Arrivals,
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
        Self::start_with(&[ARGUMENT])
    }

    /// Runs when nobody else wants to, as if it were on other machines: a datagram does not wake a viewer on the core of the
    /// thread that sends the next one. For measurements of time, which is taken by the kernel.
    pub fn start_meek() -> Self {
        Self::start_with(&[ARGUMENT, MEEK])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args(arguments)
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

    /// Adds viewers, who take turns with the cameras behind `wheps`, and waits until each has received a packet.
    pub fn join(&mut self, wheps: &[String], count: usize, offer: Offer) {
        self.ask(&Order::Join { wheps: wheps.to_vec(), count, offer })
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

    /// When each picture came to each viewer since the last mark.
    pub fn arrivals(&mut self) -> Vec<Vec<Arrival>> {
        self.ask(&Order::Arrivals)
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
    if std::env::args().any(|argument| argument == MEEK) {
        rustix::process::nice(NICER).expect("everybody may become nicer");
    }
    let mut members = Members::default();
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = members.obey(serde_json::from_str(&line).expect("an order")).await;
        println!("{}", reply.expect("plain data"));
    }
}

/// All viewers, and what they hold.
#[derive(Default)]
struct Members {
    tallies: Vec<Arc<Mutex<Tally>>>,
    resources: Vec<reqwest::Url>,
    ports: BTreeSet<u16>,
    /// At the last mark.
    overflowed: u64,
}

impl Members {
    async fn obey(&mut self, order: Order) -> serde_json::Result<String> {
        match order {
            Order::Join { wheps, count, offer } => {
                self.join(&wheps, count, offer).await;
                serde_json::to_string(&())
            }
            Order::Listen { count } => {
                let mut addresses = Vec::new();
                for _ in 0..count {
                    let (tally, address) = member::listen().await;
                    self.tallies.push(tally);
                    self.ports.insert(address.port());
                    addresses.push(address);
                }
                serde_json::to_string(&addresses)
            }
            Order::Mark => {
                self.tallies.iter().for_each(|tally| tally.lock().unwrap().mark());
                self.overflowed = overflow::count(&self.ports);
                serde_json::to_string(&())
            }
            Order::Report => serde_json::to_string(&self.report()),
            Order::Arrivals => {
                let arrivals: Vec<_> =
                    self.tallies.iter().map(|tally| tally.lock().unwrap().arrivals.clone()).collect();
                serde_json::to_string(&arrivals)
            }
            Order::Leave => {
                let http = client();
                for resource in self.resources.drain(..) {
                    let response: reqwest::Response = http.delete(resource).send().await.expect("DELETE");
                    assert!(response.status().is_success(), "DELETE: {}", response.status());
                }
                serde_json::to_string(&())
            }
        }
    }

    async fn join(&mut self, wheps: &[String], count: usize, offer: Offer) {
        let http = client();
        for start in (0..count).step_by(AT_ONCE) {
            let mut fresh = Vec::new();
            for index in start..count.min(start + AT_ONCE) {
                let joined = member::join(&http, &wheps[index % wheps.len()], offer).await;
                fresh.push(joined.tally);
                self.resources.push(joined.resource);
                self.ports.insert(joined.port);
            }
            all_served(&fresh).await;
            self.tallies.extend(fresh);
        }
    }

    fn report(&self) -> Report {
        let mut report = Report { overflowed: overflow::count(&self.ports) - self.overflowed, ..Report::default() };
        for (index, tally) in self.tallies.iter().enumerate() {
            let tally = tally.lock().unwrap();
            report.received += tally.received;
            report.lost += tally.lost;
            report.feedbacks += tally.feedbacks;
            report.starved += usize::from(tally.received == 0);
            if index == 0 {
                report.frames.clone_from(&tally.frames);
            }
        }
        report
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(JOIN_LIMIT).build().expect("an HTTP client")
}

async fn all_served(tallies: &[Arc<Mutex<Tally>>]) {
    let end = Instant::now() + JOIN_LIMIT;
    while tallies.iter().any(|tally| tally.lock().unwrap().received == 0) {
        assert!(Instant::now() < end, "a viewer received no packet within {JOIN_LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
