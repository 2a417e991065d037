//! Tracing, logs and OpenTelemetry, and the trace context that crosses the bus.
