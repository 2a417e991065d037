//! Turns a requested job into a command for the right agent: slots, order, rendering, cancellation.
