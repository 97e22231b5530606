//! How does an operational log line look?
//!
//! For people, or as JSON in the field names of Google Cloud Logging
//! (<https://cloud.google.com/logging/docs/structured-logging>). One event is one line: control characters are escaped
//! in both. What other libraries say below `info` is left out whatever the level, since frames and headers appear there.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::clock::Clock;

/// How log lines look and which are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For whom.
    pub format: Format,
    /// As in tracing-subscriber's `EnvFilter`.
    pub level: String,
    /// The Google Cloud project whose traces lines are linked to (`logging.googleapis.com/trace`), in JSON.
    pub google_project: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Human, level: "info".to_owned(), google_project: None }
    }
}

/// For whom log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// People.
    Human,
    /// Google Cloud Logging, and whatever else reads JSON lines.
    Json,
}

/// Logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryFault {
    /// No filter.
    #[error("the log level is not one: {0}")]
    Level(#[from] ParseError),
    /// Twice in one process.
    #[error("logging has begun already")]
    Twice,
}

/// Begins to write log lines to standard error. Once for each process.
///
/// # Errors
/// [`TelemetryFault`].
pub fn begin(settings: &Settings, clock: Clock) -> Result<(), TelemetryFault> {
    begin_on(std::io::stderr(), settings, clock)
}

/// The same for a process that serves: whoever reads standard error may stop reading, and no request waits for that. Lines
/// that find no room are dropped. What is left is written when the guard is dropped, if that can be done within a second.
///
/// # Errors
/// [`TelemetryFault`].
pub fn begin_beside(settings: &Settings, clock: Clock) -> Result<WorkerGuard, TelemetryFault> {
    let (out, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped = out.error_counter();
    let reporting = Reporting { out, dropped, reported: 0, format: settings.format };
    begin_on(reporting, settings, clock)?;
    Ok(guard)
}

/// How many lines may wait to be written.
const LINES: usize = 8192;

/// Says before the next line how many there was no room for.
struct Reporting {
    out: NonBlocking,
    dropped: ErrorCounter,
    reported: usize,
    format: Format,
}

impl Write for Reporting {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let dropped = self.dropped.dropped_lines();
        let news = dropped.saturating_sub(std::mem::replace(&mut self.reported, dropped));
        if news > 0 {
            let message = format!("{news} log lines were dropped: they were not read in time");
            let told = match self.format {
                Format::Human => format!("{message}\n"),
                Format::Json => json!({"severity": "ERROR", "message": message}).to_string() + "\n",
            };
            self.out.write_all(told.as_bytes())?;
        }
        self.out.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn begin_on<W: Write + Send + 'static>(out: W, settings: &Settings, clock: Clock) -> Result<(), TelemetryFault> {
    let traces = settings.google_project.as_ref().map(|project| format!("projects/{project}/traces/"));
    let lines = Lines { format: settings.format, clock, traces, out: Mutex::new(out) };
    let subscriber = subscriber(lines, &settings.level)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryFault::Twice)
}

fn subscriber<W: Write + Send + 'static>(
    lines: Lines<W>,
    level: &str,
) -> Result<impl Subscriber + Send + Sync, TelemetryFault> {
    let wanted = EnvFilter::try_new(level)?;
    Ok(tracing_subscriber::registry().with(wanted).with(lines.with_filter(Ours)))
}

/// Lets only our own words through below `info`.
struct Ours;

impl<S> Filter<S> for Ours {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO || metadata.target().split("::").next() == Some("trackgate")
    }
}

/// Writes one line for each event.
struct Lines<W> {
    format: Format,
    clock: Clock,
    /// What Cloud Logging wants before the name of a trace.
    traces: Option<String>,
    out: Mutex<W>,
}

/// What a span was told, kept for the events inside it.
struct Told(Map<String, Value>);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Told(fields.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id)
            && let Some(told) = span.extensions_mut().get_mut::<Told>()
        {
            told.0.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if let Some(told) = span.extensions().get::<Told>() {
                fields.0.extend(told.0.clone());
            }
        }
        event.record(&mut fields);
        let line = match self.format {
            Format::Human => human(self.clock.now(), event.metadata(), fields.0),
            Format::Json => cloud(self.clock.now(), event.metadata(), fields.0, self.traces.as_deref()),
        };
        // A log that cannot be written is no reason to fail a request.
        if let Ok(mut out) = self.out.lock() {
            let _ = out.write_all(line.as_bytes());
        }
    }
}

