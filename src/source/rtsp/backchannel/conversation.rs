//! Requests and answers of RTSP 1.0 (RFC 2326) on one connection, with logins (RFC 7235, RFC 7616) and interleaved data.

use std::io;

use http_auth::{PasswordClient, PasswordParams};
use rtsp_types::{
    Data, Empty, HeaderName, Message, Method, ParseError, Response, StatusCode, Version,
    headers::{self, Session},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use super::{super::USER_AGENT, Address};
use crate::{
    media::CameraName,
    source::{Error, Step, config::Credentials, error::redacted},
};

/// Longest message of a camera. A longer one ends the conversation.
const LONGEST: usize = 128 * 1_024;

/// What is asked.
#[derive(Clone)]
pub(super) struct Request {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, String)>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A connection to a camera.
pub(super) struct Conversation {
    stream: TcpStream,
    camera: CameraName,
    peer: String,
    credentials: Option<Credentials>,
    /// What the camera asked for a login with last.
    login: Option<PasswordClient>,
    /// Number of the last request.
    number: u32,
    session: Option<String>,
    /// What has come and is not read yet.
    heard: Vec<u8>,
}

impl Conversation {
    /// # Errors
    /// There is nobody.
    pub(super) async fn connect(address: &Address, peer: &str) -> Result<Self, Error> {
        let host = address.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let connecting = TcpStream::connect((host, address.url.port().unwrap_or(super::PORT)));
        let stream = connecting.await.map_err(|error| Error::unconnected(peer, &error))?;
        // What is said is sent as it comes.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            camera: address.camera.clone(),
            peer: peer.to_owned(),
            credentials: address.credentials.clone(),
            login: None,
            number: 0,
            session: None,
            heard: Vec::new(),
        })
    }

    /// Host and port.
    pub(super) fn peer(&self) -> String {
        self.peer.clone()
    }

    /// Asks and waits for the answer, once more with the login that the camera wants.
    ///
    /// # Errors
    /// The connection is of no use any more, or the login is in a way that nobody here understands.
    pub(super) async fn ask(&mut self, request: Request, step: Step) -> Result<Response<Vec<u8>>, Error> {
        let mut is_again = false;
        loop {
            self.send(&request).await.map_err(|error| self.broken(step, &error))?;
            let answer = self.answer(step).await?;
            if let Some(Session(id, _)) = answer.typed_header().ok().flatten() {
                self.session = Some(id);
            }
            // A nonce may have expired since the last request.
            if answer.status() != StatusCode::Unauthorized || self.credentials.is_none() || is_again {
                return Ok(answer);
            }
            self.learn_login(&answer)?;
            is_again = true;
        }
    }

    /// Asks and does not wait for the answer, which is passed over.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(super) async fn tell(&mut self, request: Request) -> Result<(), Error> {
        self.send(&request).await.map_err(|error| self.broken(Step::Media, &error))
    }

    /// Sends a packet between the requests (RFC 2326 section 10.12).
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(super) async fn send_data(&mut self, channel: u8, packet: Vec<u8>) -> Result<(), Error> {
        let sent = self.write(&Message::Data(Data::new(channel, packet))).await;
        sent.map_err(|error| self.broken(Step::Media, &error))
    }

    /// Passes over what the camera says, until it hangs up.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn overhear(&mut self) -> Error {
        loop {
            if let Err(error) = self.message(Step::Media).await {
                return error;
            }
        }
    }

    /// What an answer means that is no success.
    pub(super) fn refusal(&self, step: Step, status: StatusCode) -> Error {
        let (camera, status) = (self.camera.clone(), u16::from(status));
        match (status, &self.credentials) {
            (401 | 403, Some(_)) => Error::BadCredentials { camera, status },
            (401 | 403, None) => Error::NoCredentials { camera, status },
            (404, _) => Error::NotFound,
            (453, _) => Error::Full { step, status },
            _ => Error::Status { step, status },
        }
    }

    async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.number += 1;
        let mut message = rtsp_types::Request::builder(request.method.clone(), Version::V1_0)
            .request_uri(request.url.clone())
            .header(headers::CSEQ, self.number.to_string())
            .header(headers::USER_AGENT, USER_AGENT)
            .empty();
        for (name, value) in &request.headers {
            message.insert_header(name.clone(), value.as_str());
        }
        if let Some(session) = &self.session {
            message.insert_header(headers::SESSION, session.as_str());
        }
        if let Some(login) = self.authorization(request) {
            message.insert_header(headers::AUTHORIZATION, login);
        }
        self.write(&Message::<Empty>::Request(message)).await
    }

    async fn write<B: AsRef<[u8]>>(&mut self, message: &Message<B>) -> io::Result<()> {
        let mut bytes = Vec::new();
        message.write(&mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes).await
    }

    fn authorization(&mut self, request: &Request) -> Option<String> {
        let (login, credentials) = self.login.as_mut().zip(self.credentials.as_ref())?;
        let method: &str = (&request.method).into();
        login
            .respond(&PasswordParams {
                username: &credentials.username,
                password: credentials.password.expose(),
                uri: request.url.as_str(),
                method,
                body: Some(&[]),
            })
            .ok()
    }

    fn learn_login(&mut self, answer: &Response<Vec<u8>>) -> Result<(), Error> {
        let asked = answer.header(&headers::WWW_AUTHENTICATE).map_or("", |value| value.as_str());
        let login = PasswordClient::builder().challenges(asked).build();
        let unknown = |reason: String| Error::UnknownLogin { asked: redacted(&reason).unwrap_or_default() };
        self.login = Some(login.map_err(unknown)?);
        Ok(())
    }

    /// The answer to the last request.
    async fn answer(&mut self, step: Step) -> Result<Response<Vec<u8>>, Error> {
        loop {
            let Message::Response(answer) = self.message(step).await? else { continue };
            let number = answer.header(&headers::CSEQ).and_then(|value| value.as_str().trim().parse::<u32>().ok());
            // Some cameras leave it out, or count on their own; an answer to a keepalive is told by its lower number.
            if number.is_none_or(|number| number >= self.number) {
                return Ok(answer);
            }
        }
    }

    async fn message(&mut self, step: Step) -> Result<Message<Vec<u8>>, Error> {
        loop {
            match Message::<Vec<u8>>::parse(&self.heard) {
                Ok((message, length)) => {
                    self.heard.drain(..length);
                    return Ok(message);
                }
                Err(ParseError::Incomplete(_)) if self.heard.len() < LONGEST => {}
                Err(_) => {
                    let reason = "it sent what is no RTSP".to_owned();
                    return Err(Error::Protocol { step, reason });
                }
            }
            match self.stream.read_buf(&mut self.heard).await {
                Ok(0) => return Err(self.broken(step, &io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(self.broken(step, &error)),
            }
        }
    }

    fn broken(&self, step: Step, error: &io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe if step == Step::Media => Error::HungUp,
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => Error::HungUpAt { step },
            _ => Error::Protocol { step, reason: redacted(&error.to_string()).unwrap_or_default() },
        }
    }
}
