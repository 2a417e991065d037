//! Examples from docs/policies.md, in tables, held against the model itself.
