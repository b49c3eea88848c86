//! `loadgen`: raw-frame load on a ZooKeeper server, and what it cost the server.
//!
//! Every verb writes one line of JSON to standard output. `null` is a server that answers every frame at
//! once: `run` against it first, to know the ceiling of the generator itself. One thread, so that on two
//! cores the server keeps one. Start at [`engine::drive`]; `e2e/bench/quorum.py` is the caller.

mod connection;
mod engine;
mod figures;
mod frames;
mod heartbeats;
mod hold;
mod null;
mod outage;
mod process;
mod snapshots;

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::engine::{Job, Limit};
use crate::frames::Kind;

fn main() -> Result<()> {
    match Cli::parse().verb {
        Verb::Null { addr } => null::serve(addr),
        Verb::Fill { to, nodes, parents_only } => report(&fill(&to, nodes, parents_only)?),
        Verb::Run(args) => report(&args.run()?),
        Verb::Watches { to, nodes } => hold::watches(&to.target(), nodes),
        Verb::Sessions { to, first, count, timeout_ms } => {
            hold::sessions(&to.target(), &hold::Sessions { first, count, timeout_ms })
        }
        Verb::Outage { addr, sessions, timeout_ms, rate } => {
            outage::watch(&outage::Job { addrs: addr, sessions: sessions.into(), timeout_ms, rate })
        }
    }
}

/// Load on a ZooKeeper server by raw frames.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A server that answers every frame at once with the bytes of a success; prints its address
    Null {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:0")]
        addr: SocketAddr,
    },
    /// Creates znodes of 30 bytes of path, a thousand below each parent
    Fill {
        #[command(flatten)]
        to: To,
        /// How many
        #[arg(long)]
        nodes: u64,
        /// Only the parents, for a later `run create`
        #[arg(long)]
        parents_only: bool,
    },
    /// Requests for some seconds, or a number of them
    Run(RunArgs),
    /// Sets a watch on each znode from each connection, prints the figures, holds until input ends
    Watches {
        #[command(flatten)]
        to: To,
        /// How many znodes, of those that `fill` made
        #[arg(long)]
        nodes: u64,
    },
    /// Opens sessions, prints the figures, holds them until input ends; with heartbeats tells for each line of input how
    /// many live
    Sessions {
        #[command(flatten)]
        to: To,
        /// The number of the first, where other generators hold those before it
        #[arg(long, default_value_t = 0)]
        first: usize,
        /// How many
        #[arg(long)]
        count: usize,
        /// A session's timeout, in milliseconds, within which each sends three heartbeats. Without it none does
        #[arg(long)]
        timeout_ms: Option<i32>,
    },
    /// Sessions that write numbers and check what they read; for each line of input tells how long nobody could write
    Outage {
        /// Where to connect
        #[arg(long, required = true, value_delimiter = ',')]
        addr: Vec<SocketAddr>,
        /// How many, each with one of the znodes that `fill` made
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        sessions: u16,
        /// Requests each second over all sessions, every other one a read. Without it all are writes, each as soon as the
        /// one before is answered
        #[arg(long)]
        rate: Option<f64>,
        /// A session's timeout, in milliseconds
        #[arg(long, default_value_t = 30_000)]
        timeout_ms: i32,
    },
}

/// The servers and the shape of the load.
#[derive(Args)]
struct To {
    /// The server's client port; of an ensemble those of its members, to which the sessions go in turn
    #[arg(long, required = true, value_delimiter = ',')]
    addr: Vec<SocketAddr>,
    /// The server's process, or those of all members: their CPU time is counted
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Sessions at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests in flight on each
    #[arg(long, default_value_t = 64)]
    depth: usize,
    /// Bytes of data in each znode
    #[arg(long, default_value_t = 100)]
    size: usize,
}

#[derive(Args)]
struct RunArgs {
    /// What is asked
    op: Op,
    #[command(flatten)]
    to: To,
    /// The znodes to choose from, made by `fill`; for create, the room made by `fill --parents-only`
    #[arg(long, default_value_t = 1000)]
    nodes: u64,
    /// The number of the first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Seconds that are measured
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before them, not measured
    #[arg(long, default_value_t = 2.0)]
    warmup: f64,
    /// So many requests instead of seconds, all measured
    #[arg(long)]
    ops: Option<u64>,
    /// Requests each second over all connections, sent on time whether or not answers come; latency counts
    /// from when one was due. Without it each connection keeps its depth in flight
    #[arg(long)]
    rate: Option<f64>,
    /// Of a hundred connections, how many write; for `mix`
    #[arg(long, default_value_t = 50)]
    writers: usize,
    /// The server's snapshots: latencies while one is written are told apart
    #[arg(long)]
    snapshots_in: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Op {
    /// setData on znodes chosen at random
    Set,
    /// getData on znodes chosen at random
    Get,
    /// create of znodes that are not there
    Create,
    /// setData on some connections, getData on the others
    Mix,
}

impl To {
    fn target(&self) -> engine::Target {
        engine::Target {
            addrs: self.addr.clone(),
            pids: self.pid.clone(),
            connections: self.connections,
            depth: self.depth,
            size: self.size,
        }
    }
}

impl RunArgs {
    fn run(&self) -> Result<figures::Figures> {
        let writers = (self.to.connections * self.writers).div_ceil(100);
        let kind = |connection: usize| match self.op {
            Op::Set => Kind::Set,
            Op::Get => Kind::Get,
            Op::Create => Kind::Create,
            // Readers and writers are interleaved, so that every part of a paced second has both.
            Op::Mix if connection * writers % self.to.connections < writers => Kind::Set,
            Op::Mix => Kind::Get,
        };
        let limit = match self.ops {
            Some(ops) => Limit::Ops(ops),
            None => Limit::Time {
                warmup: Duration::try_from_secs_f64(self.warmup).context("--warmup")?,
                measured: Duration::try_from_secs_f64(self.seconds).context("--seconds")?,
            },
        };
        engine::drive(Job {
            target: self.to.target(),
            kinds: (0..self.to.connections).map(kind).collect(),
            first: self.first,
            nodes: self.nodes,
            limit,
            rate: self.rate,
            snapshots_in: self.snapshots_in.clone(),
        })
    }
}

fn fill(to: &To, nodes: u64, parents_only: bool) -> Result<figures::Figures> {
    let job = |kind, connections: usize, nodes| Job {
        target: engine::Target { connections, ..to.target() },
        kinds: vec![kind; connections],
        first: 0,
        nodes,
        limit: Limit::Ops(nodes),
        rate: None,
        snapshots_in: None,
    };
    // The root first, by itself: the others need it.
    engine::drive(job(Kind::Root, 1, 1)).context("create the root of all")?;
    let parents = nodes.div_ceil(frames::SIBLINGS);
    let made = engine::drive(job(Kind::Parent, 1, parents)).context("create the parents")?;
    if parents_only { Ok(made) } else { engine::drive(job(Kind::Create, to.connections, nodes)) }
}

/// One line of JSON on standard output, out at once.
fn report(figures: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(figures).context("the figures as JSON")?;
    line.push(b'\n');
    let mut out = stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).context("write the figures")
}
