//! One member: sockets, timers and storage around the pure cores zab and znodes.
