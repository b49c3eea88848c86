//! A member whose files are damaged: it asks the others for what it lost before it votes again.
//!
//! Lives here: the sockets for that, and what one member says to another of its files. Must not: decide what is
//! whole (`storage::mend`) or when a member may vote (`zab::Mending`). Members of another make hang up when
//! they are asked, and count as not reached.

mod ask;
mod desk;
mod wire;

pub(crate) use ask::Asker;
pub(crate) use desk::Desk;
