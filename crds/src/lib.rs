//! The five custom resources of `troupe.dev/v1alpha1`: the Rust types are the source, the YAML beside them is generated.
