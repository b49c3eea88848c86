//! Observe, plan, apply: one folder a resource kind, over a platform.
