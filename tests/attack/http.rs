//! HTTP that nobody honest sends.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    LIMIT, Row,
    scene::{Scene, statuses},
};

/// Connections that begin and do not end.
const SLOW: usize = 200;

/// Requests that begin: nothing, a line, headers, a body.
pub(crate) async fn begin_slowly(scene: &Scene) -> Vec<TcpStream> {
    let bearer = format!("authorization: Bearer {}\r\n", scene.token);
    let beginnings = [
        String::new(),
        "GET / HT".to_owned(),
        format!("GET /metrics HTTP/1.1\r\nhost: x\r\n{bearer}x-slow: "),
        format!(
            "POST /whep/front HTTP/1.1\r\nhost: x\r\n{bearer}content-type: application/sdp\r\ncontent-length: 999\r\n\r\nv="
        ),
    ];
    let connect = |number: usize| {
        let mut stream = TcpStream::connect(scene.gateway.direct_http_address()).expect("a connection");
        stream.write_all(beginnings[number % beginnings.len()].as_bytes()).expect("it is taken");
        stream
    };
    (0..SLOW).map(connect).collect()
}

/// They go on, a byte at a time, and are all closed in the end.
pub(crate) async fn end_slowly(scene: &Scene, mut streams: Vec<TcpStream>) -> Row {
    assert_eq!(scene.gateway.get("/healthz").await.expect("an answer").status(), 200, "others are answered meanwhile");
    let mut let_in = Vec::new();
    let end = Instant::now() + LIMIT;
    streams.iter().for_each(|stream| stream.set_nonblocking(true).expect("a socket"));
    while !streams.is_empty() && Instant::now() < end {
        streams.retain_mut(|stream| {
            let _ = stream.write(b"a");
            let mut answer = vec![0; 4_096];
            match stream.read(&mut answer) {
                Ok(0) => false,
                Ok(length) => {
                    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
                    let_in.extend(statuses(&answer).iter().any(|status| *status < 400).then_some(answer));
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let_in.extend(streams.iter().map(|_| "it is still open".to_owned()));
    Row {
        attack: "slow loris: headers and bodies a byte at a time",
        let_in_when: "it is answered, or not closed",
        tried: SLOW,
        let_in,
    }
}

/// A request with these header lines, with credentials that are good.
fn request(scene: &Scene, line: &str, headers: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line}\r\nhost: x\r\nauthorization: Bearer {}\r\n", scene.token).into_bytes();
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Broken and oversized requests of somebody who may ask.
pub(crate) async fn malformed(scene: &Scene) -> Row {
    let get = "GET /whep/front HTTP/1.1";
    let post = "POST /whep/front HTTP/1.1";
    let sdp = "content-type: application/sdp\r\n";
    let mut tries: Vec<Vec<u8>> = Vec::new();
    for headers in [
        &b"x: a\0b"[..],
        b"x\0: a",
        b"x y: a",
        b": a",
        b"x: a\r\n b: folded",
        b"\xff\xfe: a",
        b"x",
        b"x: \x01\x02",
        b"x: \x1b[31m\x7f",
        b"x(y): a",
        b"content-length: -1",
        b"content-length: +5",
        b"content-length: 5 5",
        b"content-length: 99999999999999999999999",
        b"content-length: 18446744073709551616",
        b"content-length: 1e3",
        b"content-length: 0x10",
        b"transfer-encoding: gzip",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: xchunked",
    ] {
        tries.push(request(scene, get, headers, b""));
    }
    for line in [
        "GET",
        "GET /whep/front",
        "GET  /whep/front HTTP/1.1",
        "GET /whep/front HTTP/9.9",
        "GET /whep/front HTTP/1.1 HTTP/1.1",
        "GET /whep/front\0 HTTP/1.1",
        "GET /whep/ front HTTP/1.1",
        "G\u{e4}T /whep/front HTTP/1.1",
        "GET whep/front HTTP/1.1",
        "get /whep/front HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "TRACE /whep/front HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET http://\0/ HTTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        tries.push(request(scene, line, b"x: y", b""));
    }
    for size in ["-1", "g", "0x5", "ffffffffffffffffffff", "5;\0", "5\n", " ", "5 5"] {
        let headers = format!("{sdp}transfer-encoding: chunked");
        tries.push(request(scene, post, headers.as_bytes(), format!("{size}\r\nhello\r\n0\r\n\r\n").as_bytes()));
    }
    for length in [1 << 16, 1 << 20] {
        tries.push(request(scene, &format!("GET /{} HTTP/1.1", "a".repeat(length)), b"x: y", b""));
        tries.push(request(scene, get, format!("x: {}", "a".repeat(length)).as_bytes(), b""));
        tries.push(request(scene, &format!("{} / HTTP/1.1", "A".repeat(length)), b"x: y", b""));
        let headers = format!("{sdp}content-length: {}", length + 1);
        tries.push(request(scene, post, headers.as_bytes(), "v".repeat(length + 1).as_bytes()));
    }
    tries.push(request(scene, get, "x: y\r\n".repeat(10_000).trim_end().as_bytes(), b""));
    tries.push(request(scene, post, format!("{sdp}content-length: 4").as_bytes(), b"\xff\xfe\0\x01"));
    tries.push((0..=255).cycle().take(100_000).collect());
    let mut let_in = Vec::new();
    for bytes in &tries {
        let answer = scene.raw(bytes);
        if statuses(&answer).iter().any(|status| *status < 400 || (*status >= 500 && *status != 501)) {
            let_in.push(format!("{:?}: {answer:.200}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)])));
        }
    }
    Row {
        attack: "malformed and oversized HTTP with good credentials: NUL, bad UTF-8, absurd lengths, broken chunks, huge headers",
        let_in_when: "it is answered other than 4xx or by hanging up",
        tried: tries.len(),
        let_in,
    }
}

/// A request inside of another, for a reverse proxy that reads the boundary otherwise.
pub(crate) async fn smuggled(scene: &Scene) -> Row {
    let inner = format!("GET /api/v1/user HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", scene.other_token);
    let post = "POST /whep/front HTTP/1.1";
    let chunked_end = format!("0\r\n\r\n{inner}");
    let length = |n: usize| format!("content-length: {n}");
    let both = |first: &str, second: &str| format!("{first}\r\n{second}");
    let chunked = "transfer-encoding: chunked";
    let forms = [
        both(&length(chunked_end.len()), chunked),
        both(chunked, &length(chunked_end.len())),
        both(&length(5), &length(chunked_end.len())),
        both(&length(chunked_end.len()), &length(5)),
        "content-length: 5, 6".to_owned(),
        both("transfer-encoding: chunked", "transfer-encoding: identity"),
        both("transfer-encoding: identity", &length(5)),
        both("transfer-encoding : chunked", &length(5)),
        both("transfer-encoding:\u{b}chunked", &length(5)),
        both("transfer-encoding: \"chunked\"", &length(5)),
        both("x: y\n transfer-encoding: chunked", &length(5)),
        both("transfer-encoding: chunked, chunked", &length(5)),
    ];
    let mut let_in = Vec::new();
    for form in &forms {
        let answer = scene.raw(&request(scene, post, form.as_bytes(), chunked_end.as_bytes()));
        if answer.contains("\"other\"") || statuses(&answer).contains(&200) {
            let_in.push(format!("{form:?}: {answer}"));
        }
    }
    Row {
        attack: "request smuggling: two lengths, a length and chunks, hidden encodings",
        let_in_when: "what is inside is answered too",
        tried: forms.len(),
        let_in,
    }
}

/// Ways out of the folder of the pages.
pub(crate) async fn traversal(scene: &Scene) -> Row {
    let steps = ["..", "%2e%2e", ".%2e", "..%00", "%252e%252e", "..;", "..%c0%af", "%c0%ae%c0%ae", "....//"];
    let slashes = ["/", "%2f", "\\", "%5c", "//", "%252f"];
    let wanted = ["etc/passwd", "Cargo.toml", "config.toml", "metrics"];
    let starts = ["/", "/assets/", "/watch/", "/whep/"];
    let mut tried = 0;
    let mut let_in = Vec::new();
    for start in starts {
        for (step, slash) in steps.iter().flat_map(|step| slashes.iter().map(move |slash| (step, slash))) {
            for wanted in wanted {
                // Who asks may not read the metrics.
                let path = format!("{start}{}{wanted}", format!("{step}{slash}").repeat(3));
                let line = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ");
                let answer = scene.raw(format!("{line}{}\r\n\r\n", scene.other_token).as_bytes());
                tried += 1;
                if statuses(&answer).iter().any(|status| *status < 400 || *status >= 500) {
                    let_in.push(format!("{path}: {answer:.200}"));
                }
            }
        }
    }
    Row { attack: "path traversal", let_in_when: "anything is answered", tried, let_in }
}
