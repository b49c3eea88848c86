//! Kubernetes objects as JSON values: schema, pruning, defaulting, CEL, patches, selectors, tables.
