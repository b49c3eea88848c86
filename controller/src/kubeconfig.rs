//! Which API a verb talks to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Where `troupe up` keeps its data when nobody says: `/var/lib/troupe` for root, else
/// `~/.local/state/troupe`.
pub(crate) fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/troupe");
    }
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from(".")).join("troupe")
}

/// The name of this machine, or of this pod.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who the controller with this data folder is: the same after a crash, and nobody else.
pub(crate) fn identity(data_dir: &Path) -> String {
    format!("{}:{}", host(), data_dir.display())
}

/// The file `troupe up` writes below its data folder.
pub(crate) fn path_below(data_dir: &Path) -> PathBuf {
    data_dir.join("kubeconfig")
}

/// A client of the API that the user means: `explicit`, else `$KUBECONFIG`, else what `troupe up` wrote,
/// else `~/.kube/config`, else the cluster this process runs in.
pub(crate) async fn client(explicit: Option<&Path>) -> Result<Client> {
    let config = match explicit {
        Some(path) => from_file(path).await?,
        None => implicit().await?,
    };
    Client::try_from(config).context("make a client of the Kubernetes API")
}

/// A client from one kubeconfig file.
pub(crate) async fn from_file(path: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)
        .with_context(|| format!("read kubeconfig {}", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("use kubeconfig {}", path.display()))
}

async fn implicit() -> Result<Config> {
    if std::env::var_os("KUBECONFIG").is_none() {
        let ours = path_below(&default_data_dir());
        if ours.exists() {
            return from_file(&ours).await;
        }
    }
    let remedy =
        "start one with `troupe up`, or name a kubeconfig with --kubeconfig or $KUBECONFIG";
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    let is_named = std::env::var_os("KUBECONFIG").is_some()
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        || home.is_some_and(|file| file.exists());
    if !is_named {
        bail!("no Kubernetes API is configured: {remedy}");
    }
    match Config::infer().await {
        Ok(config) => Ok(config),
        Err(why) => bail!("the Kubernetes API that is configured cannot be used: {why}; {remedy}"),
    }
}
