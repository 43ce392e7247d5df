//! The log: lines for people, or a JSON object for each event; under systemd without what its journal has anyway.
//!
//! In: `[log]` of the configuration and `RUST_LOG`, which wins. Out: lines on standard error. Each tells one thing that happened,
//! with `camera`, `session`, `client` and `user` as fields where it is about one. Nobody waits for them to be written.

mod queue;

use std::{
    fmt,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
};

use serde::Deserialize;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer, writer::BoxMakeWriter},
    layer::{Layered, SubscriberExt as _},
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use self::queue::Queue;
pub use self::queue::{flush, lost_lines};

/// `[log]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What a line looks like.
    pub format: Format,
    /// What is worth a line.
    pub level: Detail,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// A JSON object.
    Json,
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// What somebody has to mend.
    Error,
    /// What may need somebody.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// What is tried.
    Debug,
    /// Everything.
    Trace,
}

impl Detail {
    /// Our dependencies report what viewers do wrong as warnings, which would let any viewer fill the log.
    fn filter(self) -> EnvFilter {
        EnvFilter::new(match self {
            Self::Error => "error",
            Self::Warn => "error,camgate=warn",
            Self::Info => "error,camgate=info",
            Self::Debug => "error,camgate=debug",
            Self::Trace => "error,camgate=trace",
        })
    }
}

/// What is worth a line, and what may come after it.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Lines<S> = Box<dyn Layer<S> + Send + Sync>;

/// A log that is written.
pub struct Log {
    config: Config,
    /// Nothing where RUST_LOG has said what is worth a line.
    filter: Option<reload::Handle<EnvFilter, Registry>>,
    lines: reload::Handle<Lines<Filtered>, Filtered>,
    /// The way of lines; nothing where whoever says something writes it.
    queue: Option<Queue>,
}

impl Log {
    /// Writes from now on. To be called once.
    pub fn start(config: Config) -> Self {
        let asked = EnvFilter::try_from_default_env().ok();
        let is_asked = asked.is_some();
        let (filter, handle) = reload::Layer::new(asked.unwrap_or_else(|| config.level.filter()));
        // Without a thread it is written by whoever has something to say.
        let queue = Queue::start().ok();
        let (lines, format) = reload::Layer::new(lines(config.format, way(queue.as_ref())));
        tracing_subscriber::registry().with(filter).with(lines).init();
        Self { config, filter: Some(handle).filter(|_| !is_asked), lines: format, queue }
    }

    /// Takes up another level and another format, from the next line on.
    pub fn change(&mut self, config: Config) {
        // Both fail only when there is no log any more.
        if let Some(filter) = self.filter.as_ref().filter(|_| config.level != self.config.level) {
            let _ = filter.reload(config.level.filter());
        }
        if config.format != self.config.format {
            let _ = self.lines.reload(lines(config.format, way(self.queue.as_ref())));
        }
        self.config = config;
    }
}

/// The log of a command: nothing, unless RUST_LOG asks for some.
pub fn start_quiet() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::registry().with(filter).with(lines(Format::Human, way(None))).init();
}

fn way(queue: Option<&Queue>) -> BoxMakeWriter {
    queue.map_or_else(|| BoxMakeWriter::new(io::stderr), |queue| BoxMakeWriter::new(queue.clone()))
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(format: Format, way: BoxMakeWriter) -> Lines<S> {
    // A line that cannot be written is not complained of where it cannot be written either.
    let layer = tracing_subscriber::fmt::layer().with_writer(way).log_internal_errors(false);
    let is_journal = goes_to_journal();
    match format {
        Format::Json => {
            let format = tracing_subscriber::fmt::format().json().flatten_event(true).with_target(false);
            let format = format.with_current_span(false).with_span_list(false);
            let fields = tracing_subscriber::fmt::format::JsonFields::new();
            let layer = layer.fmt_fields(fields).with_ansi(false);
            if is_journal { layer.event_format(Prefixed(format)).boxed() } else { layer.event_format(format).boxed() }
        }
        Format::Human => {
            let format = tracing_subscriber::fmt::format().with_target(false);
            if is_journal {
                layer.with_ansi(false).event_format(Prefixed(format.without_time())).boxed()
            } else {
                layer.with_ansi(io::stderr().is_terminal()).event_format(format).boxed()
            }
        }
    }
}

/// Whether standard error is what systemd has connected to its journal: it may have been sent elsewhere (systemd.exec(5),
/// `$JOURNAL_STREAM`).
fn goes_to_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let Ok(own) = std::fs::metadata("/proc/self/fd/2") else { return false };
    named.is_some_and(|named| named == format!("{}:{}", own.dev(), own.ino()))
}

/// Lines with how urgent they are in front (sd-daemon(3)), which the journal takes off again.
struct Prefixed<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prefixed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}
