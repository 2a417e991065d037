//! The one subscriber of a process: a log on stderr, and spans for OpenTelemetry that do not depend on the log's level.
//! It does not know where the wish for a format or a filter came from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::otel;
use crate::writer::Redacting;

/// How long [`Guard`] waits for the last spans to leave the process.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Our crates, whose spans make up a trace. Foreign spans would only be noise in it.
const OURS: &[&str] = &[
    "domain",
    "bus",
    "projections",
    "platform",
    "service",
    "telemetry",
    "servers",
    "trigger_ingester",
    "policy_evaluator",
    "dispatcher",
    "agent_",
    "status_syncer",
    "api",
    "ctrlplane",
    "fake_argo",
    "fake_github",
    "tests",
];

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One compact line for people.
    Text,
    /// One JSON object per line for machines.
    Json,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The process has its subscriber already; a second one would be silently without effect.
    #[error("telemetry is already initialised in this process")]
    AlreadyInitialised,
    /// The log filter does not parse.
    #[error("the log filter does not parse: {0}")]
    Filter(String),
    /// A standard `OTEL_…` variable has a value that cannot be followed.
    #[error("{variable}: {reason}")]
    Otel {
        /// The variable's name.
        variable: &'static str,
        /// What is wrong with its value; never the value of a secret.
        reason: String,
    },
}

/// Starts logs and traces, once per process. The all-in-one calls it once for all its services.
///
/// `log_filter` is in the syntax of [`EnvFilter`] (`info,bus=debug`) and concerns the log alone:
/// spans of our crates are recorded from `INFO` up whatever it says, so that trace context flows at `warn` too.
/// Spans leave the process over OTLP (http/protobuf) only when `OTEL_EXPORTER_OTLP_ENDPOINT` or
/// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER=none`,
/// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and the `OTEL_TRACES_SAMPLER` and `OTEL_BSP_` families are followed.
///
/// # Errors
/// See [`InitError`]; in every case nothing was installed.
pub fn init(service_name: &str, format: LogFormat, log_filter: &str) -> Result<Guard, InitError> {
    check_filter(log_filter)?;
    let provider = otel::provider(service_name, &otel::from_environment)?;
    if INITIALISED.swap(true, Ordering::SeqCst) {
        return Err(InitError::AlreadyInitialised);
    }
    subscriber(format, log_filter, &provider, std::io::stderr)?
        .try_init()
        .map_err(|_| InitError::AlreadyInitialised)?;
    Ok(Guard { provider, format, ended: false })
}

/// Starts telemetry for a test process: no exporter, the log captured by the test harness, and any number of calls.
pub fn init_for_tests() {
    if INITIALISED.swap(true, Ordering::SeqCst) {
        return;
    }
    let provider = SdkTracerProvider::builder().build();
    let filter = otel::from_environment("RUST_LOG").unwrap_or_else(|| "warn".to_owned());
    let writer = tracing_subscriber::fmt::TestWriter::default;
    // A test that installed a subscriber of its own keeps it.
    if let Ok(subscriber) = subscriber(LogFormat::Text, &filter, &provider, writer) {
        let _theirs_stays = subscriber.try_init();
    }
}

/// Whether a log filter parses, for a check of settings that must not start anything.
///
/// # Errors
/// [`InitError::Filter`] with the parser's reason.
pub fn check_filter(log_filter: &str) -> Result<(), InitError> {
    parse_filter(log_filter).map(drop)
}

/// Keeps telemetry alive; sends what is left when it is dropped.
#[must_use = "dropping the guard ends the traces"]
#[derive(Debug)]
pub struct Guard {
    provider: SdkTracerProvider,
    format: LogFormat,
    ended: bool,
}

impl Guard {
    /// Logs the reason of a process's failure in the log's format, whatever the filter hides: nobody should have to
    /// guess why a process is gone.
    pub fn report_failure(&self, name: &str, chain: &str) {
        if let Ok(subscriber) = subscriber(self.format, "error", &self.provider, std::io::stderr) {
            tracing::subscriber::with_default(subscriber, || tracing::error!(error = chain, "{name} failed"));
        }
    }

    /// Sends the spans that are left, waiting five seconds at most. Blocks: call it outside the runtime.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_MAX) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

/// The layers, without installing them.
pub(crate) fn subscriber<W>(
    format: LogFormat,
    log_filter: &str,
    provider: &SdkTracerProvider,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, InitError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("ctrlplane"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_targets(OURS.iter().map(|target| (*target, LevelFilter::INFO))));
    Ok(tracing_subscriber::registry().with(spans).with(log(format, parse_filter(log_filter)?, writer)))
}

fn log<S, W>(format: LogFormat, filter: EnvFilter, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(Redacting(writer));
    match format {
        LogFormat::Text => layer.with_ansi(false).compact().with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    }
}

fn parse_filter(log_filter: &str) -> Result<EnvFilter, InitError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(log_filter)
        .map_err(|error| InitError::Filter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::tests::Captured;

    fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
        let captured = Captured::default();
        let provider = SdkTracerProvider::builder().build();
        let subscriber = subscriber(format, filter, &provider, captured.clone()).expect("the filter parses");
        tracing::subscriber::with_default(subscriber, act);
        captured.text()
    }

    #[test]
    fn the_log_follows_its_filter() {
        let text = logged(LogFormat::Text, "warn", || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn json_lines_carry_their_fields_on_top() {
        let text = logged(LogFormat::Json, "info", || tracing::info!(job = "j1", "requested"));
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        assert!(text.contains(r#""job":"j1""#) && text.contains(r#""message":"requested""#), "{text}");
    }

    #[test]
    fn a_token_never_reaches_the_log() {
        let token = "ghs_0123456789abcdefghijABCDEFGHIJ";
        for format in [LogFormat::Text, LogFormat::Json] {
            let text =
                logged(format, "info", || tracing::warn!(header = %format!("Bearer {token}"), "refused"));
            assert!(text.contains("refused") && !text.contains(token), "{text}");
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_reason() {
        let error = check_filter("bus=loudest").expect_err("no such level");
        assert!(error.to_string().contains("log filter"), "{error}");
        check_filter("warn,bus=debug").expect("a usual filter");
    }
}
