//! What Prometheus scrapes: by its conventions, as docs/metrics.md says, and enough for the dashboard and the alerts beside it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    LIMIT,
    support::{
        camera::{Audio, Camera},
        gateway::{Gateway, client},
        viewer::Viewer,
        wait,
    },
    tls::certificate,
};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../docs/grafana.json");
const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.yml");
/// Told only when a viewer's network has been full, which loopback never is.
const UNPROVOKED: &str = "camgate_viewer_lowest_estimate_bytes_per_second";

async fn scrape(gateway: &Gateway) -> String {
    gateway.get("/metrics").await.expect("an answer").text().await.expect("a text")
}

/// What promtool says of `input`, which is nothing when it is content.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's prometheus");
    tool.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    format!("{}{}", if output.status.success() { "" } else { "failed: " }, String::from_utf8_lossy(&said))
}

/// The names of all metrics of a scrape.
fn names(scrape: &str) -> BTreeSet<String> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// The names in the first column of the tables of docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    rows.map(str::to_owned).collect()
}

/// The names of ours in a query; those that a histogram or the scraper adds by the metric's own.
fn asked_for(query: &str) -> Vec<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("camgate_") || word.starts_with("process_"));
    ours.map(|word| {
        let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
        of_histogram.unwrap_or(word).to_owned()
    })
    .collect()
}

/// All values of `key` in a document.
fn values<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match document {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    other => values(other, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_metric_is_by_the_conventions_and_documented() {
    let camera = Camera::builder().audio(Audio::Opus).gop(15).start();
    let entry = format!("{}\nstart = \"always\"\nclip_seconds = 5\n{}", camera.toml("front"), camera.toml("back"));
    let builder = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry);
    let gateway = builder.webrtc("max_sessions_per_camera = 1").spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_connected(LIMIT).await;
    let said = gateway.http().post(format!("{}/quality", viewer.resource())).header("content-type", "application/json");
    assert_eq!(said.body("{\"camera_to_screen_ms\": 80}").send().await.expect("an answer").status(), 200);
    assert!(Viewer::builder(gateway.whep("front")).try_join().await.is_err(), "there is room for one");
    Viewer::join(gateway.whep("back")).await.close().await;
    // Keyframes have come twice, the viewer has reported, and the other's session is over.
    let ready = async || {
        let scrape = scrape(&gateway).await;
        let is_there = |name: &str| scrape.lines().any(|line| line.starts_with(name));
        let all =
            ["camgate_camera_gop_seconds{", "camgate_viewer_highest_rtt_seconds{", "camgate_camera_sound_lag_seconds{"];
        (all.into_iter().all(is_there) && is_there("camgate_viewer_sessions_ended_total{camera=\"back\""))
            .then_some(scrape)
    };
    let plain = wait::until("everything has been measured", LIMIT, ready).await;
    assert_eq!(promtool(&["check", "metrics"], &plain), "", "{plain}");
    let value = |sample: &str| {
        let value = plain.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {sample} in {plain}"))
    };
    assert_eq!(value("camgate_sessions{camera=\"front\",state=\"connected\"}"), 1.0);
    assert_eq!(value("camgate_sessions{camera=\"back\",state=\"connected\"}"), 0.0);
    assert_eq!(value("camgate_viewer_sessions_total{camera=\"back\"}"), 1.0);
    assert_eq!(value("camgate_viewer_sessions_ended_total{camera=\"back\",reason=\"deleted\"}"), 1.0);
    assert_eq!(value("camgate_refused_sessions_total{limit=\"max_sessions_per_camera\"}"), 1.0);
    assert_eq!(value("camgate_camera_to_screen_seconds_count{camera=\"front\"}"), 1.0);
    let age = value("camgate_camera_last_frame_age_seconds{camera=\"front\",track=\"video\"}");
    assert!((0.0..5.0).contains(&age), "{age}");
    let rss = value("process_resident_memory_bytes") / 1024.0;
    assert!((rss / gateway.rss_kb() as f64 - 1.0).abs() < 0.5, "{rss} kB");

    let (certificate, key) = certificate("cam.example.org");
    let encrypted = Gateway::builder(env!("CARGO_BIN_EXE_camgate")).tls(&certificate, &key).spawn().await;
    let encrypted = client().build().expect("a client").get(encrypted.url("/metrics")).send().await.expect("an answer");
    let encrypted = encrypted.text().await.expect("a text");
    assert_eq!(promtool(&["check", "metrics"], &encrypted), "", "{encrypted}");
    let mut told = &names(&plain) | &names(&encrypted);
    told.insert(UNPROVOKED.to_owned());
    assert_eq!(told, documented(), "left: what is told; right: docs/metrics.md");
}

#[tokio::test]
async fn sums_over_viewers_never_go_back() {
    let camera = Camera::builder().start();
    let gateway = crate::gateway(&camera, "start = \"always\"").await;
    let sent = async || {
        let scrape = scrape(&gateway).await;
        let value =
            scrape.lines().find_map(|line| line.strip_prefix("camgate_viewer_sent_bytes_total{camera=\"front\"} "));
        value.map_or(0.0, |value| value.parse::<f64>().expect("a number"))
    };
    let mut before = 0.0;
    for _ in 0..3 {
        let viewer = Viewer::join(gateway.whep("front")).await;
        viewer.wait_connected(LIMIT).await;
        wait::until("more has been sent", LIMIT, async || (sent().await > before + 10_000.0).then_some(())).await;
        let watched = sent().await;
        viewer.close().await;
        gateway.wait_sessions(0, LIMIT).await;
        before = sent().await;
        assert!(before >= watched, "{watched} bytes were sent, and {before} after the viewer has left");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(sent().await, before, "nobody watches");
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("docs/grafana.json is JSON");
    let mut queries = Vec::new();
    values(&dashboard, "expr", &mut queries);
    values(&dashboard, "definition", &mut queries);
    assert!(queries.len() > 15, "{queries:?}");
    let alerts = fs::read_to_string(ALERTS).expect("docs/alerts.yml");
    let documented = documented();
    for query in queries.iter().copied().chain(alerts.lines().filter(|line| line.contains("expr:"))) {
        let names = asked_for(query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            assert!(documented.contains(&name), "{query} asks for {name}, which docs/metrics.md does not have");
        }
    }
    let said = promtool(&["check", "rules", ALERTS], "");
    assert!(said.contains("SUCCESS") && !said.contains("failed"), "{said}");
    // Prometheus itself reads the dashboard's queries, as rules.
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    queries.retain(|query| !query.starts_with("label_values("));
    for (index, query) in queries.iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace("$camera", "front");
        let query = serde_json::to_string(&query).expect("a text");
        rules.push_str(&format!("  - {{record: \"query:{index}\", expr: {query}}}\n"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dashboard.yml");
    fs::write(&file, &rules).expect("a file");
    let said = promtool(&["check", "rules", file.to_str().expect("a path")], "");
    assert!(said.contains(&format!("SUCCESS: {} rules found", queries.len())), "{said}\n{rules}");
}