fn human(now: SystemTime, metadata: &Metadata<'_>, mut fields: Map<String, Value>) -> String {
    let message = fields.remove("message");
    let mut line = format!("{} {:>5} ", rfc3339(now), metadata.level());
    escape(&mut line, message.as_ref().and_then(Value::as_str).unwrap_or_default());
    for (name, value) in &fields {
        let _ = write!(line, " {name}=");
        match value {
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"']) => escape(&mut line, text),
            Value::String(text) => {
                line.push('"');
                escape(&mut line, &text.replace('"', "\\\""));
                line.push('"');
            }
            other => escape(&mut line, &other.to_string()),
        }
    }
    let _ = writeln!(line, " ({})", metadata.target());
    line
}

fn cloud(now: SystemTime, metadata: &Metadata<'_>, fields: Map<String, Value>, traces: Option<&str>) -> String {
    let severity = match *metadata.level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    };
    let mut line = Map::new();
    line.insert("time".to_owned(), json!(rfc3339(now)));
    line.insert("severity".to_owned(), json!(severity));
    line.insert("target".to_owned(), json!(metadata.target()));
    let mut request = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "http.method" => drop(request.insert("requestMethod".to_owned(), value)),
            "http.path" => drop(request.insert("requestUrl".to_owned(), value)),
            "http.status" => drop(request.insert("status".to_owned(), value)),
            "http.client" => drop(request.insert("remoteIp".to_owned(), value)),
            "http.latency_ms" => {
                let seconds = value.as_f64().unwrap_or_default() / 1000.0;
                // A duration in JSON has nine decimals at the most (google.protobuf.Duration).
                request.insert("latency".to_owned(), json!(format!("{seconds:.6}s")));
            }
            "trace" => match (traces, value.as_str()) {
                (Some(before), Some(trace)) => {
                    line.insert("logging.googleapis.com/trace".to_owned(), json!(format!("{before}{trace}")));
                }
                _ => drop(line.insert(name, value)),
            },
            "span" if traces.is_some() => drop(line.insert("logging.googleapis.com/spanId".to_owned(), value)),
            "sampled" if traces.is_some() => {
                line.insert("logging.googleapis.com/trace_sampled".to_owned(), value);
            }
            _ => drop(line.insert(name, value)),
        }
    }
    if !request.is_empty() {
        line.insert("httpRequest".to_owned(), Value::Object(request));
    }
    let mut line = tame(&Value::Object(line).to_string()).into_owned();
    line.push('\n');
    line
}

/// JSON in which no control character stands raw: DEL and those of U+0080 to U+009F may (RFC 8259 section 7), and terminals
/// obey them (U+009B is ESC [, ECMA-48 section 5.3). Nor what some readers take for the end of a line. They can stand in
/// texts alone, so that their escapes mean the same.
pub(crate) fn tame(json: &str) -> Cow<'_, str> {
    let wild = |sign: char| sign.is_control() || matches!(sign, '\u{2028}' | '\u{2029}');
    if !json.contains(wild) {
        return Cow::Borrowed(json);
    }
    let mut tame = String::with_capacity(json.len() + 16);
    for sign in json.chars() {
        if wild(sign) {
            let _ = write!(tame, "\\u{:04x}", u32::from(sign));
        } else {
            tame.push(sign);
        }
    }
    Cow::Owned(tame)
}

fn rfc3339(now: SystemTime) -> String {
    let now = OffsetDateTime::from(now);
    now.replace_millisecond(now.millisecond()).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

/// Control characters as `\u{..}`: neither a new line nor an escape code reaches a terminal (RUSTSEC-2025-0055).
fn escape(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            let _ = write!(line, "{}", c.escape_unicode());
        } else {
            line.push(c);
        }
    }
}

