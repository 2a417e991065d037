//! Trace context (W3C `traceparent`) in and out of a span, for any carrier: a string, HTTP headers, or a map of texts.
//! The bus puts the string into its own headers; nothing here knows a message.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::TextMapPropagator as _;
pub use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header that carries a trace's context, in HTTP and on the bus.
pub const TRACEPARENT: &str = "traceparent";

/// The context of the span we are in, as `00-<trace>-<span>-<flags>`; `None` outside every recorded span.
pub fn current_traceparent() -> Option<String> {
    traceparent(&Span::current())
}

/// The context of `span`. Asking starts the span's record, so its parent must be set before.
pub fn traceparent(span: &Span) -> Option<String> {
    let mut carrier = One(None);
    inject(span, &mut carrier);
    carrier.0
}

/// Makes `span` a child of a remote span: for work that follows its cause at once. Without a (valid) context the span
/// begins a trace of its own. To be called before the span is entered or asked for its context.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    if let Some(text) = traceparent {
        extract(span, &One(Some(text.to_owned())));
    }
}

/// Links `span` to a remote span without becoming its child: for timers, late retries and batches, which are
/// traces of their own.
pub fn link(span: &Span, traceparent: Option<&str>) {
    let context = TraceContextPropagator::new()
        .extract_with_context(&opentelemetry::Context::new(), &One(traceparent.map(str::to_owned)));
    let remote = context.span().span_context().clone();
    if remote.is_valid() {
        span.add_link(remote);
    }
}

/// Makes `span` a child of the request that came with these headers; see [`set_parent`].
pub fn from_headers(span: &Span, headers: &HeaderMap) {
    extract(span, &Headers(headers));
}

/// Writes the context of the span we are in into the headers of a request about to be sent.
pub fn into_headers(headers: &mut HeaderMap) {
    inject(&Span::current(), &mut HeadersMut(headers));
}

/// Writes the context of `span` into any carrier; nothing when the span is not recorded.
pub fn inject(span: &Span, carrier: &mut dyn Injector) {
    TraceContextPropagator::new().inject_context(&span.context(), carrier);
}

/// Makes `span` a child of the context in any carrier; see [`set_parent`].
pub fn extract(span: &Span, carrier: &dyn Extractor) {
    let context = TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), carrier);
    if !context.span().span_context().is_valid() {
        return;
    }
    if let Err(error) = span.set_parent(context) {
        // A span that is filtered out, or a process without telemetry: there is nothing to attach to.
        tracing::trace!(%error, "the trace is not continued");
    }
}

/// A carrier of `traceparent` alone. We send no `tracestate`, so none is lost.
struct One(Option<String>);

impl Injector for One {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = Some(value);
        }
    }
}

impl Extractor for One {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == TRACEPARENT)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|_| TRACEPARENT).collect()
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing; what does not fit a header is not trace context.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{LogFormat, subscriber};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};

    const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const REMOTE_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// Runs at log level `warn`, where a layer without its own filter would lose every span.
    fn at_warn<T>(act: impl FnOnce() -> T) -> (T, Vec<SpanData>) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let subscriber =
            subscriber(LogFormat::Text, "warn", &provider, std::io::sink).expect("the filter parses");
        let outcome = tracing::subscriber::with_default(subscriber, act);
        // Read before the provider goes: its shutdown empties the exporter.
        (outcome, exporter.get_finished_spans().expect("readable"))
    }

    #[test]
    fn a_span_has_a_context_though_the_log_is_at_warn() {
        let (text, _) = at_warn(|| tracing::info_span!("work").in_scope(current_traceparent));
        let text = text.expect("a context");
        assert_eq!(text.len(), REMOTE.len(), "{text}");
        assert!(text.starts_with("00-") && text.ends_with("-01"), "{text}");
    }

    #[test]
    fn a_trace_goes_on_through_a_string() {
        let (text, spans) = at_warn(|| {
            let span = tracing::info_span!("consumer");
            set_parent(&span, Some(REMOTE));
            span.in_scope(|| tracing::info_span!("inner").in_scope(current_traceparent))
        });
        let text = text.expect("a context");
        assert!(text.contains(REMOTE_TRACE) && text != REMOTE, "{text}");
        let consumer = spans.iter().find(|span| span.name == "consumer").expect("recorded");
        assert_eq!(consumer.parent_span_id.to_string(), "b7ad6b7169203331");
    }

    #[test]
    fn a_trace_goes_on_through_headers() {
        let (headers, _) = at_warn(|| {
            let mut incoming = HeaderMap::new();
            incoming.insert(TRACEPARENT, HeaderValue::from_static(REMOTE));
            let span = tracing::info_span!("request");
            from_headers(&span, &incoming);
            let mut outgoing = HeaderMap::new();
            span.in_scope(|| into_headers(&mut outgoing));
            outgoing
        });
        let text = headers.get(TRACEPARENT).expect("written").to_str().expect("text");
        assert!(text.contains(REMOTE_TRACE), "{text}");
        assert_eq!(headers.len(), 1, "no empty tracestate: {headers:?}");
    }

    #[test]
    fn what_is_not_a_context_begins_a_new_trace() {
        for wrong in [None, Some(""), Some("00-zz-yy-01"), Some("garbage")] {
            let (text, _) = at_warn(|| {
                let span = tracing::info_span!("consumer");
                set_parent(&span, wrong);
                span.in_scope(current_traceparent)
            });
            assert!(text.expect("a context of its own").starts_with("00-"));
        }
    }

    #[test]
    fn a_sampling_refusal_is_inherited() {
        let refused = REMOTE.replace("-01", "-00");
        let (text, spans) = at_warn(|| {
            let span = tracing::info_span!("consumer");
            set_parent(&span, Some(&refused));
            span.in_scope(current_traceparent)
        });
        assert!(text.expect("a context").ends_with("-00"));
        assert!(spans.is_empty());
    }

    #[test]
    fn a_link_is_not_a_parent() {
        let ((), spans) = at_warn(|| {
            let span = tracing::info_span!("timer");
            link(&span, Some(REMOTE));
            span.in_scope(|| ());
        });
        assert_ne!(spans[0].span_context.trace_id().to_string(), REMOTE_TRACE);
        assert_eq!(spans[0].links.links[0].span_context.trace_id().to_string(), REMOTE_TRACE);
    }

    #[test]
    fn outside_a_span_there_is_no_context() {
        let (text, _) = at_warn(current_traceparent);
        assert_eq!(text, None);
    }
}
