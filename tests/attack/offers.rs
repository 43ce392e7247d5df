//! Offers of real clients, spoiled.

use std::sync::Arc;

use reqwest::Method;
use tokio::sync::Mutex;

use crate::{Row, scene::Scene};

const OFFERS: usize = 10_000;
/// Of a publisher.
const PUBLICATIONS: usize = 2_000;
/// Who offer at the same time.
const TOGETHER: usize = 8;

/// The same numbers in every run (Marsaglia's xorshift).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn recorded() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/offers");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the offers").map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sdp"));
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect()
}

/// Spoils one thing.
fn spoil(lines: &mut Vec<Vec<u8>>, dice: &mut Dice) {
    let at = dice.roll(lines.len());
    let other = dice.roll(lines.len());
    match dice.roll(12) {
        0 => drop(lines.remove(at)),
        1 => lines.swap(at, other),
        2 => {
            let line = lines[at].clone();
            lines.extend(std::iter::repeat_n(line, 1 << dice.roll(9)));
        }
        3 => {
            let line = &mut lines[at];
            if !line.is_empty() {
                let place = dice.roll(line.len());
                line[place] ^= 1 << dice.roll(8);
            }
        }
        4 => {
            let line = &mut lines[at];
            let place = dice.roll(line.len());
            line.truncate(place);
        }
        5 => {
            let number = [&b"-1"[..], b"0", b"65536", b"4294967296", b"18446744073709551616", b"1e9", b"\xd9\xa3"];
            let place = lines[at].iter().position(u8::is_ascii_digit).unwrap_or_default();
            let number = number[dice.roll(number.len())];
            let end = (place + 1).min(lines[at].len());
            lines[at].splice(place..end, number.iter().copied());
        }
        6 => {
            let odd = [&b"\0"[..], b"\r", b"\n\n", b"\xff\xfe", b"=", b":", b" ", b"\t", b"a=", b"m=video 9 X 96"];
            let place = dice.roll(lines[at].len());
            let odd = odd[dice.roll(odd.len())];
            lines[at].splice(place..place, odd.iter().copied());
        }
        7 => {
            let long = vec![b'a'; 1 << dice.roll(15)];
            lines[at].extend(long);
        }
        8 => {
            let section = lines.split_off(at);
            lines.extend(std::iter::repeat_n(section, 1 + dice.roll(4)).flatten());
        }
        9 => lines.truncate(at.max(1)),
        10 => lines.insert(at, b"a=group:BUNDLE 0 0 1 1 2 99".to_vec()),
        _ => {
            let candidate = format!(
                "a=candidate:1 1 udp 1 10.0.{}.{} {} typ host",
                dice.roll(256),
                dice.roll(256),
                dice.roll(65_536)
            );
            lines.insert(at, candidate.into_bytes());
        }
    }
    if lines.is_empty() {
        lines.push(Vec::new());
    }
}

/// Spoiled offers; what is accepted all the same is ended at once.
pub(crate) async fn hostile(scene: &Scene) -> Row {
    let recorded = recorded();
    assert!(recorded.len() > 20);
    let (let_in, accepted) = send(scene, &recorded, OFFERS, "/whep/front").await;
    assert!((OFFERS / 50..OFFERS).contains(&accepted), "{accepted} were harmless, the others were refused");
    Row {
        attack: "spoiled offers of every client in tests/offers",
        let_in_when: "neither a refusal (4xx) nor a whole answer",
        tried: OFFERS,
        let_in,
    }
}

/// The same of somebody who may publish.
pub(crate) async fn hostile_publications(scene: &Scene) -> Row {
    let recorded = [include_str!("../support/publisher/chromium.sdp").to_owned()];
    let (let_in, accepted) = send(scene, &recorded, PUBLICATIONS, "/whip/phone").await;
    assert!((PUBLICATIONS / 50..PUBLICATIONS).contains(&accepted), "{accepted} were harmless, the others were refused");
    Row {
        attack: "spoiled offers of a publisher",
        let_in_when: "neither a refusal (4xx) nor a whole answer",
        tried: PUBLICATIONS,
        let_in,
    }
}

/// What was neither refused nor answered whole, and how many were answered.
async fn send(scene: &Scene, recorded: &[String], count: usize, path: &str) -> (Vec<String>, usize) {
    let let_in = Arc::new(Mutex::new(Vec::new()));
    let accepted = Arc::new(Mutex::new(0));
    let shares = (0..TOGETHER).map(|share| {
        let (let_in, accepted) = (let_in.clone(), accepted.clone());
        async move {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (share as u64 + 1));
            for _ in 0..count / TOGETHER {
                let offer = &recorded[dice.roll(recorded.len())];
                let mut lines: Vec<_> = offer.lines().map(|line| line.as_bytes().to_vec()).collect();
                for _ in 0..=dice.roll(4) {
                    spoil(&mut lines, &mut dice);
                }
                let offer = lines.join(&b"\r\n"[..]);
                let request = scene.request(Method::POST, path).header("content-type", "application/sdp");
                match request.body(offer.clone()).send().await {
                    Ok(response) if response.status() == 201 => {
                        let path = response.headers()["location"].to_str().expect("a path").to_owned();
                        scene.request(Method::DELETE, &path).send().await.expect("an answer");
                        *accepted.lock().await += 1;
                    }
                    Ok(response) if response.status().is_client_error() => {}
                    other => let_in.lock().await.push(format!("{other:?}: {}", String::from_utf8_lossy(&offer))),
                }
            }
        }
    });
    futures_util::future::join_all(shares).await;
    (std::mem::take(&mut *let_in.lock().await), *accepted.lock().await)
}
