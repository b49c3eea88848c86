//! The server over the wire, as clients see it.

mod common;
mod crowd;
mod lifecycle;
mod objects;
mod watching;
