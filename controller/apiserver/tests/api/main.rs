//! The server over the wire, as clients see it.

mod common;
mod objects;
mod watching;
