//! The text format of Prometheus (exposition format 0.0.4), which every scraper reads.

use prometheus::{
    Encoder, TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

/// What names begin with.
const NAMESPACE: &str = "camgate";

/// Label names and values of one sample.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Samples of one name.
pub(super) struct Family {
    family: MetricFamily,
    kind: MetricType,
}

/// All that is told.
#[derive(Default)]
pub(in crate::http) struct Page(Vec<MetricFamily>);

impl Page {
    /// Something that goes up and down. `name` without `camgate_`, in base units.
    pub(in crate::http) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(Family::gauge(name, help).with(&[], value));
    }

    /// Something that only grows. `name` without `camgate_`, with `_total`.
    pub(in crate::http) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(Family::counter(name, help).with(&[], value as f64));
    }

    /// Samples with labels; nothing is told of none.
    pub(super) fn family(&mut self, family: Family) {
        self.collected(family.family);
    }

    /// What one of the library's own metrics has collected.
    pub(in crate::http) fn collected(&mut self, family: MetricFamily) {
        if !family.get_metric().is_empty() {
            self.0.push(family);
        }
    }

    /// The text; `None` for a fault of ours.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0, &mut text).ok()?;
        String::from_utf8(text).ok()
    }
}

impl Family {
    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self::new(MetricType::GAUGE, format!("{NAMESPACE}_{name}"), help)
    }

    pub(super) fn counter(name: &str, help: &str) -> Self {
        Self::new(MetricType::COUNTER, format!("{NAMESPACE}_{name}"), help)
    }

    /// Of the names that every process has, whatever it is for.
    pub(super) fn of_process(kind: MetricType, name: &str, help: &str) -> Self {
        Self::new(kind, format!("process_{name}"), help)
    }

    fn new(kind: MetricType, name: String, help: &str) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name);
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self { family, kind }
    }

    /// With one more sample.
    pub(super) fn with(mut self, labels: Labels<'_>, value: f64) -> Self {
        self.add(labels, value);
        self
    }

    /// One more sample.
    pub(super) fn add(&mut self, labels: Labels<'_>, value: f64) {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut metric = Metric::from_label(labels.iter().map(pair).collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_written_as_the_format_asks() {
        let mut page = Page::default();
        page.gauge("depth_bytes", "How deep", 1.5);
        page.family(Family::counter("drops_total", "What fell").with(&[("camera", "a\"b\n")], 3.0));
        page.family(Family::counter("nothing_total", "What never was"));
        assert_eq!(
            page.text().expect("a text"),
            "# HELP camgate_depth_bytes How deep\n# TYPE camgate_depth_bytes gauge\ncamgate_depth_bytes 1.5\n\
             # HELP camgate_drops_total What fell\n# TYPE camgate_drops_total counter\n\
             camgate_drops_total{camera=\"a\\\"b\\n\"} 3\n"
        );
    }
}
