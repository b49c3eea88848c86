//! Zab as one stepped state machine: election, discovery, synchronization, broadcast.
