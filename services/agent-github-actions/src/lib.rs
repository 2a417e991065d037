//! Runs jobs as GitHub Actions workflows and keeps their status in step.