/// Collects what an event or a span says.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        const SECRET: [&str; 7] = ["token", "cookie", "secret", "password", "authorization", "code", "verifier"];
        let name = field.name();
        // No call site says such a thing; should one ever, it is not written.
        let value = if SECRET.contains(&name) { json!("[redacted]") } else { value };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(deeper) = source {
            let deeper_text = deeper.to_string();
            // Most errors here name their source already.
            if !text.contains(&deeper_text) {
                let _ = write!(text, ": {deeper_text}");
            }
            source = deeper.source();
        }
        self.put(field, json!(text));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, level: &str, say: impl FnOnce()) -> String {
        let out = Out::default();
        let clock = Clock::set_to(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
        let traces = Some("projects/my-project/traces/".to_owned());
        let lines = Lines { format, clock, traces, out: Mutex::new(out.clone()) };
        tracing::subscriber::with_default(subscriber(lines, level).unwrap(), say);
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let nasty = "first\nsecond\u{1b}[2J\u{9b}2J\u{7f}\r\u{2028}end";
        let human = written(Format::Human, "info", || tracing::info!(path = nasty, "{nasty}"));
        assert_eq!(human.matches('\n').count(), 1);
        assert!(!human.trim_end().contains(|sign: char| sign.is_control() || sign == '\u{2028}'), "{human:?}");
        let cloud = written(Format::Json, "info", || tracing::info!(path = nasty, "{nasty}"));
        assert_eq!(cloud.matches('\n').count(), 1);
        assert!(!cloud.trim_end().contains(|sign: char| sign.is_control() || sign == '\u{2028}'), "{cloud:?}");
        let parsed: Value = serde_json::from_str(&cloud).unwrap();
        assert_eq!(parsed["message"], nasty);
    }

    #[test]
    fn people_see_time_level_message_and_fields() {
        let line = written(Format::Human, "info", || tracing::warn!(user = "alice", tries = 3, why = "a b", "no luck"));
        assert_eq!(
            line,
            "2023-11-14T22:13:20.123Z  WARN no luck tries=3 user=alice why=\"a b\" (trackgate::telemetry::tests)\n"
        );
    }

    #[test]
    fn a_line_of_a_request_is_linked_to_its_trace() {
        let line = written(Format::Json, "info", || {
            tracing::warn!(trace = "4bf9", span = "00f0", sampled = true, "refused");
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["logging.googleapis.com/trace"], "projects/my-project/traces/4bf9");
        assert_eq!(line["logging.googleapis.com/spanId"], "00f0");
        assert_eq!(line["logging.googleapis.com/trace_sampled"], true);
        assert!(["trace", "span", "sampled"].iter().all(|name| line.get(name).is_none()), "{line}");
    }

    #[test]
    fn cloud_logging_finds_its_fields() {
        let line = written(Format::Json, "info", || {
            let span = tracing::info_span!("request", request_id = "r-1");
            span.in_scope(|| {
                tracing::warn!(
                    http.method = "GET",
                    http.path = "/x",
                    http.status = 403,
                    http.latency_ms = 12.5,
                    http.client = "192.0.2.1",
                    "refused"
                );
            });
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["severity"], "WARNING");
        assert_eq!(line["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(line["message"], "refused");
        assert_eq!(line["request_id"], "r-1");
        assert_eq!(
            line["httpRequest"],
            json!({"requestMethod": "GET", "requestUrl": "/x", "status": 403, "latency": "0.012500s",
                   "remoteIp": "192.0.2.1"})
        );
    }

    #[test]
    fn what_a_library_says_below_info_is_never_written() {
        let text = written(Format::Human, "trace", || {
            tracing::debug!(target: "h2::codec", "frame with a header of ours");
            tracing::info!(target: "h2::codec", "loud");
            tracing::trace!(target: "trackgate::gate", "quiet");
        });
        assert!(!text.contains("frame"));
        assert!(text.contains("loud") && text.contains("quiet"));
    }

    #[test]
    fn a_field_named_like_a_secret_is_not_written() {
        let text = written(Format::Json, "info", || tracing::info!(token = "eyJhbGciOi", cookie = "abc123", "oops"));
        assert!(!text.contains("eyJ") && !text.contains("abc123"), "{text}");
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let lines =
            Lines { format: Format::Human, clock: Clock::System, traces: None, out: Mutex::new(Out::default()) };
        assert!(subscriber(lines, "trackgate=loud=very").is_err());
    }
}
