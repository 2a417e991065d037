//! The HTTP API: catalog, jobs, explanations and live events.
