//! The Kubernetes API over an ensemble: discovery, CRUD, watch. Knows no kind of ours.
