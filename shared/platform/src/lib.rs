//! What every job agent shares: the Platform trait, the command handler, the HTTP client, the shared API budget, the conformance suite.
