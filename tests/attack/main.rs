//! What strangers, guests and pages of others try, against the running gateway over real sockets, while somebody watches.
//!
//! docs/attacks.md is the table that comes out. After a change: `WRITE_REPORT=1 scripts/cargo test --test attack`.

#![allow(clippy::unwrap_used)]

mod datagrams;
mod http;
mod logs;
mod offers;
mod pages;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod users;

use std::{env, fs, path::Path, time::Duration};

use self::scene::Scene;

/// For anything that takes a connection to a camera or a viewer; generous because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);
/// More than the gateway ever needs with one viewer, in kB, also when it is built for debugging.
const MEMORY: u64 = 512 * 1024;

const HEAD: &str = "# Attacks

What `tests/attack` tries against the running gateway over real sockets, and what of it got in. Made by that test, which fails
when anything does. Meanwhile a viewer plays on: no packet and no picture is missing in what arrives, and the gateway's memory
stays bounded.

| attack | what counts as let in | tried | let in |
|---|---|---|---|
";

/// One kind of attack, and what came of it.
#[derive(Debug)]
struct Row {
    attack: &'static str,
    let_in_when: &'static str,
    tried: usize,
    /// Descriptions of what got in.
    let_in: Vec<String>,
}

fn report(rows: &[Row]) -> String {
    let line = |row: &Row| format!("| {} | {} | {} | {} |\n", row.attack, row.let_in_when, row.tried, row.let_in.len());
    HEAD.to_owned() + &rows.iter().map(line).collect::<String>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_in_and_the_picture_plays_on() {
    let scene = Scene::new().await;
    // They hang on while everything else is tried.
    let slow = http::begin_slowly(&scene).await;
    let mut rows = Vec::new();
    macro_rules! attack {
        ($row:expr) => {
            rows.push($row);
            println!("{} kB after {}", scene.gateway.rss_kb(), rows.last().map_or("", |row: &Row| row.attack));
            scene.plays_on().await;
        };
    }
    attack!(http::malformed(&scene).await);
    attack!(http::smuggled(&scene).await);
    attack!(http::traversal(&scene).await);
    attack!(pages::forged_requests(&scene).await);
    attack!(pages::foreign_sockets(&scene).await);
    attack!(users::bad_credentials(&scene).await);
    attack!(tokens::forged(&scene).await);
    attack!(users::ended_logins(&scene).await);
    attack!(users::known_names(&scene).await);
    attack!(users::ended_links(&scene).await);
    attack!(users::others_sessions(&scene).await);
    attack!(users::no_rights(&scene).await);
    attack!(logs::injected(&scene).await);
    attack!(offers::hostile(&scene).await);
    attack!(offers::hostile_publications(&scene).await);
    attack!(datagrams::spoofed(&scene).await);
    attack!(datagrams::connections(&scene).await);
    attack!(http::end_slowly(&scene, slow).await);
    let report = report(&rows);
    println!("{report}");
    for row in &rows {
        assert!(row.let_in.is_empty(), "{}: {:#?}", row.attack, &row.let_in[..row.let_in.len().min(20)]);
    }
    scene.has_missed_nothing().await;
    assert!(scene.gateway.rss_kb() < MEMORY, "{} kB", scene.gateway.rss_kb());
    assert!(!scene.gateway.log().contains("panicked"), "a fault that was contained is one all the same");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/attacks.md");
    if env::var_os("WRITE_REPORT").is_some() {
        fs::write(&path, &report).expect("docs can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == report, "docs/attacks.md is stale: run WRITE_REPORT=1 scripts/cargo test --test attack");
}
