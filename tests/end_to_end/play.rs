//! `camgate play` as a person runs it: what it measures, which step it says has failed, its exit code.

use std::{
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    LIMIT, gateway,
    support::{
        camera::{Audio, Camera},
        gateway::Gateway,
        wait,
    },
};

/// A run may wait for a camera, then watches; generous because the machine may be busy.
const RUN_LIMIT: Duration = Duration::from_secs(60);

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camgate"));
    command.arg("play").arg(url).args(arguments).env_remove("WHEP_TOKEN").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(mut command: Command) -> Output {
    tokio::time::timeout(RUN_LIMIT, command.output()).await.expect("it ends by itself").unwrap()
}

/// Exit code and the JSON object, which must be all there is on stdout.
async fn play(url: &str, arguments: &[&str]) -> (i32, Value) {
    let output = run(command(url, &[&["--json"], arguments].concat())).await;
    read(&output)
}

fn read(output: &Output) -> (i32, Value) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}:\n{stdout}\n{stderr}"));
    assert_eq!(stderr, "", "nothing but the report");
    assert_eq!(report["format"], 1);
    let code = output.status.code().unwrap();
    assert_eq!(code == 0, report["played"] == true, "{report}");
    assert_eq!(code == 0, report["failure"].is_null(), "{report}");
    (code, report)
}

/// Step and sentence of a run that fails.
async fn failure(url: &str, arguments: &[&str]) -> (String, String) {
    let (code, report) = play(url, arguments).await;
    assert_eq!(code, 1, "{report}");
    let failure = &report["failure"];
    let detail = failure["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with('.') && detail.starts_with(char::is_uppercase), "not a sentence: {detail}");
    (failure["step"].as_str().unwrap().to_owned(), detail)
}

#[tokio::test]
async fn a_camera_is_played_and_measured() {
    let camera = Camera::builder().audio(Audio::Opus).start();
    let gateway = gateway(&camera, "").await;
    let (code, report) = play(&gateway.whep("front"), &["--seconds", "4"]).await;
    assert_eq!(code, 0, "{report:#}");
    let ms = |step: &str| report["steps"][step].as_f64().unwrap_or_else(|| panic!("no {step} in {report:#}"));
    let steps = ["answer_ms", "ice_ms", "connected_ms", "first_packet_ms", "first_keyframe_ms"].map(ms);
    assert!(steps.is_sorted() && steps[0] > 0.0, "{steps:?}");
    let video = &report["video"];
    assert_eq!((&video["codec"], &video["profile"]), (&"H264".into(), &"Constrained Baseline".into()), "{video:#}");
    assert_eq!((video["width"].as_u64(), video["height"].as_u64()), (Some(320), Some(180)));
    // One keyframe each 15 frames; a busy machine may drop frames before the encoder, never in a GOP.
    assert_eq!(video["gop_frames"], 15.0, "{video:#}");
    assert!(video["fps"].as_f64().is_some_and(|fps| (5.0..=16.0).contains(&fps)), "{video:#}");
    let audio = &report["audio"];
    assert_eq!((&audio["codec"], &audio["clock_rate"]), (&"opus".into(), &48_000.into()), "{audio:#}");
    assert!(audio["packets"].as_u64() > Some(50), "{audio:#}");
    assert_eq!(report["pair"]["remote"]["port"].to_string(), gateway.webrtc_address().rsplit_once(':').unwrap().1);
    assert_eq!(report["notes"], Value::Array(Vec::new()), "a WHEP server without oddities");
    assert!(gateway.sessions().await.is_empty(), "the session is deleted");
}

#[tokio::test]
async fn a_person_reads_a_table() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let output = run(command(&gateway.whep("front"), &["--seconds", "1"])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("It plays.\n") && text.contains("first keyframe"), "{text}");
    assert!(
        text.contains("H264 Constrained Baseline") && text.contains("320x180") && text.contains("0 lost"),
        "{text}"
    );
}

#[tokio::test]
async fn a_camera_that_does_not_exist_is_named() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let (step, detail) = failure(&gateway.whep("back"), &[]).await;
    assert_eq!(step, "refused");
    assert_eq!(
        detail,
        "There is no such stream (404): There is no camera named \"back\": check the name, or add the camera to the gateway's \
         configuration."
    );
    let (step, detail) = failure(&gateway.url("/"), &[]).await;
    assert!(step == "refused" && detail.contains("no WHEP endpoint"), "{detail}");
}

