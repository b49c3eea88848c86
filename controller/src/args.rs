//! The command line. The help is written for someone who has never run it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Coordination ensembles and frameworks, declared in YAML.
///
/// Troupe runs ZooKeeper-compatible ensembles, Mesos-compatible resource pools and frameworks on them, as
/// Kubernetes objects say: with a Kubernetes (`troupe controller`), or without one (`troupe up`).
#[derive(Debug, Parser)]
#[command(
    name = "troupe",
    version,
    after_help = "\
First steps on this machine, without any Kubernetes:
  troupe up manifests/quickstart          starts everything and applies the manifests
  export KUBECONFIG=…                     as the line above prints it
  kubectl get ensembles,znodes,resourcepools,agents,frameworks
  troupe status                           the same, with what is wrong and what to do
  troupe zk ls /                          looks into an ensemble"
)]
pub(crate) struct Args {
    /// What to log on standard error: off, error, warn, info, debug, or by part (`warn,reconcile=debug`).
    #[arg(long, env = "TROUPE_LOG", default_value = "warn", global = true, value_name = "FILTER")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One verb for each part.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything on this machine: the API, the controller, and what the manifests declare.
    Up(UpArgs),
    /// Show every object, whether it is as declared, and if not, why.
    Status(StatusArgs),
    /// Look into an ensemble, or change a znode by hand.
    Zk(ZkArgs),
    /// Print the custom resource definitions as YAML (`troupe crds | kubectl apply -f -`).
    Crds,
    /// Reconcile the objects of a Kubernetes API that runs elsewhere.
    Controller(ControllerArgs),
    /// Run one ensemble member from a `zoo.cfg`.
    Member(MemberArgs),
    /// Run one master of a resource pool.
    Master(MasterArgs),
    /// Run one node agent of a resource pool.
    Agent(AgentArgs),
    /// Keep an agent's processes (started by the agent itself).
    #[command(hide = true)]
    Holder(HolderArgs),
}

/// Arguments of `troupe up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  troupe up manifests/quickstart
  troupe up --data-dir /tmp/try --api-port 0 --exit-when-ready manifests/quickstart   (a smoke test)

