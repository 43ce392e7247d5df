//! A Chromium on the page of all cameras, which nobody ever reloads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;

use crate::support::browser::Browser;

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(60);
/// For the pictures to appear.
const FIRST: Duration = Duration::from_secs(15);

/// All tiles are in view on a page of 2000 by 1600, and half of each is drawn.
const SMALL: &str = "--force-device-scale-factor=0.5";

#[derive(Clone, Debug, Deserialize)]
pub struct Tile {
    pub name: String,
    /// As the page says it.
    pub state: String,
    /// Whether new pictures were shown within 3 s.
    pub moving: bool,
}

#[derive(Debug, Deserialize)]
struct Look {
    is_same_page: bool,
    tiles: Vec<Tile>,
    errors: u64,
}

/// What has been seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub looks: u64,
    pub tiles: Vec<Tile>,
    /// Chromium or its driver ended, or did not answer.
    pub restarts: u64,
    /// The page was another one than before.
    pub reloads: u64,
    /// Errors in its console since it was opened, but for requests that were refused.
    pub errors: u64,
}

pub fn watch(url: String) -> Arc<Mutex<Seen>> {
    let seen = Arc::<Mutex<Seen>>::default();
    let shared = seen.clone();
    tokio::task::spawn_local(async move {
        loop {
            let page = tokio::task::spawn_local(show(url.clone(), shared.clone()));
            if let Err(error) = page.await {
                eprintln!("Chromium is started again: {error}");
            }
            shared.lock().unwrap().restarts += 1;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    seen
}

async fn show(url: String, seen: Arc<Mutex<Seen>>) {
    let browser = Browser::builder().window(2_000, 1_600).flag(SMALL).start().await;
    browser.open(&url).await;
    browser.eval(include_str!("mark.js")).await;
    tokio::time::sleep(FIRST).await;
    loop {
        let look = browser.run(include_str!("look.js")).await;
        let look: Look = serde_json::from_value(look).expect("what look.js gives");
        note(&mut seen.lock().unwrap(), look);
        tokio::time::sleep(LOOK).await;
    }
}

fn note(seen: &mut Seen, look: Look) {
    seen.looks += 1;
    seen.reloads += u64::from(!look.is_same_page);
    seen.errors = look.errors;
    seen.tiles = look.tiles;
}
