//! What is held and not asked: watches and idle sessions, and the memory they take.

use std::io::{Read, stdin};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::connection::{SESSION_TIMEOUT_MS, ask_for_session, dial, take_session};
use crate::engine::{Job, Limit, Target, run};
use crate::figures::Figures;
use crate::frames::Kind;
use crate::heartbeats::Heartbeats;
use crate::{process, report};

/// Watches each of the first `nodes` znodes from every connection.
pub(crate) fn watches(target: &Target, nodes: u64) -> Result<()> {
    let connections = target.connections;
    let before = memory(target)?;
    let (figures, sessions) = run(Job {
        target: target.clone(),
        kinds: vec![Kind::Watch; connections],
        first: 0,
        nodes,
        limit: Limit::Ops(nodes * connections as u64),
        rate: None,
        snapshots_in: None,
    })?;
    report(&Held::new(figures.ops, before, memory(target)?, Some(figures), None))?;
    until_told()?;
    drop(sessions);
    Ok(())
}

/// Which sessions are opened.
pub(crate) struct Sessions {
    /// The number of the first: generators that run together share no source address then.
    pub(crate) first: usize,
    pub(crate) count: usize,
    /// Given: the sessions' timeout, and each gives a sign of life three times within it. Else none does.
    pub(crate) timeout_ms: Option<i32>,
}

/// Opens sessions and lets them be, or keeps them alive.
pub(crate) fn sessions(target: &Target, job: &Sessions) -> Result<()> {
    let count = job.count;
    // A file is open for each; the soft limit is often far below what is allowed.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("raise the limit of open files")?;
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    ensure!(
        count + SPARE_FILES <= most,
        "--count {count} needs more open files than the {most} allowed: raise `ulimit -Hn` or open fewer"
    );
    let before = memory(target)?;
    let start = Instant::now();
    let mut held = Vec::with_capacity(count);
    let mut granted_ms = i32::MAX;
    while held.len() < count {
        let from = held.len();
        for number in from..count.min(from + AT_ONCE) {
            let addr = target.addrs[number % target.addrs.len()];
            let mut stream = dial(addr, job.first + number)?;
            ask_for_session(&mut stream, job.timeout_ms.unwrap_or(SESSION_TIMEOUT_MS))?;
            held.push(stream);
        }
        for stream in &mut held[from..] {
            granted_ms = granted_ms.min(take_session(stream)?);
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let report = || report(&Held::new(count as u64, before, memory(target)?, None, Some(rate)));
    if job.timeout_ms.is_none() {
        report()?;
        return until_told();
    }
    let heartbeats = Heartbeats::begin(held, granted_ms)?;
    report()?;
    heartbeats.until_told()
}

/// What is held now.
#[derive(Serialize)]
struct Held {
    count: u64,
    /// Resident bytes of the server before and after; after includes garbage that a collector has not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    rss: Option<[u64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
    /// Sessions opened each second.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_rate: Option<f64>,
}

impl Held {
    fn new(
        count: u64,
        before: Option<u64>,
        after: Option<u64>,
        figures: Option<Figures>,
        opened_rate: Option<f64>,
    ) -> Self {
        let rss = before.zip(after).map(|(before, after)| [before, after]);
        Self { count, rss, figures, opened_rate }
    }
}

fn memory(target: &Target) -> Result<Option<u64>> {
    let each = target.pids.iter().map(|pid| process::memory(*pid)).collect::<Result<Vec<_>>>()?;
    Ok((!each.is_empty()).then(|| each.into_iter().map(|(rss, _)| rss).sum()))
}

/// Whoever started this closes its input when it has seen enough.
fn until_told() -> Result<()> {
    stdin().read_to_end(&mut Vec::new()).map(drop).context("wait for the end of input")
}

/// Handshakes under way together: fewer than Java's backlog of 50, beyond which a connect waits a second.
const AT_ONCE: usize = 32;

/// Files that a process has open beside its sockets.
const SPARE_FILES: usize = 16;
