//! What arrives at the media port from who is no viewer.

use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use crate::{Row, offers::Dice, scene::Scene};

const DATAGRAMS: usize = 100_000;
/// Half of them at the viewer's address, the others at neighbours'.
const SOCKETS: usize = 64;
const CONNECTIONS: usize = 300;

/// A STUN message with this type and these attributes.
fn stun(kind: [u8; 2], dice: &mut Dice, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, value) in attributes {
        body.extend(number.to_be_bytes());
        body.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut message = kind.to_vec();
    message.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend((0..12).map(|_| dice.roll(256) as u8));
    message.extend(body);
    message
}

/// What somebody may know who has seen the viewer's packets go by: the user names are in them.
fn forged(user_name: &str, dice: &mut Dice) -> Vec<u8> {
    let noise: Vec<u8> = (0..dice.roll(200)).map(|_| dice.roll(256) as u8).collect();
    let integrity = [7; 20];
    let known: (u16, &[u8]) = (6, user_name.as_bytes());
    let proof: (u16, &[u8]) = (8, &integrity);
    match dice.roll(12) {
        0 => stun([0, 1], dice, &[known]),
        1 => stun([0, 1], dice, &[known, (0x25, &[]), (0x24, &[1, 2, 3, 4]), proof]),
        2 => stun([0, 1], dice, &[known, (0x802a, &[0; 8]), (0x25, &[]), proof, (0x8028, &[0; 4])]),
        3 => stun([0, 1], dice, &[(6, b"nobody:abcd"), proof]),
        4 => stun([1, 1], dice, &[(0x20, &[0, 1, 0, 0, 1, 2, 3, 4]), proof]),
        5 => stun([1, 0x11], dice, &[(9, &[0, 0, 4, 87])]),
        6 => stun([0, 0x11], dice, &[known]),
        7 => [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, noise.len() as u8, 1][..], &noise].concat(),
        8 => vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0],
        9 => [&[128, 96, 0, 1][..], &noise].concat(),
        10 => [&[129, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2][..], &noise].concat(),
        _ => noise,
    }
}

/// The user name of the viewer's checks.
fn user_name(scene: &Scene) -> String {
    let of = |sdp: &str| {
        let line = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        line.expect("a user name").trim().to_owned()
    };
    format!("{}:{}", of(scene.viewer.answer()), of(scene.viewer.offer()))
}

pub(crate) async fn spoofed(scene: &Scene) -> Row {
    let (user_name, mut dice) = (user_name(scene), Dice(0x2545_f491_4f6c_dd1d));
    let sockets: Vec<_> = (0..SOCKETS)
        .map(|number| {
            let address = if number % 2 == 0 { "127.0.0.1:0".to_owned() } else { format!("127.0.0.{}:0", number + 2) };
            let socket = UdpSocket::bind(address).expect("a port");
            socket.connect(scene.gateway.webrtc_address()).expect("an address");
            socket.set_nonblocking(true).expect("a socket");
            socket
        })
        .collect();
    let mut let_in = Vec::new();
    let listen = |let_in: &mut Vec<String>| {
        let mut answer = [0; 2_048];
        for socket in &sockets {
            while let Ok(length) = socket.recv(&mut answer) {
                let_in.push(format!("{:?}", &answer[..length.min(40)]));
            }
        }
    };
    for number in 0..DATAGRAMS {
        // The kernel may have no room for it, or an answer to the last may have been that nobody is there.
        let _ = sockets[number % SOCKETS].send(&forged(&user_name, &mut dice));
        if number % 500 == 0 {
            listen(&mut let_in);
            // What all arrives at once the gateway's kernel throws away.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    listen(&mut let_in);
    Row {
        attack: "forged STUN, DTLS, RTP and RTCP at the media port, also from other ports of the viewer's address and with its user name",
        let_in_when: "one is answered",
        tried: DATAGRAMS,
        let_in,
    }
}

/// The same on TCP, where the first frame has to be a check.
pub(crate) async fn connections(scene: &Scene) -> Row {
    let (user_name, mut dice) = (user_name(scene), Dice(0x1234_5678_9abc_def1));
    let mut let_in = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(scene.gateway.webrtc_address()).expect("a connection");
        for _ in 0..4 {
            let frame = forged(&user_name, &mut dice);
            let length = u16::try_from(frame.len()).expect("short") + if dice.roll(8) == 0 { 9_999 } else { 0 };
            // It may have been closed already.
            let _ = stream.write_all(&[&length.to_be_bytes()[..], &frame].concat());
        }
        stream.set_nonblocking(true).expect("a socket");
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for mut stream in streams {
        let mut answer = [0; 256];
        if let Ok(length @ 1..) = stream.read(&mut answer) {
            let_in.push(format!("{:?}", &answer[..length.min(40)]));
        }
    }
    Row {
        attack: "the same in TCP connections to the media port",
        let_in_when: "one is answered",
        tried: CONNECTIONS,
        let_in,
    }
}
