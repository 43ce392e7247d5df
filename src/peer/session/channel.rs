//! A viewer's data channel (RFC 8831, RFC 8832): the one with our label is answered, others are closed.
//!
//! What leaves is held back while the viewer has not read what was sent before, so that one that never reads costs
//! [`OUTSTANDING`] and a few messages. Timers of SCTP are asked for only while something is on its way: a connection that is
//! asked costs as much as a packet.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc::{
    data_channel::{RTCDataChannelId, RTCDataChannelMessage},
    peer_connection::{event::RTCDataChannelEvent, message::RTCMessage},
    sansio::Protocol,
};
use tokio::sync::mpsc::error::TryRecvError;

use super::{End, Session};
use crate::peer::channel::{MAX_SAID, Message, Near, Said, Wish};

/// Which channel is ours.
const LABEL: &str = "camgate";
/// What may be sent and not be read, in bytes: 5 Mbit/s at a round trip of 100 ms. All of it may stand in a queue before the picture.
const OUTSTANDING: usize = 64 << 10;
/// Channels that are none of ours and are closed. Who opens more means nothing good, and each takes memory until its session ends.
const MAX_FOREIGN: u32 = 64;
/// So long after something came SCTP may have something to do by the clock: acknowledgements are delayed by 200 ms (RFC 9260
/// section 6.2). While something that was sent is not acknowledged it always may.
const BUSY: Duration = Duration::from_millis(500);

/// A session's side of it.
pub(super) struct Channel {
    near: Near,
    id: Option<RTCDataChannelId>,
    /// What did not fit.
    held: Option<Message>,
    busy_until: Instant,
    is_busy: bool,
    /// How many were closed at once.
    foreign: u32,
}

impl Session {
    /// Its viewer has offered a data channel, and somebody answers.
    pub(in crate::peer) fn attach_channel(&mut self, near: Near, now: Instant) {
        let busy_until = now + super::CONNECT_DEADLINE;
        self.channel = Some(Channel { near, id: None, held: None, busy_until, is_busy: true, foreign: 0 });
    }

    /// When SCTP is due, if it may be.
    pub(super) fn channel_timeout(&mut self) -> Option<Instant> {
        let is_busy = self.channel.as_ref().is_some_and(|channel| channel.is_busy);
        is_busy.then(|| self.connection.rtc.poll_timeout()).flatten()
    }

    pub(super) fn on_channel_event(&mut self, event: RTCDataChannelEvent, now: Instant) {
        let Some(channel) = &mut self.channel else { return };
        match event {
            RTCDataChannelEvent::OnOpen(id) => {
                let Some(mut opened) = self.connection.rtc.data_channel(id) else { return };
                if channel.id.is_some() || opened.label() != LABEL || !opened.ordered() {
                    let _ = opened.close();
                    channel.foreign += 1;
                    self.camera.counters.channel.foreign.add(1);
                    if channel.foreign > MAX_FOREIGN {
                        self.close(End::TooManyChannels);
                    }
                } else {
                    channel.id = Some(id);
                    channel.busy_until = now + BUSY;
                    let _ = channel.near.said.try_send(Said::Opened);
                }
            }
            RTCDataChannelEvent::OnClose(id) | RTCDataChannelEvent::OnError(id) if channel.id == Some(id) => {
                channel.id = None;
            }
            _ => {}
        }
    }

    /// All that has come through the connection.
    pub(super) fn take_messages(&mut self, now: Instant) {
        // Of a session without a channel an unread queue would grow.
        while let Some(read) = self.connection.rtc.poll_read() {
            let RTCMessage::DataChannelMessage(id, message) = read.message else { continue };
            let Some(channel) = self.channel.as_mut().filter(|channel| channel.id == Some(id)) else { continue };
            channel.busy_until = now + BUSY;
            let counters = &self.camera.counters.channel;
            counters.messages.add(1);
            if channel.near.said.try_send(said(message)).is_err() {
                counters.lost.add(1);
            }
        }
    }

    /// Sends what there is room for.
    pub(in crate::peer) fn pump_channel(&mut self, now: Instant) {
        let Some(channel) = &mut self.channel else { return };
        channel.near.heard_bell();
        let mut outstanding = 0;
        if let Some(id) = channel.id {
            while let Some(mut rtc) = self.connection.rtc.data_channel(id) {
                outstanding = rtc.outstanding_bytes();
                if outstanding >= OUTSTANDING {
                    break;
                }
                let next = channel.held.take().map_or_else(|| channel.near.messages.try_recv(), Ok);
                let sent = match next {
                    Ok(Message::Text(text)) => rtc.send_text(now, text),
                    Ok(Message::Piece(piece)) => rtc.send(now, BytesMut::from(piece)),
                    Err(TryRecvError::Empty) => break,
                    // Nobody answers any more.
                    Err(TryRecvError::Disconnected) => {
                        let _ = rtc.close();
                        channel.id = None;
                        self.stirred = true;
                        break;
                    }
                };
                self.stirred = true;
                if sent.is_err() {
                    // It is too long for this viewer, or the channel has just closed.
                    self.camera.counters.channel.unsent.add(1);
                }
            }
        }
        channel.is_busy = outstanding > 0 || now <= channel.busy_until;
    }

    /// What its viewer wishes.
    pub(in crate::peer) fn on_wish(&mut self, wish: Wish, now: Instant) {
        let Some(playback) = self.media.playback() else { return };
        match wish {
            Wish::Keyframe => playback.on_keyframe_request(now, &self.camera),
            Wish::Paused(kind, is_paused) => playback.pause(kind, is_paused, now),
        }
    }
}

fn said(message: RTCDataChannelMessage) -> Said {
    let is_short = message.is_string && message.data.len() <= MAX_SAID;
    let text = is_short.then(|| String::from_utf8(message.data.to_vec()).ok()).flatten();
    text.map_or(Said::Unreadable, Said::Text)
}
