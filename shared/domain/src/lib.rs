//! The pure core: ids, events, commands, subjects, the job state machine, policies and their evaluation.
