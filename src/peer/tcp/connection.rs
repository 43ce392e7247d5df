//! One viewer's connection: frames in, frames out, each behind its length in two bytes (RFC 4571).

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};

use crate::peer::{
    SessionId,
    directory::is_request,
    socket::{MAX_DATAGRAM, Received},
    transport::{Remote, Transport},
};

/// From accept to the whole first frame. Browsers send it right away.
const FIRST_FRAME: Duration = Duration::from_secs(5);
/// Without a frame for this long the viewer has no use for the connection any more. Chromium checks even a path that it
/// only keeps in reserve every 25 s.
const IDLE: Duration = Duration::from_secs(60);
/// For what is still queued when the session is over.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes that are gathered before they are written: a picture of 4 Mbit/s.
const WRITE: usize = 32 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    remote: Remote,
    to: IpAddr,
    frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    out: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
}

impl Connection {
    /// # Errors
    /// When the viewer is gone already.
    pub(super) fn open(stream: TcpStream, remote: SocketAddr) -> io::Result<Self> {
        let to = stream.local_addr()?.ip().to_canonical();
        let (read, write) = stream.into_split();
        let mut out = FramedWrite::new(write, frames(usize::from(u16::MAX)));
        out.set_backpressure_boundary(WRITE);
        let remote = Remote { transport: Transport::Tcp, address: remote };
        Ok(Self { remote, to, frames: FramedRead::with_capacity(read, frames(MAX_DATAGRAM), MAX_DATAGRAM), out })
    }

    /// The frame that says whom the connection is for; `None` when it does not come or is none.
    pub(super) async fn first(&mut self) -> Option<Received> {
        let frame = timeout(FIRST_FRAME, self.frames.next()).await.ok()??.ok()?;
        is_request(&frame).then(|| self.received(frame))
    }

    /// Hands frames to `take` and writes what is in `queue`, until the viewer closes, is silent for too long or asks for a
    /// session that is gone, or `stop` says that the session is over.
    ///
    /// # Errors
    /// When the connection breaks, and for a frame that is longer than any datagram of a viewer.
    pub(super) async fn run(
        mut self,
        queue: mpsc::Receiver<Bytes>,
        stop: CancellationToken,
        take: impl Fn(Received) -> Option<SessionId>,
    ) -> io::Result<()> {
        let (remote, to) = (self.remote, self.to);
        let read = async {
            while let Ok(Some(frame)) = timeout(IDLE, self.frames.next()).await {
                let data = frame?;
                let check = is_request(&data);
                if take(Received { remote, to: Some(to), data, at: Instant::now() }).is_none() && check {
                    break;
                }
            }
            Ok(())
        };
        let over = async {
            stop.cancelled().await;
            sleep(GOODBYE).await;
        };
        tokio::select! {
            ended = read => ended,
            ended = write(self.out, queue) => ended,
            () = over => Ok(()),
        }
    }

    fn received(&self, data: BytesMut) -> Received {
        Received { remote: self.remote, to: Some(self.to), data, at: Instant::now() }
    }
}

/// Frames behind their length in two bytes (RFC 4571), of so many bytes at most.
pub(in crate::peer) fn frames(longest: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().length_field_length(2).max_frame_length(longest).new_codec()
}

/// Writes until the other end of `queue` is gone.
async fn write(
    mut out: impl Sink<Bytes, Error = io::Error> + Unpin,
    mut queue: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    while let Some(frame) = queue.recv().await {
        out.feed(frame).await?;
        while let Ok(frame) = queue.try_recv() {
            out.feed(frame).await?;
        }
        out.flush().await?;
    }
    out.close().await
}
