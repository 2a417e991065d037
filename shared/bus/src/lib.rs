//! JetStream as this system uses it: topology, publish, the one consumer loop, settling, key-value folds, job log, dead letters.