#[tokio::test]
async fn a_camera_that_is_away_is_waited_for() {
    let mut camera = Camera::builder().start();
    camera.stop();
    let entry = camera.toml("front");
    let gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate"));
    let gateway = gateway.http("start_deadline_seconds = 1").config(entry).spawn().await;
    let (step, detail) = failure(&gateway.whep("front"), &["--timeout", "3"]).await;
    assert_eq!(step, "refused");
    assert!(detail.contains("409") && detail.contains("refuses"), "{detail}");
    let url = gateway.whep("front");
    let (come_back, (code, report)) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            camera.start_again();
        },
        play(&url, &["--timeout", "45", "--seconds", "1"])
    );
    let () = come_back;
    assert_eq!(code, 0, "{report:#}");
    assert!(report["steps"]["waited_ms"].as_f64() > Some(0.0), "{report:#}");
}

#[tokio::test]
async fn a_blocked_port_is_told_by_its_candidates() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    // TEST-NET-1 (RFC 5737), where nobody answers, in place of the true address.
    let port = gateway.webrtc_address().rsplit_once(':').unwrap().1.to_owned();
    let lost = Arc::new(move |answer: String| answer.replace(&format!("127.0.0.1 {port}"), "192.0.2.1 8189"));
    let url = rewriting(gateway.http_address().to_owned(), lost).await + "/whep/front";
    let (step, detail) = failure(&url, &["--timeout", "5"]).await;
    assert_eq!(step, "ice", "{detail}");
    assert!(detail.contains("ICE checks was answered on any of its 1 candidate (udp 192.0.2.1:8189)"), "{detail}");
    assert!(detail.contains("a firewall or NAT is in between"), "{detail}");
    assert!(detail.contains("TCP candidates were not tried"), "the gateway has some: {detail}");
    wait::until("the session is deleted", LIMIT, || async { gateway.sessions().await.is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn ctrl_c_ends_the_session_and_reports() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let mut child = command(&gateway.whep("front"), &["--json", "--seconds", "600"]);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    gateway.wait_sessions(1, LIMIT).await;
    // Until its picture is sure to be there.
    wait::until("packets are sent", LIMIT, || async {
        let sent = gateway.sessions().await[0]["packets_sent"].as_u64();
        (sent > Some(60)).then_some(())
    })
    .await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = tokio::time::timeout(RUN_LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
    let (code, report) = read(&output);
    assert_eq!(code, 0, "{report:#}");
    assert!(gateway.sessions().await.is_empty(), "the session is deleted");
}

#[tokio::test]
async fn servers_that_are_none_are_told_apart() {
    let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>";
    let (step, detail) = failure(&scripted(html).await, &[]).await;
    assert_eq!(step, "answer");
    assert!(detail.contains("said 200") && detail.contains("text/html") && detail.contains("<html>"), "{detail}");
    let (step, detail) = failure(&scripted("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await, &[]).await;
    assert_eq!((step.as_str(), detail.as_str()), ("answer", "The server said 201, but sent no answer."));
    let (step, detail) = failure(&scripted("SSH-2.0-OpenSSH_9.2\r\n").await, &[]).await;
    assert!(step == "http" && detail.contains("no HTTP response"), "{step}: {detail}");
    let (step, detail) = failure(&scripted("").await, &["--timeout", "3"]).await;
    assert!(step == "http" && detail.contains("did not answer within"), "{step}: {detail}");
    let moved = "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n";
    let (step, detail) = failure(&scripted(moved).await, &[]).await;
    assert!(step == "refused" && detail.contains("302") && detail.contains("/login"), "{step}: {detail}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/whep", listener.local_addr().unwrap());
    drop(listener);
    let (step, detail) = failure(&closed, &[]).await;
    assert!(step == "http" && detail.contains("refused"), "{step}: {detail}");
}

#[tokio::test]
async fn a_redirect_is_followed_with_the_offer() {
    let camera = Camera::builder().start();
    let gateway = gateway(&camera, "").await;
    let there = gateway.whep("front");
    let response = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n");
    let (code, report) = play(&scripted(&response).await, &["--seconds", "1"]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["redirected_to"], there);
    assert!(gateway.sessions().await.is_empty(), "the Location is relative to where the redirect led");
}

#[tokio::test]
async fn the_token_is_sent_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let denied = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    let (step, detail) = failure(&scripted(denied).await, &[]).await;
    assert!(step == "refused" && detail.contains("--token-file"), "{detail}");
    let (_, detail) = failure(&scripted(denied).await, &["--token-file", file.to_str().unwrap()]).await;
    assert!(detail.contains("does not accept the token") && !detail.contains("s3cret"), "{detail}");
    let echo = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\r\n$REQUEST";
    let mut by_environment = command(&scripted(echo).await, &["--json"]);
    by_environment.env("WHEP_TOKEN", "s3cret");
    let (_, report) = read(&run(by_environment).await);
    assert!(report["failure"]["detail"].as_str().unwrap().contains("authorization: Bearer s3cret"), "{report}");
    let in_the_url = run(command("http://user:pass@127.0.0.1/whep", &[])).await;
    assert_eq!(in_the_url.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&in_the_url.stderr).contains("--token-file"));
}

#[tokio::test]
async fn a_certificate_that_nobody_signed_is_accepted_only_when_asked_to() {
    let denied = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let url = with_tls(&scripted(denied).await).await;
    let (step, detail) = failure(&url, &[]).await;
    assert!(step == "http" && detail.contains("not trusted") && detail.contains("--insecure"), "{detail}");
    let (step, detail) = failure(&url, &["--insecure"]).await;
    assert_eq!((step.as_str(), detail.as_str()), ("refused", "There is no such stream (404)."));
    let plain = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).spawn().await;
    let (step, detail) = failure(&plain.whep("front").replace("http:", "https:"), &[]).await;
    assert!(step == "http" && detail.contains("does not speak TLS"), "{detail}");
}

/// An https URL that leads to an http one on this machine.
async fn with_tls(http: &str) -> String {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/whep", listener.local_addr().unwrap().port());
    let behind = http.trim_start_matches("http://").trim_end_matches("/whep").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that does not like the certificate hangs up here.
            let Ok(mut client) = acceptor.accept(client).await else { continue };
            let mut server = TcpStream::connect(&behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    url
}

/// A server that gives every request the same bytes, `$REQUEST` in them replaced by the request's head, and none with an
/// empty script: what cannot be provoked in a real one.
async fn scripted(response: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/whep", listener.local_addr().unwrap());
    let response = response.to_owned();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let (head, _) = request(&mut client).await;
            if response.is_empty() {
                silent.push(client);
            } else {
                let _ = client.write_all(response.replace("$REQUEST", &head).as_bytes()).await;
            }
        }
    });
    url
}

