//! One member from a `zoo.cfg`, or from a data directory and a client address:
//! `member zoo.cfg` or `member <data dir> <address:port> [snap count]`.

use std::path::Path;

use anyhow::Context;
use ensemble::{Member, MemberConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args: Vec<_> = std::env::args().skip(1).collect();
    let config = match args.as_slice() {
        [file] => {
            let (config, warnings) = MemberConfig::from_zoo_cfg(Path::new(file), None)?;
            for warning in warnings {
                tracing::warn!("{}", warning.0);
            }
            config
        }
        [dir, addr, more @ ..] => {
            let mut config = MemberConfig::in_process(dir);
            config.client_addr = Some(addr.parse().context("the client address")?);
            config.four_letter_words = vec!["*".to_owned()];
            if let Some(count) = more.first() {
                config.snap_count = count.parse().context("the snap count")?;
            }
            config
        }
        _ => {
            anyhow::bail!("usage: member <zoo.cfg> | member <data dir> <address:port> [snap count]")
        }
    };
    let member = Member::start(config).await?;
    tracing::info!(addr = ?member.client_addr(), "serving");
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        failed = member.failed() => return Err(failed.into()),
        _ = term.recv() => {}
    }
    member.shutdown().await;
    Ok(())
}
