use rtc::stun::{
    attributes::ATTR_USERNAME,
    message::{BINDING_REQUEST, Message, TransactionId},
    textattrs::Username,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::peer::{Remote, Transport};

const LIMIT: Duration = Duration::from_secs(10);

fn request() -> Vec<u8> {
    let mut message = Message::new();
    let username = Username::new(ATTR_USERNAME, "ours:theirs".to_owned());
    message.build(&[Box::new(BINDING_REQUEST), Box::new(TransactionId::new()), Box::new(username)]).unwrap();
    message.raw.to_vec()
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&u16::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat()
}

/// A port whose every frame is for `session`, and what arrived.
fn port(session: Option<SessionId>) -> (Arc<Tcp>, SocketAddr, mpsc::UnboundedReceiver<Received>) {
    port_of(move || session, true)
}

fn port_of<S>(session: S, alive: bool) -> (Arc<Tcp>, SocketAddr, mpsc::UnboundedReceiver<Received>)
where
    S: Fn() -> Option<SessionId> + Clone + Send + Sync + 'static,
{
    let tcp = Arc::new(Tcp::bind(([127, 0, 0, 1], 0).into(), 400).unwrap());
    let address = tcp.local_address().unwrap();
    let (arrived, frames) = mpsc::unbounded_channel();
    let take = move |frame| {
        arrived.send(frame).unwrap();
        session()
    };
    tokio::spawn(tcp.clone().serve(take, move |_| alive));
    (tcp, address, frames)
}

/// A connection that has sent its first check, which has arrived.
async fn connected(address: SocketAddr, frames: &mut mpsc::UnboundedReceiver<Received>) -> TcpStream {
    let mut viewer = TcpStream::connect(address).await.unwrap();
    viewer.write_all(&framed(&request())).await.unwrap();
    frames.recv().await.unwrap();
    viewer
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset says the same as the end.
    timeout(LIMIT, stream.read_to_end(&mut rest)).await.is_ok() && rest.is_empty()
}

#[tokio::test]
async fn frames_travel_both_ways_until_the_session_is_over() {
    let session = SessionId::random();
    let (tcp, address, mut frames) = port(Some(session));
    let mut viewer = TcpStream::connect(address).await.unwrap();
    let first = request();
    // In pieces, as TCP may deliver them.
    let bytes = [framed(&first), framed(&[22, 1, 2])].concat();
    for piece in bytes.chunks(7) {
        viewer.write_all(piece).await.unwrap();
    }
    let received = frames.recv().await.unwrap();
    assert_eq!(received.data[..], first);
    assert_eq!(received.remote, Remote { transport: Transport::Tcp, address: viewer.local_addr().unwrap() });
    assert_eq!(received.to, Some(address.ip()));
    assert_eq!(frames.recv().await.unwrap().data[..], [22, 1, 2]);
    tcp.send(received.remote.address, Bytes::from_static(b"hello"));
    tcp.send(received.remote.address, Bytes::from_static(b"goodbye"));
    tcp.forget(session);
    let mut out = Vec::new();
    viewer.read_to_end(&mut out).await.unwrap();
    assert_eq!(out, [framed(b"hello"), framed(b"goodbye")].concat());
    assert_eq!(tcp.connections(), 0);
}

#[tokio::test]
async fn what_does_not_begin_as_ice_is_closed() {
    let (tcp, address, mut frames) = port(Some(SessionId::random()));
    for beginning in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), framed(&[22; 40]), framed(&[0; 3_000]), framed(b"")] {
        let mut stranger = TcpStream::connect(address).await.unwrap();
        stranger.write_all(&beginning).await.unwrap();
        assert!(is_closed(&mut stranger).await, "{beginning:?}");
    }
    assert!(frames.try_recv().is_err(), "nothing of it was taken for a datagram");
    assert_eq!((tcp.refused.total(), tcp.connections()), (4, 0));
}

#[tokio::test]
async fn a_check_for_nobody_is_closed() {
    let (tcp, address, _frames) = port(None);
    let mut stranger = TcpStream::connect(address).await.unwrap();
    stranger.write_all(&framed(&request())).await.unwrap();
    assert!(is_closed(&mut stranger).await);
    assert_eq!((tcp.refused.total(), tcp.connections()), (1, 0));
}

#[tokio::test]
async fn one_session_has_few_connections_and_one_address_not_all() {
    let (tcp, address, mut frames) = port(Some(SessionId::random()));
    let mut open = Vec::new();
    for _ in 0..MAX_PER_SESSION {
        open.push(connected(address, &mut frames).await);
    }
    assert!(is_closed(&mut connected(address, &mut frames).await).await);
    assert_eq!((tcp.refused.total(), tcp.connections()), (1, MAX_PER_SESSION));

    let (tcp, address, mut frames) = port_of(|| Some(SessionId::random()), true);
    for _ in 0..MAX_PER_CUSTOMER {
        open.push(connected(address, &mut frames).await);
    }
    let mut stranger = TcpStream::connect(address).await.unwrap();
    stranger.write_all(&framed(&request())).await.unwrap();
    assert!(is_closed(&mut stranger).await);
    assert_eq!((tcp.refused.total(), tcp.connections()), (1, MAX_PER_CUSTOMER));
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_keeps_no_connection() {
    let (tcp, address, mut frames) = port_of(|| Some(SessionId::random()), false);
    assert!(is_closed(&mut connected(address, &mut frames).await).await);
    assert_eq!((tcp.refused.total(), tcp.connections()), (1, 0));
}

#[tokio::test]
async fn a_viewer_that_does_not_read_loses_whole_frames_and_holds_up_nobody() {
    let (tcp, address, mut frames) = port(Some(SessionId::random()));
    let mut viewer = TcpStream::connect(address).await.unwrap();
    viewer.write_all(&framed(&request())).await.unwrap();
    let remote = frames.recv().await.unwrap().remote.address;
    assert!(!tcp.is_congested(remote));
    let frame = |number: u32| Bytes::from([number.to_be_bytes().as_slice(), &[0; 1_196]].concat());
    let mut sent = 0;
    while tcp.dropped.total() < 100 {
        tcp.send(remote, frame(sent));
        sent += 1;
        if sent % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(tcp.is_congested(remote));
    let expected = u64::from(sent) - tcp.dropped.total();
    let mut last = None;
    for _ in 0..expected {
        let mut whole = vec![0; 1_202];
        timeout(LIMIT, viewer.read_exact(&mut whole)).await.unwrap().unwrap();
        assert_eq!(whole[..2], 1_200u16.to_be_bytes(), "a frame begins where the last one ended");
        let number = u32::from_be_bytes(whole[2..6].try_into().unwrap());
        assert!(last.is_none_or(|last| number > last));
        last = Some(number);
    }
    assert!(!tcp.is_congested(remote));
}

#[tokio::test]
async fn shutting_down_says_goodbye_first() {
    let (tcp, address, mut frames) = port(Some(SessionId::random()));
    let mut viewer = TcpStream::connect(address).await.unwrap();
    viewer.write_all(&framed(&request())).await.unwrap();
    let remote = frames.recv().await.unwrap().remote.address;
    tcp.send(remote, Bytes::from_static(b"goodbye"));
    tcp.shutdown().await;
    let mut out = Vec::new();
    viewer.read_to_end(&mut out).await.unwrap();
    assert_eq!(out, framed(b"goodbye"));
}
