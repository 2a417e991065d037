//! Folds job facts into the Redis views and the public status stream, and watches deadlines.
