//! The server over the wire, as clients see it.

mod common;
mod lifecycle;
mod objects;
mod watching;