/// A proxy to the gateway's HTTP that takes the candidates out of offers, so that the gateway does not reach the viewer by
/// checks of its own, and changes the answers; one request per connection.
async fn rewriting(gateway: String, change: Arc<impl Fn(String) -> String + Send + Sync + 'static>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (head, body) = request(&mut client).await;
            let lines = body.split_inclusive('\n');
            let body = lines.filter(|line| !line.starts_with("a=candidate:")).collect();
            let mut server = TcpStream::connect(&gateway).await.unwrap();
            server.write_all(with_length(&head, body).as_bytes()).await.unwrap();
            let mut response = String::new();
            server.read_to_string(&mut response).await.unwrap();
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            let _ = client.write_all(with_length(head, change(body.to_owned())).as_bytes()).await;
        }
    });
    url
}

/// A message with the length of its body, and the wish to end the connection after it.
fn with_length(head: &str, body: String) -> String {
    let kept = |line: &&str| !line.starts_with("content-length:") && !line.starts_with("connection:");
    let head = head.lines().filter(|line| !line.is_empty()).filter(kept).collect::<Vec<_>>().join("\r\n");
    format!("{head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Head and body of a request.
async fn request(client: &mut TcpStream) -> (String, String) {
    let mut read = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        match client.read(&mut buffer).await {
            Ok(count @ 1..) => read.extend_from_slice(&buffer[..count]),
            _ => return (text, String::new()),
        }
    }
}
