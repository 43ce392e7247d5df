//! A film on its way to who reads it.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

/// What is sent in one go, in bytes. Only so much is copied at one time: a film has many pieces, most as large as a packet.
const CHUNK: usize = 64 << 10;
/// Who has not read it all by then is cut off, so that nobody keeps memory and a place for ever: 64 MiB at 1 Mbit/s take 9 min.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What is left of a film. Empty when it is all sent, `None` when it took too long.
#[derive(Clone)]
struct Rest(Arc<Mutex<Option<Film>>>);

struct Film {
    pieces: VecDeque<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// Sends `pieces`; has a `place` meanwhile.
pub(super) fn reader(pieces: Vec<Bytes>, place: OwnedSemaphorePermit) -> Body {
    let film = Film { pieces: pieces.into(), _place: place };
    let rest = Rest(Arc::new(Mutex::new(Some(film))));
    let watched = Arc::downgrade(&rest.0);
    tokio::spawn(async move {
        sleep(DEADLINE).await;
        if let Some(rest) = watched.upgrade() {
            Rest(rest).lock().take();
        }
    });
    Body::from_stream(stream::unfold(rest, |rest| async {
        let chunk = rest.chunk().transpose()?;
        Some((chunk, rest))
    }))
}

impl Rest {
    /// # Errors
    /// It took too long.
    fn chunk(&self) -> io::Result<Option<Bytes>> {
        let mut film = self.lock();
        let pieces = &mut film.as_mut().ok_or(io::ErrorKind::TimedOut)?.pieces;
        let mut chunk = BytesMut::new();
        while let Some(piece) = pieces.front()
            && (chunk.is_empty() || chunk.len() + piece.len() <= CHUNK)
        {
            chunk.extend_from_slice(piece);
            pieces.pop_front();
        }
        Ok((!chunk.is_empty()).then(|| chunk.freeze()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Film>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    fn pieces() -> Vec<Bytes> {
        (0..200u32).map(|number| Bytes::from(vec![number as u8; 1 + 17 * number as usize])).collect()
    }

    #[tokio::test]
    async fn all_of_it_arrives_and_the_place_is_free_again() {
        let places = Arc::new(Semaphore::new(1));
        let body = reader(pieces(), places.clone().acquire_owned().await.expect("a place"));
        assert_eq!(places.available_permits(), 0);
        let sent = body.collect().await.expect("a body").to_bytes();
        assert_eq!(sent, pieces().concat());
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_keeps_nothing_for_ever() {
        let places = Arc::new(Semaphore::new(1));
        let mut body = reader(pieces(), places.clone().acquire_owned().await.expect("a place"));
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        sleep(DEADLINE + Duration::from_secs(1)).await;
        assert_eq!(places.available_permits(), 1);
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()), "cut off, not ended");
    }
}
