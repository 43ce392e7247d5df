//! HTTPS by the gateway itself: a certificate of its own making, renewed while it runs, and what bad callers get.

use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    LIMIT,
    auth::{PASSWORD, user},
    auth_page::{PLAYING, cookies, log_in},
    support::{
        browser::Browser,
        camera::{Audio, Camera},
        gateway::{Builder, Gateway, client},
        network::{GATEWAY, Network},
        wait::until,
    },
};

/// A certificate of its own making for 127.0.0.1 and `name`, and its key, in PEM.
pub(crate) fn certificate(name: &str) -> (String, String) {
    let names = vec!["127.0.0.1".to_owned(), name.to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn builder() -> Builder {
    let (certificate, key) = certificate("cam.example.org");
    Gateway::builder(env!("CARGO_BIN_EXE_camgate")).tls(&certificate, &key)
}

/// The names in the certificate that a new connection gets, and the protocol that is agreed on.
async fn shown(
    gateway: &Gateway,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocols: &[&str],
) -> (Vec<u8>, String) {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let mut config = config
        .dangerous()
        .with_custom_certificate_verifier(std::sync::Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.http_address()).await.expect("a connection");
    let name = "cam.example.org".try_into().expect("a name");
    let stream = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await;
    let stream = stream.expect("a handshake");
    let connection = stream.get_ref().1;
    let protocol = String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default()).into_owned();
    (connection.peer_certificates().expect("a certificate")[0].to_vec(), protocol)
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody(std::sync::Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_person_logs_in_and_watches_with_sound() {
    let camera = Camera::builder().audio(Audio::Opus).start();
    let config = format!("{}\n{}", camera.toml("front"), user("anna", "").await);
    let gateway = builder().config(config).spawn().await;
    let browser = Browser::builder()
        .flag("--ignore-certificate-errors")
        .autoplay_policy("no-user-gesture-required")
        .start()
        .await;
    browser.open(&gateway.url("/watch/front?sound=1")).await;
    assert_eq!(browser.eval("isSecureContext").await, true);
    log_in(&browser, PASSWORD).await;
    browser.wait_for(PLAYING, LIMIT).await;
    let (kept, _) = cookies(&browser).await;
    assert_eq!((kept.len(), &kept[0]["secure"]), (1, &json!(true)), "{kept:?}");
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "h2");
    browser.wait_for("!document.querySelector('video').muted", LIMIT).await;
    browser.wait_decoded(10, LIMIT).await;
    let heard = async || browser.audio_stats().await.filter(|sound| sound.total_audio_energy > 0.0);
    until("sound", LIMIT, heard).await;

    let socket = "return await new Promise((done) => { \
        const socket = new WebSocket(location.origin.replace('https', 'wss') + '/api/ws?src=front'); \
        socket.onopen = () => done('open'); socket.onerror = () => done('refused'); });";
    assert_eq!(browser.run(socket).await, "open");
    browser.open(&gateway.url("/")).await;
    browser.wait_for("document.querySelector('#summary').textContent === '1 camera, 1 live'", LIMIT).await;
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|line| line.contains("401")), "{errors:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let gateway = builder().spawn().await;
    let now = [&rustls::version::TLS13, &rustls::version::TLS12];
    let (first, protocol) = shown(&gateway, &now, &["h2", "http/1.1"]).await;
    assert_eq!(protocol, "h2");
    assert_eq!(shown(&gateway, &[&rustls::version::TLS12], &["http/1.1"]).await, (first.clone(), "http/1.1".into()));
    let metrics = gateway.get("/metrics").await.expect("an answer").text().await.expect("a text");
    let expiry = metrics.lines().find_map(|line| line.strip_prefix("camgate_certificate_expiry_timestamp_seconds "));
    assert!(expiry.is_some_and(|seconds| seconds.parse::<f64>().is_ok_and(|seconds| seconds > 1e9)), "{metrics}");

    let (renewed, key) = certificate("new.example.org");
    std::fs::write(gateway.dir().join("cert.pem"), &renewed).expect("a file");
    gateway.wait_log("are of no use: the key is not that of the certificate; the old certificate", LIMIT).await;
    assert_eq!(shown(&gateway, &now, &[]).await.0, first);
    std::fs::write(gateway.dir().join("key.pem"), &key).expect("a file");
    gateway.wait_log("new certificate for 127.0.0.1, new.example.org", LIMIT).await;
    assert_ne!(shown(&gateway, &now, &[]).await.0, first);
    for name in ["cert.pem", "key.pem"] {
        std::fs::remove_file(gateway.dir().join(name)).expect("a file");
    }
    gateway.wait_log("cert.pem cannot be read", LIMIT).await;
    assert_eq!(gateway.get("/healthz").await.expect("an answer").status(), StatusCode::OK);
    assert!(!gateway.log().contains("PRIVATE KEY"));
}

/// What a plain connection is answered with to these bytes, until the gateway closes it or says no more.
async fn plainly(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it takes them");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn plain_http_is_shown_the_way() {
    let gateway = builder().config("redirect_listen = \"127.0.0.1:0\"").spawn().await;
    let address = gateway.http_address();
    let redirecting = gateway.wait_log("plain HTTP is sent on to HTTPS from ", LIMIT).await;
    let redirecting = redirecting.rsplit(' ').next().expect("an address").to_owned();
    for from in [address, &redirecting] {
        let request = "GET /watch/front?sound=1 HTTP/1.1\r\nhost: 127.0.0.1:80\r\nconnection: close\r\n\r\n";
        let answer = plainly(from, request).await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
        assert!(answer.contains(&format!("location: https://{address}/watch/front?sound=1\r\n")), "{answer}");
        let request = "POST /whep/front HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = plainly(from, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("HTTPS only"), "{answer}");
    }
    let answer = gateway.get("/healthz").await.expect("an answer");
    assert!(!answer.headers().contains_key("strict-transport-security"), "it is an address");
    let named = gateway.http().get(gateway.url("/healthz")).header("host", "cam.example.org").send().await;
    assert_eq!(named.expect("an answer").headers()["strict-transport-security"], "max-age=2592000");
}

/// More than may shake hands at a time, all of which say nothing, of one address; another is not kept waiting.
#[test]
fn who_never_ends_a_handshake_keeps_nobody_out() {
    let network = Network::new();
    let gateway = network.inside("gateway", builder().on(&network, "gateway").http_listen("0.0.0.0:8443").spawn());
    let held: Vec<_> = network.inside("turn", async {
        let mut held = Vec::new();
        for _ in 0..400 {
            let stream = TcpStream::connect(format!("{GATEWAY}:8443")).await.expect("a connection");
            held.push(stream.into_std().expect("a socket"));
        }
        held
    });
    let metrics = network.inside("viewer", async {
        let answer = client().build().expect("a client").get(format!("https://{GATEWAY}:8443/metrics")).send().await;
        answer.expect("no place was taken from this address").text().await.expect("a text")
    });
    let number = |name: &str| -> u64 {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name}: {metrics}"))
    };
    let under_way = number("camgate_tls_handshakes");
    assert!((1..=32).contains(&under_way), "of one address: {under_way}");
    assert_eq!(under_way + number("camgate_refused_tls_handshakes_total"), 400);
    drop((held, gateway));
}

#[tokio::test]
async fn a_certificate_that_is_of_no_use_is_a_fault_of_the_configuration() {
    let (certificate, _) = certificate("cam.example.org");
    let (_, other) = self::certificate("other.example.org");
    let mut gateway = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).tls(&certificate, &other).launch();
    assert_eq!(gateway.wait_exit(LIMIT).await.code(), Some(64));
    gateway.wait_log("http.tls.key: found the key is not that of the certificate, allowed: a file with", LIMIT).await;
    assert!(!gateway.log().contains("PRIVATE KEY"));
}

/// The certificate that a new connection gets.
pub(crate) async fn certificate_of(gateway: &Gateway) -> Vec<u8> {
    shown(gateway, &[&rustls::version::TLS13], &[]).await.0
}
