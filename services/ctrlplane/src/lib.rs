//! The command line, and everything in one process: dev, demo and bench.
