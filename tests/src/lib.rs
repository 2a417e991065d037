//! The whole system against real servers: scenarios, crash tests, and the rules the workspace holds itself to.
