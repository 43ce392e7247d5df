//! Looks up host names with a deadline: the system's resolver may take half a minute without internet.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::lookup_host, time::timeout};

/// A name server that does not answer by then is asked again another time.
const DEADLINE: Duration = Duration::from_secs(5);

/// The addresses of `host`, which may be an address itself, each with `port`, in a fixed order: name servers turn theirs
/// around with every answer.
///
/// # Errors
/// What the system's resolver says, or that it took too long.
pub(super) async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(DEADLINE, lookup_host((host, port))).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
