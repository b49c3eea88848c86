//! Transaction log and snapshots in Apache's on-disk format.
