//! A stateful stand-in for GitHub's REST API and webhooks, with the behaviour that matters to an agent.
