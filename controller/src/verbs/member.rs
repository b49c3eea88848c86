//! `troupe member`: one ensemble member as a process.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use types::PeerId;

use super::block_on;
use crate::args::MemberArgs;
use crate::shutdown;

/// Runs until told to end.
pub(crate) fn main(args: MemberArgs) -> Result<ExitCode> {
    block_on(async {
        let mut end = shutdown::on_signal().context("install signal handlers")?;
        let id = args.pod_name.as_deref().map(id_of_pod).transpose()?;
        let (config, warnings) = ensemble::MemberConfig::from_zoo_cfg(&args.config, id)?;
        for warning in warnings {
            tracing::warn!("{}: {}", args.config.display(), warning.0);
        }
        let member = ensemble::Member::start(config).await.context("start the member")?;
        tokio::select! {
            () = shutdown::told(&mut end) => {}
            why = member.failed() => return Err(why).context("the member ended by itself"),
        }
        member.shutdown_with_process().await;
        shutdown::give_way();
        Ok(ExitCode::SUCCESS)
    })
}

/// The id of a StatefulSet's pod: the number at the end of its name, plus one.
fn id_of_pod(name: &str) -> Result<PeerId> {
    let ordinal = name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<u8>().ok());
    let id = ordinal.and_then(|ordinal| ordinal.checked_add(1));
    id.map(|id| PeerId(id.into())).ok_or_else(|| {
        anyhow!("--pod-name {name:?} does not end in -0 to -254, as a StatefulSet's pods do")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_its_id_by_its_name() {
        assert_eq!(id_of_pod("zk-0").ok(), Some(PeerId(1)));
        assert_eq!(id_of_pod("my-zk-12").ok(), Some(PeerId(13)));
        for wrong in ["zk", "zk-", "zk-x", "zk-255", "zk-999"] {
            assert!(id_of_pod(wrong).is_err(), "{wrong}");
        }
    }
}
