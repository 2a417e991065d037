//! Finds, installs, starts and stops the nats-server and redis-server that the all-in-one and the tests run on.
