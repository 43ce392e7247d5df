//! What a gateway holds: by what /proc and its own metrics say of it.

use std::collections::BTreeMap;

use super::gateway::Gateway;

/// The metrics that grow and shrink with viewers.
const GAUGES: [&str; 6] = [
    "camgate_routes{",
    "camgate_worker_sessions{",
    "camgate_tcp_connections",
    "camgate_http_connections",
    "camgate_event_streams",
    "camgate_tasks",
];

/// At one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub rss_kb: u64,
    pub threads: u64,
    pub descriptors: usize,
    /// Values of gauges by name and labels.
    pub gauges: BTreeMap<String, f64>,
}

impl Held {
    /// Asks over a connection of its own: those that a client keeps open are not the gateway's doing.
    pub async fn look(gateway: &Gateway) -> Self {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");
        let scrape = http.get(gateway.url("/metrics")).send().await.expect("the metrics");
        let scrape = scrape.text().await.expect("the metrics");
        let ours = scrape.lines().filter(|line| GAUGES.iter().any(|gauge| line.starts_with(gauge)));
        let gauges = ours.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        let gauges = gauges.collect();
        Self { rss_kb: gateway.rss_kb(), threads: gateway.threads(), descriptors: gateway.fds(), gauges }
    }

    /// The sum of gauges whose name and labels begin so.
    pub fn gauge(&self, name: &str) -> f64 {
        self.gauges.iter().filter(|(gauge, _)| gauge.starts_with(name)).map(|(_, value)| value).sum()
    }

    /// What is more than it was `before`, in words. Memory is left out: allocators keep some.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let mut more = Vec::new();
        let mut compare = |name: &str, now: f64, then: f64| {
            if now > then {
                more.push(format!("{name}: {now}, and {then} before"));
            }
        };
        compare("threads", self.threads as f64, before.threads as f64);
        compare("descriptors", self.descriptors as f64, before.descriptors as f64);
        for (name, now) in &self.gauges {
            compare(name, *now, before.gauges.get(name).copied().unwrap_or_default());
        }
        more
    }
}
