//! `troupe master`: one master of a resource pool as a process.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::block_on;
use crate::args::MasterArgs;
use crate::shutdown;

/// Runs until told to end, or until it can lead no more.
pub(crate) fn main(args: MasterArgs) -> Result<ExitCode> {
    if let Some(folder) = &args.work_dir {
        fs::create_dir_all(folder)
            .and_then(|()| std::env::set_current_dir(folder))
            .with_context(|| format!("work in {}", folder.display()))?;
    }
    block_on(async {
        let mut end = shutdown::on_signal().context("install signal handlers")?;
        let config = pool::MasterConfig {
            addr: args.addr,
            advertised: args.advertise,
            zk: args.zk,
            pool: args.pool,
        };
        pool::run(config, shutdown::told(&mut end)).await.context("run the master")?;
        Ok(ExitCode::SUCCESS)
    })
}
