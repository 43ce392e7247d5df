//! WS-Discovery (OASIS, April 2005): one question to everybody, and who answers.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use crate::xml::{Document, readable};

/// Where devices listen (ONVIF Core section 7).
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 3_702);
/// When the question is sent: datagrams get lost, and devices wait up to 0.5 s so as not to answer all at once.
const ASK_AT: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1_000)];
/// Devices asked about; more is a network of its own, or somebody's joke.
const MAX_DEVICES: usize = 256;
/// The device service's addresses of one device that are looked at.
const MAX_ADDRESSES: usize = 8;
/// What a device may be: cameras say the first, some recorders and doorbells only the second. `Types` must all be met, so
/// each has a question of its own.
const TYPES: [&str; 2] = [
    r#"xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><w:Types>dn:NetworkVideoTransmitter</w:Types>"#,
    r#"xmlns:dn="http://www.onvif.org/ver10/device/wsdl"><w:Types>dn:Device</w:Types>"#,
];

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the answer came from.
    pub(super) from: IpAddr,
    /// Where it says it is, as it says.
    pub(super) addresses: Vec<String>,
    /// What it is called, as it says.
    pub(super) name: Option<String>,
    /// What it is, as it says.
    pub(super) hardware: Option<String>,
}

/// Asks from each of `interfaces`, and gathers answers until `wait` is over. Answers of one device are taken together.
pub(super) async fn probe(interfaces: &[(Ipv4Addr, Ipv4Addr)], wait: Duration) -> io::Result<Vec<Found>> {
    let end = Instant::now() + wait;
    let mut asking = JoinSet::new();
    let mut broken = None;
    for &(ip, mask) in interfaces {
        match socket(ip) {
            Ok(socket) => drop(asking.spawn(ask(socket, (ip, mask), end))),
            Err(error) => broken = Some(error),
        }
    }
    if let (true, Some(error)) = (asking.is_empty(), broken) {
        return Err(error);
    }
    let mut devices = BTreeMap::new();
    for found in asking.join_all().await.into_iter().flatten() {
        if devices.len() < MAX_DEVICES {
            devices.entry(found.from).or_insert(found);
        }
    }
    Ok(devices.into_values().collect())
}

fn socket(ip: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((ip, 0)).into())?;
    socket.set_multicast_if_v4(&ip)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

async fn ask(socket: UdpSocket, network: (Ipv4Addr, Ipv4Addr), end: Instant) -> Vec<Found> {
    let start = Instant::now();
    let asking = async {
        for at in ASK_AT {
            sleep_until(start + at).await;
            for types in TYPES {
                // A network that is down now may be up for the next.
                let _ = socket.send_to(question(types).as_bytes(), GROUP).await;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut found = Vec::new();
    let listening = async {
        let mut datagram = vec![0; 65_536];
        while let Ok(received) = timeout_at(end, socket.recv_from(&mut datagram)).await {
            // An error is about a datagram of ours that was refused.
            let Ok((length, from)) = received else { continue };
            if is_in(network, from.ip()) && found.len() < MAX_DEVICES * ASK_AT.len() {
                found.extend(read(&datagram[..length], from.ip()));
            }
        }
    };
    tokio::select! {
        () = asking => {}
        () = listening => {}
    }
    found
}

/// Whether a sender is in the network that was asked. The address of a datagram can be forged, and whoever answers is asked.
fn is_in((ip, mask): (Ipv4Addr, Ipv4Addr), from: IpAddr) -> bool {
    matches!(from, IpAddr::V4(from) if from & mask == ip & mask)
}

fn question(types: &str) -> String {
    let id = uuid();
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.xmlsoap.org/ws/2005/04/discovery"><e:Header><a:MessageID>uuid:{id}</a:MessageID><a:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To><a:Action e:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action></e:Header><e:Body><w:Probe {types}</w:Probe></e:Body></e:Envelope>"#
    )
}

/// Version 4 (RFC 9562 section 5.4).
fn uuid() -> String {
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// An answer; `None` for what is none.
fn read(datagram: &[u8], from: IpAddr) -> Option<Found> {
    let text = std::str::from_utf8(datagram).ok()?;
    let document = Document::read(text)?;
    let answer = document.first("ProbeMatch")?;
    let words =
        |name: &str| answer.text(name).map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let scopes = words("Scopes").unwrap_or_default();
    let scope = |kind: &str| {
        let value = scopes.iter().find_map(|scope| scope.strip_prefix("onvif://www.onvif.org/")?.strip_prefix(kind))?;
        let value = percent_encoding::percent_decode_str(value.strip_prefix('/')?).decode_utf8_lossy();
        Some(readable(&value))
    };
    let mut addresses = words("XAddrs").unwrap_or_default();
    addresses.truncate(MAX_ADDRESSES);
    Some(Found { from, addresses, name: scope("name"), hardware: scope("hardware") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn answer(scopes: &str, addresses: &str) -> String {
        format!(
            r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><s:Body><d:ProbeMatches><d:ProbeMatch><d:Types>dn:x</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{addresses}</d:XAddrs></d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"#
        )
    }

    #[test]
    fn an_answer_names_the_device_and_its_addresses() {
        let scopes =
            "onvif://www.onvif.org/type/ptz onvif://www.onvif.org/name/Front%20door onvif://www.onvif.org/hardware/X-1";
        let found = read(answer(scopes, "http://192.0.2.7/onvif/device_service http://[fe80::1]/x").as_bytes(), FROM);
        let found = found.unwrap();
        assert_eq!((found.name.as_deref(), found.hardware.as_deref()), (Some("Front door"), Some("X-1")));
        assert_eq!(found.addresses.len(), 2);
        assert_eq!(found.from, FROM);
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let found = read(answer("onvif://www.onvif.org/name/%1B%5B2Jcam", "").as_bytes(), FROM).unwrap();
        assert_eq!(found.name.as_deref(), Some("\\u{1b}[2Jcam"));
    }

    #[test]
    fn what_is_no_answer_is_left_out() {
        let bomb = r#"<!DOCTYPE a [<!ENTITY b "bbbbbbbb">]><a>&b;</a>"#;
        for text in ["", "<", "<a/>", bomb, &format!("{}x", "<a>".repeat(20_000)), &question(TYPES[0])] {
            assert_eq!(read(text.as_bytes(), FROM), None);
        }
        assert_eq!(read(&[0xff; 100], FROM), None);
    }

    #[test]
    fn answers_from_other_networks_do_not_count() {
        let network = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(255, 255, 255, 0));
        assert!(is_in(network, FROM));
        for other in [[192, 0, 3, 7], [127, 0, 0, 1], [169, 254, 169, 254]] {
            assert!(!is_in(network, other.into()), "{other:?}");
        }
    }

    #[test]
    fn a_question_is_xml() {
        for types in TYPES {
            let text = question(types);
            let document = Document::read(&text).unwrap();
            assert!(document.first("Probe").and_then(|probe| probe.text("Types")).is_some());
        }
        let id = uuid();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    }
}
