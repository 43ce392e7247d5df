//! ONVIF cameras for the tests: WS-Discovery over multicast and SOAP over HTTP, also such as answer with what nobody should.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const PORT: u16 = 3_702;
/// How far a login's time may be from the camera's, as in many.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a camera wants to be logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    None,
    /// WS-Security, with a time near the camera's.
    Token,
    /// HTTP Digest.
    Digest,
}

#[derive(Clone, Debug)]
pub struct Device {
    pub ip: Ipv4Addr,
    pub scopes: String,
    /// What it says its addresses are; `{url}` is the true one.
    pub addresses: String,
    pub login: Login,
    pub user: String,
    pub password: String,
    /// By how many seconds its clock is behind.
    pub behind_s: u64,
    /// `token name codec width height url`, one a line.
    pub profiles: String,
    pub media_2: bool,
    /// What its HTTP answers always, without end if it ends in `...`.
    pub answers: Option<String>,
    /// The SOAP questions that it was asked.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Device {
    pub fn new(ip: Ipv4Addr, name: &str) -> Self {
        Self {
            ip,
            scopes: format!("onvif://www.onvif.org/type/video onvif://www.onvif.org/name/{name}"),
            addresses: "{url}".into(),
            login: Login::None,
            user: "viewer".into(),
            password: "open sesame".into(),
            behind_s: 0,
            profiles: format!(
                "p1 main H264 1920 1080 rtsp://{ip}:554/main?a=1&amp;b=2\np2 sub H264 640 360 rtsp://{ip}:554/sub"
            ),
            media_2: false,
            answers: None,
            asked: Arc::default(),
        }
    }

