//! What `camgate check` tells of the network: the candidates that a viewer would be offered now, and what is left out.

use std::sync::Arc;

use super::{BindError, Config, addresses::Addresses, port::Port, reader::Reader, transport::Transport};

/// Looks at this machine, the name servers and the STUN servers as the running gateway would: lines for a person. Takes
/// three seconds where a STUN server does not answer, five where a name server does not.
///
/// # Errors
/// When not even another port than the configured one can be opened.
pub async fn survey(config: &Config) -> Result<Vec<String>, BindError> {
    let mut lines = Vec::new();
    let opened = Port::bind(config.listen, config.max_tcp_connections).or_else(|error| {
        // Asking from another port finds the same address.
        lines.push(format!(
            "{error} (is camgate running?): asked from another port, so that the port behind a router differs, too"
        ));
        let mut any = config.listen;
        any.set_port(0);
        Port::bind(any, config.max_tcp_connections)
    });
    let port = opened?;
    let mut listen = port.local_address();
    if config.listen.port() != 0 {
        listen.set_port(config.listen.port());
    }
    let addresses = Arc::new(Addresses::new(config.clone(), listen));
    let taking = addresses.clone();
    let reader = Reader::start(port.udp.clone(), move |datagram| _ = taking.take(&datagram));
    let _reader = reader.map_err(|fault| BindError::new(listen, Transport::Udp, fault))?;
    addresses.find_out(&port.udp).await;
    let (gathered, _) = addresses.survey();
    lines.extend(gathered.offered.iter().map(|candidate| format!("viewers are offered {candidate}")));
    lines.extend(gathered.left_out.iter().map(|left_out| format!("viewers are not offered {left_out}")));
    Ok(lines)
}
