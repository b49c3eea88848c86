//! The holder: a tiny process that owns the tasks' processes.
//!
//! It spawns on request, reaps, and keeps exit statuses in a log until they are collected. It has no policy
//! and nothing to upgrade, so that everything above it can be restarted at will. One thread, no runtime.
//!
//! Start at [`main`] (the process) or `client` (the agent's side).

mod child;
pub(crate) mod client;
mod connection;
mod exits;
mod server;
pub(crate) mod wire;

use std::ffi::OsString;
use std::path::PathBuf;

pub use server::HolderError;

use crate::error::chain;

/// The file in the holder's directory that it listens on.
pub(crate) const SOCKET: &str = "socket";
/// The line on standard output that says that the socket accepts.
pub(crate) const READY: &str = "ready\n";

/// Runs the holder until it is told to quit, and exits the process. `args` are `--dir <directory>`.
///
/// Call it before the process has a second thread: it forks. Exit codes: 0 told to quit, or idle and
/// alone; 1 could not start (the reason is on standard error); 2 wrong arguments.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ! {
    let mut args = args.into_iter();
    let dir = match (args.next(), args.next(), args.next()) {
        (Some(flag), Some(dir), None) if flag == "--dir" => PathBuf::from(dir),
        _ => {
            eprintln!("usage: holder --dir <directory>   (started by the agent, not by hand)");
            std::process::exit(2)
        }
    };
    match server::serve(&dir) {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{}", chain(&error));
            std::process::exit(1)
        }
    }
}
