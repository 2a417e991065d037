//! Takes webhooks and CloudEvents in: verifies, stores, then answers.
