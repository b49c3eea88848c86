//! Built-in frameworks: a declared service, offers and task states in; accepts, declines and kills out.