    /// Serves HTTP on its address and gives the port.
    async fn serve(self: Arc<Self>) -> u16 {
        let listener = TcpListener::bind((self.ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let device = self.clone();
                tokio::spawn(async move { device.answer(stream, port).await });
            }
        });
        port
    }

    async fn answer(&self, mut stream: TcpStream, port: u16) -> Option<()> {
        let mut request = Vec::new();
        let (head, body) = loop {
            stream.read_buf(&mut request).await.ok().filter(|count| *count > 0)?;
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length: usize =
                head.to_ascii_lowercase().split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        };
        let question = body.split("Body>").nth(1).unwrap_or_default().trim_start_matches('<').to_owned();
        // Some devices go by this alone.
        let operation = question.split([' ', '/', '>']).next().unwrap_or_default();
        assert!(head.contains(&format!("wsdl/{operation}\"")), "no action in {head}");
        self.asked.lock().unwrap().push(question.clone());
        if let Some(bytes) = self.answers.as_ref().and_then(|text| text.strip_suffix("...")) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(bytes.repeat(1_000).as_bytes()).await.is_ok() {}
            return None;
        }
        let (status, more, answer) = match &self.answers {
            Some(answer) => (200, String::new(), answer.clone()),
            None if self.lets_in(&head, &body, &question) => (200, String::new(), self.say(&question, port)),
            None => self.refuse(),
        };
        let answer = format!(
            "HTTP/1.1 {status} x\r\n{more}Content-Type: application/soap+xml\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{answer}",
            answer.len()
        );
        stream.write_all(answer.as_bytes()).await.ok()
    }

    fn lets_in(&self, head: &str, body: &str, question: &str) -> bool {
        let between = |from: &str| body.split(from).nth(1)?.split_once('>')?.1.split('<').next().map(str::to_owned);
        match self.login {
            _ if question.starts_with("GetSystemDateAndTime") => true,
            Login::None => true,
            // That the digest is right is the business of the crate that makes it.
            Login::Digest => head.to_ascii_lowercase().contains(&format!("digest username=\"{}\"", self.user)),
            Login::Token => (|| {
                let nonce = STANDARD.decode(between("<Nonce")?).ok()?;
                let created = between("<Created")?;
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(&nonce);
                context.update(created.as_bytes());
                context.update(self.password.as_bytes());
                let time = humantime::parse_rfc3339(&created).ok()?;
                let now = self.now();
                let apart = time.duration_since(now).or_else(|_| now.duration_since(time)).ok()?;
                let right = between("<Password")? == STANDARD.encode(context.finish());
                Some(right && apart < PATIENCE && between("UsernameToken><Username")? == self.user)
            })()
            .unwrap_or(false),
        }
    }

    fn refuse(&self) -> (u16, String, String) {
        if self.login == Login::Digest {
            let challenge = "WWW-Authenticate: Digest realm=\"cam\", qop=\"auth\", nonce=\"n\"\r\n";
            return (401, challenge.into(), String::new());
        }
        let fault = "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized</s:Value>\
                     </s:Subcode></s:Code><s:Reason><s:Text>no</s:Text></s:Reason></s:Fault>";
        (400, String::new(), soap(fault))
    }

    fn now(&self) -> SystemTime {
        SystemTime::now() - Duration::from_secs(self.behind_s)
    }

    fn say(&self, question: &str, port: u16) -> String {
        let url = format!("http://{}:{port}/onvif/media", self.ip);
        let profiles: Vec<Vec<_>> = self.profiles.lines().map(|line| line.split(' ').collect()).collect();
        let encoder = if self.media_2 { "VideoEncoder" } else { "VideoEncoderConfiguration" };
        let version = if self.media_2 { "ver20" } else { "ver10" };
        let what = question.split([' ', '/', '>']).next().unwrap_or_default();
        let body = match what {
            "GetSystemDateAndTime" => {
                let now = humantime::format_rfc3339_seconds(self.now()).to_string();
                let parts: Vec<_> = now.split(['-', 'T', ':', 'Z']).collect();
                format!(
                    "<t:UTCDateTime><t:Time><t:Hour>{}</t:Hour><t:Minute>{}</t:Minute><t:Second>{}</t:Second></t:Time>\
                     <t:Date><t:Year>{}</t:Year><t:Month>{}</t:Month><t:Day>{}</t:Day></t:Date></t:UTCDateTime>",
                    parts[3], parts[4], parts[5], parts[0], parts[1], parts[2]
                )
            }
            "GetDeviceInformation" => {
                "<Manufacturer>Maker&#x9;Ltd</Manufacturer><Model>X-1</Model><SerialNumber>1</SerialNumber>".into()
            }
            "GetServices" => format!(
                "<Service><Namespace>http://www.onvif.org/{version}/media/wsdl</Namespace><XAddr>{url}</XAddr></Service>"
            ),
            "GetProfiles" => profiles
                .iter()
                .map(|profile| {
                    let [token, name, codec, width, height, _] = profile[..] else { panic!("{profile:?}") };
                    format!(
                        "<Profiles token=\"{token}\"><t:Name>{name}</t:Name><t:{encoder}><t:Encoding>{codec}</t:Encoding>\
                         <t:Resolution><t:Width>{width}</t:Width><t:Height>{height}</t:Height></t:Resolution></t:{encoder}>\
                         </Profiles>"
                    )
                })
                .collect(),
            "GetStreamUri" => {
                let is_it = |profile: &&Vec<&str>| question.contains(&format!("<ProfileToken>{}<", profile[0]));
                let url = profiles.iter().find(is_it).map_or("", |profile| profile[5]);
                format!("<Uri>{url}</Uri>")
            }
            other => panic!("the camera does not know {other:?}"),
        };
        soap(&format!("<{what}Response>{body}</{what}Response>"))
    }
}

fn soap(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:t=\"http://www.onvif.org/ver10/schema\"><s:Body>{body}</s:Body></s:Envelope>"
    )
}

/// Lets `devices` serve and answer, on the interface with the address `on`, until the runtime ends.
pub async fn start(on: Ipv4Addr, devices: Vec<Device>) {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into()).unwrap();
    socket.join_multicast_v4(&GROUP, &on).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = UdpSocket::from_std(socket.into()).unwrap();
    let mut voices = Vec::new();
    for device in devices {
        let device = Arc::new(device);
        let port = device.clone().serve().await;
        let voice = UdpSocket::bind(SocketAddrV4::new(device.ip, 0)).await.unwrap();
        voices.push((device, port, voice));
    }
    tokio::spawn(async move {
        let mut datagram = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let question = String::from_utf8_lossy(&datagram[..length]).into_owned();
            assert!(question.contains("discovery/Probe<"), "{question}");
            for (device, port, voice) in &voices {
                let url = format!("http://{}:{port}/onvif/device_service", device.ip);
                let (scopes, addresses) = (&device.scopes, device.addresses.replace("{url}", &url));
                let answer = soap(&format!(
                    "<d:ProbeMatches xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\"><d:ProbeMatch>\
                     <d:Scopes>{scopes}</d:Scopes><d:XAddrs>{addresses}</d:XAddrs></d:ProbeMatch></d:ProbeMatches>"
                ));
                let _ = voice.send_to(answer.as_bytes(), from).await;
            }
        }
    });
}
