//! `troupe controller`: the reconcilers over a Kubernetes API that runs elsewhere.

use std::future::pending;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use reconcile::cluster::{ClusterPlatform, Image};
use reconcile::platform::Platform;
use reconcile::{LeaseOptions, LocalPlatform, Options};

use super::block_on;
use crate::args::{ControllerArgs, PlatformArg};
use crate::{health, kubeconfig, shutdown};

/// Runs until told to end. On the local platform the processes end with it, unless they are to be kept.
pub(crate) fn main(args: ControllerArgs) -> Result<ExitCode> {
    block_on(run(args))
}

async fn run(args: ControllerArgs) -> Result<ExitCode> {
    let end = shutdown::on_signal().context("install signal handlers")?;
    let client = kubeconfig::client(args.api.kubeconfig.as_deref()).await?;
    let data_dir = args.data_dir.unwrap_or_else(kubeconfig::default_data_dir);
    // Of several pods each has a name of its own; on one machine the data folder tells them apart.
    let identity = match args.platform {
        PlatformArg::Local => kubeconfig::identity(&data_dir),
        PlatformArg::Cluster => kubeconfig::host(),
    };
    let mut local = None;
    let platform: Arc<dyn Platform> = match args.platform {
        PlatformArg::Local => {
            let opened = LocalPlatform::open(data_dir).context("open the local platform")?;
            local.insert(Arc::new(opened)).clone()
        }
        PlatformArg::Cluster => {
            Arc::new(ClusterPlatform::new(client.clone(), Image { name: args.image }))
        }
    };
    let options = Options {
        namespace: args.watch_namespace,
        lease: args.lease_namespace.map(|namespace| LeaseOptions {
            namespace,
            name: "troupe-controller".to_owned(),
            identity: identity.clone(),
        }),
        identity,
    };
    let health = async {
        match args.health_addr {
            Some(addr) => health::serve(addr).await,
            None => pending().await,
        }
    };
    let outcome = tokio::select! {
        ended = reconcile::run(client, platform, options, end) => {
            ended.context("the controller ended by itself; start it again")
        }
        refused = health => refused.map(|never| match never {}),
    };
    if let Some(local) = local {
        if args.keep_processes {
            local.leave_all().await;
        } else {
            local.shutdown_all().await;
        }
    }
    outcome.map(|()| ExitCode::SUCCESS)
}
