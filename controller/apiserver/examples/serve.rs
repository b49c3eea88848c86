//! Serves the API alone, for trials with kubectl: `serve <directory> [address] [--memory]`.
//!
//! Writes `<directory>/kubeconfig` and serves until the standard input ends.

use std::path::PathBuf;

use apiserver::{Server, ServerConfig};
use ensemble::{Member, MemberConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().unwrap_or_else(|| "serve-data".to_owned()));
    let mut addr = "127.0.0.1:0".to_owned();
    let mut memory = false;
    for word in words {
        match word.as_str() {
            "--memory" => memory = true,
            _ => addr = word,
        }
    }
    let addr = addr.parse()?;
    let (config, member) = if memory {
        (ServerConfig::in_memory(addr, dir.join("tls")), None)
    } else {
        let mut config = MemberConfig::in_process(dir.join("data"));
        // A release of Helm is a Secret of up to a megabyte, in base64.
        config.max_request_bytes = 8 << 20;
        let member = Member::start(config).await?;
        (ServerConfig::new(addr, dir.join("tls"), member.local()), Some(member))
    };
    let server = Server::start(config).await?;
    std::fs::write(dir.join("kubeconfig"), server.kubeconfig())?;
    eprintln!(
        "serving on {}; export KUBECONFIG={}",
        server.addr(),
        dir.join("kubeconfig").display()
    );
    let mut sink = tokio::io::sink();
    tokio::io::copy(&mut tokio::io::stdin(), &mut sink).await?;
    server.shutdown().await;
    if let Some(member) = member {
        member.shutdown().await;
    }
    Ok(())
}
