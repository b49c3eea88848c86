//! `troupe agent`, and the holder that it starts.

use std::process::ExitCode;

use agent::{AgentConfig, HolderCommand, Isolation, Shutdown};
use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::block_on;
use crate::args::{AgentArgs, HolderArgs, IsolationArg};

/// Runs until told to end: SIGTERM or SIGINT with its tasks, SIGUSR1 without them.
pub(crate) fn main(args: AgentArgs) -> Result<ExitCode> {
    block_on(async {
        let end = told_to_end().context("install signal handlers")?;
        let exe = std::env::current_exe().context("find this program's own file")?;
        let config = AgentConfig {
            addr: args.addr,
            master: args.master,
            work_dir: args.work_dir,
            hostname: args.hostname,
            resources: Some(args.resources),
            attributes: Some(args.attributes).filter(|text| !text.is_empty()),
            isolation: match args.isolation {
                IsolationArg::Auto => Isolation::WherePossible,
                IsolationArg::Cgroups => Isolation::Required,
                IsolationArg::Processes => Isolation::Off,
            },
            cgroup_root: args.cgroup_root,
            pool: args.pool,
            holder: HolderCommand { exe, args: vec!["holder".into()] },
        };
        agent::run(config, end).await.context("run the agent")?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Runs the holder, which ends the process itself.
pub(crate) fn holder(args: HolderArgs) -> Result<ExitCode> {
    agent::holder::main(args.args)
}

/// Waits for a signal and says how to end.
fn told_to_end() -> std::io::Result<impl Future<Output = Shutdown>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut keep = signal(SignalKind::user_defined1())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => Shutdown::StopTasks,
            _ = int.recv() => Shutdown::StopTasks,
            _ = keep.recv() => Shutdown::KeepTasks,
        }
    })
}
