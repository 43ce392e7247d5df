//! Whether somebody listens where a camera is: a TCP connection to its RTSP port and nothing else.
//!
//! In: host and port of the camera's URL. Out: when a knock was answered, and why one was not. Called by the supervisor
//! while a camera is away, or silent. Says nothing on the connection, so that no camera counts it as a try to log in.
//!
//! A host name is looked up at each knock: a camera may come back at another address. A knock costs the network 2 packets
//! where the port is closed, 1 where nobody answers (on the camera's own network only the question who has the address), 6
//! where it is answered; all are of less than 80 bytes.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, sleep_until, timeout},
};

use super::{Error, error::is_out_of_descriptors};

/// Longest wait for a knock to be answered. Cameras answer within milliseconds, over a mobile network within 300; a knock that
/// was lost is not to keep the next from being heard.
const LIMIT: Duration = Duration::from_millis(500);
/// The same for a patient knock, which is what a camera needs that is woken by it: up to 8 s.
const PATIENT_LIMIT: Duration = Duration::from_secs(10);
/// From one patient knock to the next.
const PATIENT_EVERY: Duration = Duration::from_secs(30);
/// For the name server. Resolvers try again after 5 s; a second round is left to the next try. A look-up goes on in a thread
/// when it is given up, so that they must not come more often than they end.
const RESOLVE_LIMIT: Duration = Duration::from_secs(6);

/// Where a camera listens.
#[derive(Clone, Debug)]
pub(super) struct Door {
    host: String,
    port: u16,
    peer: String,
}

impl Door {
    /// `host` without brackets.
    pub(super) fn new(host: &str, port: u16, peer: &str) -> Self {
        Self { host: host.to_owned(), port, peer: peer.to_owned() }
    }

    /// Knocks at `first` and `every` so often after it until somebody answers. `knocked` is told of each knock but the patient
    /// ones, `unheard` why it was not answered.
    pub(super) async fn answered(
        &self,
        first: Instant,
        every: Duration,
        knocked: impl FnMut(),
        unheard: impl FnMut(Error),
    ) {
        tokio::select! {
            () = self.answers(first, every, LIMIT, knocked, unheard) => {}
            () = self.answers(Instant::now() + PATIENT_EVERY, PATIENT_EVERY, PATIENT_LIMIT, || {}, drop) => {}
        }
    }

    async fn answers(
        &self,
        first: Instant,
        every: Duration,
        limit: Duration,
        mut knocked: impl FnMut(),
        mut unheard: impl FnMut(Error),
    ) {
        let mut due = first;
        loop {
            sleep_until(due).await;
            due += every;
            knocked();
            match self.knock_within(limit).await {
                Ok(()) => return,
                Err(error) => unheard(error),
            }
            due = due.max(Instant::now());
        }
    }

    /// One knock.
    ///
    /// # Errors
    /// Nobody answered.
    pub(super) async fn knock(&self) -> Result<(), Error> {
        self.knock_within(LIMIT).await
    }

    /// One knock that is answered, or not, within `limit`.
    ///
    /// # Errors
    /// Nobody answered.
    pub(super) async fn knock_within(&self, limit: Duration) -> Result<(), Error> {
        let addresses = self.addresses().await?;
        match timeout(limit, TcpStream::connect(&*addresses)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::unconnected(&self.peer, &error)),
            Err(_) => Err(Error::Unreachable { peer: self.peer.clone(), reason: "no answer".into() }),
        }
    }

    /// The addresses of the host, at least one.
    ///
    /// # Errors
    /// Its name has none.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let dns = |reason: String| Error::Dns { host: self.host.clone(), reason };
        match timeout(RESOLVE_LIMIT, lookup_host((&*self.host, self.port))).await {
            Ok(Ok(addresses)) => {
                let addresses: Vec<_> = addresses.collect();
                if addresses.is_empty() { Err(dns("none is known".into())) } else { Ok(addresses) }
            }
            Ok(Err(error)) if is_out_of_descriptors(&error) => Err(Error::NoDescriptors { peer: self.peer.clone() }),
            Ok(Err(error)) => Err(dns(error.to_string())),
            Err(_) => Err(dns(format!("the name server did not answer within {} s", RESOLVE_LIMIT.as_secs()))),
        }
    }
}
