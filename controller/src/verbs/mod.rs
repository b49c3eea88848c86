//! One file for each verb of the command line.

pub(crate) mod agent;
pub(crate) mod controller;
pub(crate) mod crds;
pub(crate) mod master;
pub(crate) mod member;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod zk;

use std::process::ExitCode;

use anyhow::{Context, Result};

/// Runs a verb on one thread: what most parts need, and the least memory.
fn block_on(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(work)
}
