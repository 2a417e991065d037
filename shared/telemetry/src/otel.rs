//! The tracer provider: always a real one, so that trace context is made and passed on; an exporter only when asked for.
//! The standard `OTEL_…` variables are its whole interface; it has no settings of ours.

use std::time::Duration;

use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::init::InitError;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";

/// How long one export may take (OpenTelemetry's default for `OTEL_EXPORTER_OTLP_TIMEOUT`).
const EXPORT_MAX: Duration = Duration::from_secs(10);

/// Looks a variable up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable of the process; an empty one counts as unset, as OpenTelemetry's specification says.
#[allow(clippy::disallowed_methods, reason = "the OTEL_ variables are read here and nowhere else")]
pub(crate) fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The provider. The default sampler of the SDK is parent-based and follows `OTEL_TRACES_SAMPLER`.
pub(crate) fn provider(service_name: &str, lookup: Lookup<'_>) -> Result<SdkTracerProvider, InitError> {
    let builder = SdkTracerProvider::builder().with_resource(resource(service_name, lookup));
    Ok(match endpoint(lookup)? {
        Some(endpoint) => builder.with_batch_exporter(exporter(&endpoint)?).build(),
        None => builder.build(),
    })
}

/// `OTEL_SERVICE_NAME`, then `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, then our own name.
fn resource(service_name: &str, lookup: Lookup<'_>) -> Resource {
    let named = lookup("OTEL_SERVICE_NAME").is_some()
        || lookup("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| {
            attributes.split(',').any(|pair| pair.trim_start().starts_with("service.name="))
        });
    let builder = Resource::builder();
    if named { builder.build() } else { builder.with_service_name(service_name.to_owned()).build() }
}

/// Where spans go, if anywhere.
fn endpoint(lookup: Lookup<'_>) -> Result<Option<Endpoint>, InitError> {
    let disabled = lookup("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || lookup("OTEL_TRACES_EXPORTER").is_some_and(|value| value.trim() == "none");
    let endpoint = match (lookup(TRACES_ENDPOINT), lookup(ENDPOINT)) {
        _ if disabled => return Ok(None),
        (Some(url), _) => Endpoint { variable: TRACES_ENDPOINT, url },
        (None, Some(base)) => {
            Endpoint { variable: ENDPOINT, url: format!("{}/v1/traces", base.trim_end_matches('/')) }
        }
        (None, None) => return Ok(None),
    };
    for variable in [TRACES_PROTOCOL, PROTOCOL] {
        match lookup(variable).as_deref() {
            None => {}
            Some("http/protobuf") => return Ok(Some(endpoint)),
            Some(other) => {
                let reason = format!("{other} is not spoken here, only http/protobuf");
                return Err(InitError::Otel { variable, reason });
            }
        }
    }
    Ok(Some(endpoint))
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    variable: &'static str,
    url: String,
}

fn exporter(endpoint: &Endpoint) -> Result<SpanExporter, InitError> {
    let refused = |error: &dyn std::fmt::Display| InitError::Otel {
        variable: endpoint.variable,
        reason: error.to_string(),
    };
    SpanExporter::builder()
        .with_http()
        .with_http_client(blocking_client().map_err(|error| refused(&error))?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&endpoint.url)
        .build()
        .map_err(|error| refused(&error))
}

/// The batch exporter runs on a thread of its own, without tokio, so its client must block. Such a client may not be
/// made inside a runtime, where `init` may well be called: hence the thread.
fn blocking_client() -> Result<reqwest::blocking::Client, String> {
    std::thread::spawn(|| reqwest::blocking::Client::builder().timeout(EXPORT_MAX).build())
        .join()
        .map_err(|_| "the exporter's client could not be made".to_owned())?
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    use std::io::{Read as _, Write as _};

    fn variables<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn url(pairs: &[(&str, &str)]) -> Option<String> {
        endpoint(&variables(pairs)).expect("followed").map(|endpoint| endpoint.url)
    }

    #[test]
    fn spans_leave_only_when_asked() {
        assert_eq!(url(&[]), None);
        assert_eq!(url(&[(ENDPOINT, "http://c:4318/")]).as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(
            url(&[(ENDPOINT, "http://c"), (TRACES_ENDPOINT, "http://t/x")]).as_deref(),
            Some("http://t/x")
        );
        assert_eq!(url(&[(ENDPOINT, "http://c"), ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(url(&[(ENDPOINT, "http://c"), ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert!(url(&[(ENDPOINT, "http://c"), (PROTOCOL, "http/protobuf")]).is_some());
    }

    #[test]
    fn an_unspoken_protocol_is_named() {
        let pairs = [(ENDPOINT, "http://c"), (PROTOCOL, "grpc")];
        let error = endpoint(&variables(&pairs)).expect_err("no grpc");
        assert!(error.to_string().starts_with("OTEL_EXPORTER_OTLP_PROTOCOL: grpc"), "{error}");
    }

    #[test]
    fn a_context_is_valid_and_sampled_without_an_exporter() {
        let provider = provider("test", &variables(&[])).expect("a provider");
        let span = provider.tracer("test").start("work");
        assert!(span.span_context().is_valid() && span.span_context().is_sampled());
    }

    #[test]
    fn our_name_gives_way_to_the_standard_variables() {
        let name = |resource: &Resource| {
            resource.get(&opentelemetry::Key::from_static_str("service.name")).map(|value| value.to_string())
        };
        assert_eq!(name(&resource("ours", &variables(&[]))).as_deref(), Some("ours"));
        let pairs = [("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=theirs")];
        assert_ne!(name(&resource("ours", &variables(&pairs))).as_deref(), Some("ours"));
    }

    #[test]
    fn a_span_arrives_at_the_collector() {
        let collector = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", collector.local_addr().expect("bound"));
        let received = std::thread::spawn(move || {
            let (mut stream, _) = collector.accept().expect("an export");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
            let mut bytes = Vec::new();
            let mut chunk = [0; 4096];
            while !bytes.windows(12).any(|window| window == b"span-we-sent") {
                let count = stream.read(&mut chunk).expect("more");
                assert_ne!(count, 0, "the export ended without our span");
                bytes.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
            bytes
        });
        let provider = provider("test", &variables(&[(ENDPOINT, &base)])).expect("a provider");
        provider.tracer("test").start("span-we-sent").end();
        provider.shutdown().expect("flushed");
        let bytes = received.join().expect("received");
        assert!(bytes.starts_with(b"POST /v1/traces HTTP/1.1"));
    }
}
