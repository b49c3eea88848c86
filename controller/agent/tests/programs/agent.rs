//! The agent as a process, for tests: `<work dir> <master> <pool> <resources> <holder>`. SIGTERM stops it with
//! its tasks.

use std::path::PathBuf;

use agent::{AgentConfig, HolderCommand, Isolation, Shutdown};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [work_dir, master, pool, resources, holder] = args.as_slice() else {
        panic!("usage: agent-for-tests <work dir> <master> <pool> <resources> <holder>")
    };
    let config = AgentConfig {
        addr: "127.0.0.1:0".parse().expect("an address"),
        master: master.clone(),
        work_dir: PathBuf::from(work_dir),
        hostname: "localhost".to_owned(),
        resources: Some(resources.clone()),
        attributes: None,
        isolation: Isolation::WherePossible,
        cgroup_root: None,
        pool: pool.clone(),
        holder: HolderCommand { exe: PathBuf::from(holder), args: Vec::new() },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.expect("a runtime").block_on(async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .expect("a handler");
        agent::run(config, async move {
            term.recv().await;
            Shutdown::StopTasks
        })
        .await
    });
    if let Err(error) = ended {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
