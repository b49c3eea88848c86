//! `troupe member`: one ensemble member as a process.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::block_on;
use crate::args::MemberArgs;
use crate::shutdown;

/// Runs until told to end.
pub(crate) fn main(args: MemberArgs) -> Result<ExitCode> {
    block_on(async {
        let mut end = shutdown::on_signal().context("install signal handlers")?;
        let (config, warnings) = ensemble::MemberConfig::from_zoo_cfg(&args.config)?;
        for warning in warnings {
            tracing::warn!("{}: {warning}", args.config.display());
        }
        let member = ensemble::Member::start(config).await.context("start the member")?;
        shutdown::told(&mut end).await;
        member.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}
