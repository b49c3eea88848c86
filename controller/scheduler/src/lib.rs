//! Runs built-in frameworks as ordinary clients of the v1 scheduler API.
