//! A file on its way to a viewer: what it is, its pieces, that it was all.

use std::{fmt::Write, time::SystemTime};

use bytes::{Bytes, BytesMut};
use ring::digest::{Context, SHA256};

use super::message;
use crate::{
    http::{
        clip,
        clip::Ready,
        snapshot::{self, file_name},
    },
    peer::{MAX_PIECE, Message, Mouth},
};

/// One that is ready to be sent.
pub(super) struct File {
    name: String,
    media_type: &'static str,
    parts: Vec<Bytes>,
}

/// Of a picture.
pub(super) fn snapshot(camera: &str, jpeg: Bytes, captured: SystemTime) -> File {
    let (name, media_type) = (file_name(camera, captured, "jpg"), snapshot::MEDIA_TYPE);
    File { name, media_type, parts: vec![jpeg] }
}

/// Of the last seconds.
pub(super) fn clip(camera: &str, film: Ready) -> File {
    let (name, media_type) = (file_name(camera, film.ends, "mp4"), clip::MEDIA_TYPE);
    File { name, media_type, parts: film.pieces }
}

impl File {
    /// Sends it as fast as the viewer reads. Returns whether all of it was sent.
    pub(super) async fn send(self, id: &str, mouth: &Mouth) -> bool {
        let size = self.parts.iter().map(Bytes::len).sum();
        let hash = hash(&self.parts);
        let mut begin = message::file(id);
        (begin.name, begin.media_type) = (Some(&*self.name), Some(self.media_type));
        (begin.size, begin.sha256) = (Some(size), Some(&*hash));
        let text = |what: &message::OfFile<'_>| Message::Text(serde_json::to_string(what).unwrap_or_default());
        if !mouth.send(text(&begin)).await {
            return false;
        }
        let mut piece = BytesMut::with_capacity(MAX_PIECE);
        for mut part in self.parts {
            while !part.is_empty() {
                piece.extend_from_slice(&part.split_to(part.len().min(MAX_PIECE - piece.len())));
                if piece.len() == MAX_PIECE && !mouth.send(Message::Piece(piece.split().freeze())).await {
                    return false;
                }
            }
        }
        if !piece.is_empty() && !mouth.send(Message::Piece(piece.freeze())).await {
            return false;
        }
        mouth.send(text(&message::done(id))).await
    }
}

/// SHA-256, in hexadecimal digits.
fn hash(parts: &[Bytes]) -> String {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
