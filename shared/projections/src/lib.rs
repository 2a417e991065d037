//! The Redis views: keys, guarded writes, reads and rebuild.
