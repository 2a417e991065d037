//! How a service lives: settings, boot, supervision, drain, health and metrics.