It runs until it is told to end: Ctrl-C or SIGTERM stops every process it started, tasks included, and
keeps the objects and all data for the next `troupe up`. After SIGKILL or a crash the tasks run on, and the
next `troupe up` takes them over.")]
pub(crate) struct UpArgs {
    /// YAML or JSON files, or folders of them, to apply once the API is up.
    pub(crate) manifests: Vec<PathBuf>,
    /// Where objects, ensembles, sandboxes and logs are kept.
    /// [default: /var/lib/troupe for root, else ~/.local/state/troupe]
    #[arg(long, env = "TROUPE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The port of the API on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 7443, value_name = "PORT")]
    pub(crate) api_port: u16,
    /// End when every applied object is Ready: exit code 0, or 1 with the reasons at --timeout.
    #[arg(long)]
    pub(crate) exit_when_ready: bool,
    /// How long --exit-when-ready waits, such as 30s or 2m.
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Arguments of `troupe status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Only this kind, or this object: `framework`, `fw/hello`.
    pub(crate) what: Option<String>,
    /// Only this namespace; all of them otherwise.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// How a client verb finds the API.
#[derive(Debug, clap::Args)]
pub(crate) struct ApiArgs {
    /// The kubeconfig. [default: $KUBECONFIG, else the one `troupe up` wrote, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Arguments of `troupe zk`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  troupe zk ls /                               of the only ensemble there is
  troupe zk --ensemble quickstart get /app/config
  troupe zk --server 127.0.0.1:2181 watch /    any ZooKeeper will do")]
pub(crate) struct ZkArgs {
    /// The servers: `host:port`, several with commas, and a chroot if wanted.
    #[arg(long, env = "TROUPE_ZK", value_name = "SERVERS")]
    pub(crate) server: Option<String>,
    /// The Ensemble object to ask for its servers: `name` or `namespace/name`.
    #[arg(long, value_name = "NAME", conflicts_with = "server")]
    pub(crate) ensemble: Option<String>,
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) op: ZkOp,
}

/// What to do with a znode.
#[derive(Debug, Subcommand)]
pub(crate) enum ZkOp {
    /// List the children.
    Ls {
        /// The znode's path.
        #[arg(default_value = "/")]
        path: String,
        /// And theirs, as paths.
        #[arg(long, short)]
        recursive: bool,
    },
    /// Print the data.
    Get {
        /// The znode's path.
        path: String,
    },
    /// Change the data.
    Set {
        /// The znode's path.
        path: String,
        /// The new data; `-` reads standard input.
        data: String,
        /// Only if the znode still has this version.
        #[arg(long, value_name = "N")]
        version: Option<i32>,
    },
    /// Create a znode and print its path.
    Create {
        /// The znode's path.
        path: String,
        /// Its data; `-` reads standard input.
        #[arg(default_value = "")]
        data: String,
        /// Append a number that counts up.
        #[arg(long, short)]
        sequential: bool,
        /// Create missing parents too.
        #[arg(long, short)]
        parents: bool,
    },
    /// Delete a znode.
    Rm {
        /// The znode's path.
        path: String,
        /// And everything below it.
        #[arg(long, short)]
        recursive: bool,
        /// Only if the znode still has this version.
        #[arg(long, value_name = "N", conflicts_with = "recursive")]
        version: Option<i32>,
    },
    /// Print versions, times, owner and sizes.
    Stat {
        /// The znode's path.
        path: String,
    },
    /// Print every change at or below a path until interrupted.
    Watch {
        /// The znode's path.
        #[arg(default_value = "/")]
        path: String,
    },
}

/// What the controller drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlatformArg {
    /// Processes on this machine.
    Local,
    /// Pods of the cluster the API belongs to.
    Cluster,
}

/// Arguments of `troupe controller`.
#[derive(Debug, clap::Args)]
pub(crate) struct ControllerArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Whether declared things become processes here or pods of the cluster.
    #[arg(long, value_enum, default_value_t = PlatformArg::Cluster)]
    pub(crate) platform: PlatformArg,
    /// Where processes keep their data (local platform).
    #[arg(long, env = "TROUPE_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The image of the pods (cluster platform): one that holds this binary.
    #[arg(long, env = "TROUPE_IMAGE", default_value = "troupe:latest", value_name = "IMAGE")]
    pub(crate) image: String,
    /// Watch only this namespace; all of them otherwise.
    #[arg(long, value_name = "NAME")]
    pub(crate) watch_namespace: Option<String>,
    /// Act only while holding the Lease `troupe-controller` in this namespace (for several replicas).
    #[arg(long, env = "TROUPE_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) lease_namespace: Option<String>,
    /// Answer /healthz and /readyz here.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health_addr: Option<SocketAddr>,
    /// Leave processes running at the end instead of stopping them (local platform).
    #[arg(long)]
    pub(crate) keep_processes: bool,
}

/// Arguments of `troupe member`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  it was told to end, by SIGTERM or SIGINT, and did so in order
  1  it did not start, or ended by itself: a write or a flush of its log failed, say; the last line names the file and
     the system's error. What it acknowledged is on the disk, and it may be started again
  2  the command line is wrong")]
pub(crate) struct MemberArgs {
    /// Apache's configuration file.
    #[arg(long, value_name = "zoo.cfg")]
    pub(crate) config: PathBuf,
    /// Take the member's id from the number at the end of this name, plus one (for a StatefulSet's pods).
    #[arg(long, value_name = "NAME")]
    pub(crate) pod_name: Option<String>,
}

/// Arguments of `troupe master`.
#[derive(Debug, clap::Args)]
pub(crate) struct MasterArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:5050", value_name = "ADDRESS")]
    pub(crate) addr: SocketAddr,
    /// The address that others reach it at, if it is another.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// The ensemble, and the pool's folder in it: the election and the registry are below. Without it, the
    /// master leads alone, and what operators decide is gone with it.
    #[arg(long, value_name = "zk://HOST:PORT,…/PATH")]
    pub(crate) zk: Option<String>,
    /// The folder it works in; it keeps nothing but what a crash leaves there.
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,
    /// The name of the pool, for people.
    #[arg(long, default_value = "pool", value_name = "NAME")]
    pub(crate) pool: String,
}

/// How an agent keeps its tasks apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArg {
    /// By cgroups where they can be written, else as processes only.
    Auto,
    /// By cgroups; it does not start without.
    Cgroups,
    /// As processes only: limits are not enforced.
    Processes,
}

/// Arguments of `troupe agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM ends it in order with its tasks; SIGUSR1 (or a crash) ends it and leaves its tasks to the next one \
with the same --work-dir.")]
pub(crate) struct AgentArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:5051", value_name = "ADDRESS")]
    pub(crate) addr: SocketAddr,
    /// How the leading master is found.
    #[arg(long, value_name = "zk://HOST:PORT,…/PATH or HOST:PORT")]
    pub(crate) master: String,
    /// Where checkpoints and sandboxes are kept.
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: PathBuf,
    /// The name that frameworks see.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: String,
    /// What it offers, such as `cpus:2;mem:1024;disk:4096;ports:[31000-31099]`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) resources: String,
    /// Words that frameworks can choose by, such as `rack:r1;zone:a`.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) attributes: String,
    /// How tasks are kept apart.
    #[arg(long, value_enum, default_value_t = IsolationArg::Auto)]
    pub(crate) isolation: IsolationArg,
    /// Where cgroups are mounted, if not where this machine's mount table says.
    #[arg(long, value_name = "DIR")]
    pub(crate) cgroup_root: Option<PathBuf>,
    /// The pool: its name is a folder of the cgroup tree.
    #[arg(long, default_value = "pool", value_name = "NAME")]
    pub(crate) pool: String,
}

/// Arguments of `troupe holder`.
#[derive(Debug, clap::Args)]
pub(crate) struct HolderArgs {
    /// As the agent passes them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<std::ffi::OsString>,
}

/// A Go-style duration such as `300ms`, `30s` or `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 500ms, 30s or 1m30s");
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !c.is_ascii_digit()).filter(|n| *n > 0).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "5", "s", "5 s", "5d", "-1s", "99999999999999999999s", "1s2"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
