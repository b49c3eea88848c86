//! `troupe zk`: a person's view into an ensemble.
//!
//! Lives here: one function for each operation, over an ordinary ZooKeeper client. Any ZooKeeper will do.

mod pages;

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use zookeeper_client::{Acls, AddWatchMode, Client, CreateMode, Error, EventType, Stat};

use super::block_on;
use crate::args::{ZkArgs, ZkOp};
use crate::kubeconfig;
use crate::out::say;

/// How long a server may take to grant a session.
const PATIENCE: Duration = Duration::from_secs(6);
/// More children than this are listed in pages.
const MANY: i32 = 10_000;

/// Runs the operation.
pub(crate) fn main(args: ZkArgs) -> Result<ExitCode> {
    block_on(async {
        let servers = servers(&args).await?;
        let client = Client::connector()
            .with_session_timeout(PATIENCE)
            .with_fail_eagerly()
            .connect(&servers)
            .await
            .map_err(|why| {
                anyhow!("no session with {servers}: {why}; is it running? `troupe status ensemble` tells")
            })?;
        run(&client, &servers, args.op).await?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn run(client: &Client, servers: &str, op: ZkOp) -> Result<()> {
    match op {
        ZkOp::Ls { path, recursive: false } => {
            let mut names = children(client, servers, &path).await?;
            names.sort();
            names.iter().for_each(|name| say!("{name}"));
        }
        ZkOp::Ls { path, recursive: true } => {
            for below in descendants(client, servers, &path).await? {
                say!("{below}");
            }
        }
        ZkOp::Get { path } => {
            let (data, _) = client.get_data(&path).await.map_err(|e| explain(e, &path))?;
            let mut out = std::io::stdout().lock();
            out.write_all(&data)
                .and_then(|()| out.write_all(b"\n"))
                .context("write to standard output")?;
        }
        ZkOp::Set { path, data, version } => {
            let data = bytes(data)?;
            let stat =
                client.set_data(&path, &data, version).await.map_err(|e| explain(e, &path))?;
            say!("version {}", stat.version);
        }
        ZkOp::Create { path, data, sequential, parents } => {
            let data = bytes(data)?;
            if parents && let Some(parent) = parent(&path) {
                let plain = CreateMode::Persistent.with_acls(Acls::anyone_all());
                client.mkdir(parent, &plain).await.map_err(|e| explain(e, parent))?;
            }
            let mode =
                if sequential { CreateMode::PersistentSequential } else { CreateMode::Persistent };
            let options = mode.with_acls(Acls::anyone_all());
            let (_, number) =
                client.create(&path, &data, &options).await.map_err(|e| explain(e, &path))?;
            if sequential {
                say!("{path}{number}");
            } else {
                say!("{path}");
            }
        }
        ZkOp::Rm { path, recursive, version } => {
            if recursive {
                let mut below = descendants(client, servers, &path).await?;
                while let Some(deepest) = below.pop() {
                    match client.delete(&deepest, None).await {
                        // Somebody else deleted it first: gone is gone.
                        Ok(()) | Err(Error::NoNode) => {}
                        Err(why) => return Err(explain(why, &deepest)),
                    }
                }
            }
            client.delete(&path, version).await.map_err(|e| explain(e, &path))?;
        }
        ZkOp::Stat { path } => {
            let stat = client.check_stat(&path).await.map_err(|e| explain(e, &path))?;
            print_stat(&stat.ok_or_else(|| explain(Error::NoNode, &path))?);
        }
        ZkOp::Watch { path } => watch(client, &path).await?,
    }
    Ok(())
}

/// The children, in pages where they are very many: one answer for all of them would be refused by some clients,
/// and by this one only after much memory.
async fn children(client: &Client, servers: &str, path: &str) -> Result<Vec<String>> {
    let stat = client.check_stat(path).await.map_err(|e| explain(e, path))?;
    if stat.is_some_and(|stat| stat.num_children > MANY)
        && let Some(names) = pages::children(servers, path).await?
    {
        return Ok(names);
    }
    client.list_children(path).await.map_err(|e| explain(e, path))
}

/// All paths below `root`, parents before their children.
async fn descendants(client: &Client, servers: &str, root: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let mut names = match children(client, servers, &path).await {
            Ok(names) => names,
            // Somebody deleted it meanwhile.
            Err(_) if path != root && client.check_stat(&path).await == Ok(None) => continue,
            Err(why) => return Err(why),
        };
        names.sort();
        let base = path.trim_end_matches('/');
        let children = names.iter().map(|name| format!("{base}/{name}"));
        open.extend(children.clone().rev());
        if path != root {
            found.push(path);
        }
    }
    Ok(found)
}

async fn watch(client: &Client, path: &str) -> Result<()> {
    let mut events = client
        .watch(path, AddWatchMode::PersistentRecursive)
        .await
        .map_err(|e| explain(e, path))?;
    say!("watching {path} (Ctrl-C ends)");
    loop {
        let event = events.changed().await;
        let what = match event.event_type {
            EventType::NodeCreated => "created",
            EventType::NodeDeleted => "deleted",
            EventType::NodeDataChanged => "changed",
            EventType::NodeChildrenChanged => "children",
            EventType::Session if event.session_state.is_terminated() => {
                bail!("the session ended: {:?}", event.session_state)
            }
            EventType::Session => continue,
        };
        say!("{:#x} {what} {}", event.zxid, event.path);
    }
}

fn print_stat(stat: &Stat) {
    say!("czxid          {:#x}", stat.czxid);
    say!("mzxid          {:#x}", stat.mzxid);
    say!("pzxid          {:#x}", stat.pzxid);
    say!("ctime          {}", moment(stat.ctime));
    say!("mtime          {}", moment(stat.mtime));
    say!("version        {}", stat.version);
    say!("cversion       {}", stat.cversion);
    say!("aversion       {}", stat.aversion);
    say!("ephemeralOwner {:#x}", stat.ephemeral_owner);
    say!("dataLength     {}", stat.data_length);
    say!("numChildren    {}", stat.num_children);
}

fn moment(millis: i64) -> String {
    k8s_openapi::jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |time| time.to_string())
}

fn bytes(argument: String) -> Result<Vec<u8>> {
    if argument != "-" {
        return Ok(argument.into_bytes());
    }
    let mut data = Vec::new();
    std::io::stdin().read_to_end(&mut data).context("read standard input")?;
    Ok(data)
}

fn parent(path: &str) -> Option<&str> {
    path.rfind('/').filter(|slash| *slash > 0).map(|slash| &path[..slash])
}

/// The server's or the client's error with the path and, where there is one, the way on.
fn explain(why: Error, path: &str) -> anyhow::Error {
    let hint = match why {
        Error::NoNode => {
            "; `troupe zk ls` of its parent shows what is there, `create --parents` makes it"
        }
        Error::NodeExists => "; `troupe zk set` changes it",
        Error::NotEmpty => "; `troupe zk rm --recursive` deletes what is below too",
        Error::BadVersion => "; `troupe zk stat` shows its version",
        Error::NoAuth => "; its ACL does not let everybody do this",
        _ => "",
    };
    anyhow!("{path}: {why}{hint}")
}

/// The servers the user means: as given, or from an Ensemble's status.
async fn servers(args: &ZkArgs) -> Result<String> {
    if let Some(servers) = &args.server {
        return Ok(servers.clone());
    }
    let client = kubeconfig::client(args.api.kubeconfig.as_deref()).await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("troupe.dev", "v1alpha1", "Ensemble"));
    let ensemble = match &args.ensemble {
        Some(named) => {
            let (namespace, name) = named.split_once('/').unwrap_or(("default", named));
            let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
            api.get_opt(name).await?.ok_or_else(|| {
                anyhow!("no Ensemble {namespace}/{name}; `troupe status ensemble` lists them")
            })?
        }
        None => {
            let api: Api<DynamicObject> = Api::all_with(client, &kind);
            let mut all =
                api.list(&ListParams::default()).await.context("list the Ensembles")?.items;
            match (all.pop(), all.is_empty()) {
                (Some(only), true) => only,
                (None, _) => bail!("there is no Ensemble; name servers with --server host:port"),
                (Some(_), false) => bail!(
                    "there are several Ensembles: choose one with --ensemble namespace/name \
                     (`troupe status ensemble` lists them)"
                ),
            }
        }
    };
    let connect = ensemble.data.pointer("/status/connectString").and_then(|v| v.as_str());
    let name = ensemble.metadata.name.unwrap_or_default();
    connect.map(str::to_owned).ok_or_else(|| {
        anyhow!("Ensemble {name} has no address yet; `troupe status ens/{name}` tells why")
    })
}
